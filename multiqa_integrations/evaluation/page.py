"""The report as one page of HTML: light and dark, without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from multiqa_integrations.evaluation import charts
from multiqa_integrations.evaluation.dataset import Dataset
from multiqa_integrations.evaluation.encoding import Lengths
from multiqa_integrations.evaluation.evaluator import Evaluation, Result
from multiqa_integrations.evaluation.metrics import METRICS
from multiqa_integrations.evaluation.significance import Comparison

_EXAMPLES = 5  # queries shown of those with the largest gains and losses
_COLOURS = 6  # configurations that are told apart in a chart
_FIRST = 10  # hits of a query whose similarities are shown

Cell = tuple[str, str]
"""Text and class of a cell of a table."""


def whole(report: Mapping[str, Any], sections: Sequence[str]) -> str:
    """Make the page.

    Args:
        report: `Report.as_json()`.
        sections: What `section` made of each set.
    """
    sets, missing = report["sets"], report["missing"]
    names = [one["name"] for one in report["configurations"]]
    body = [
        "<h1>Retrieval quality</h1>",
        f'<p class="soft">{_amount(len(sets), "set")}, '
        f"{_amount(len(names), 'configuration')}, {escape(report['date'])}</p>",
    ]
    if missing:
        body.append(f'<p class="note">Not finished: {escape(", ".join(missing))}.</p>')
    if len(sets) > 1:
        body.append(_overview(sets))
    rows = [
        (
            f"{one['name']}: {comparison['other']}",
            comparison["difference"],
            *comparison["confidence_interval_95"],
        )
        for one in sets
        for comparison in one["comparisons"]
        if comparison["metric"] == METRICS[0] and comparison["confidence_interval_95"]
    ]
    if rows:
        title = f"Difference in {METRICS[0]} to {names[0]}, with 95 % confidence intervals"
        body.append(f'<div class="wide">{charts.intervals(rows, title=title)}</div>')
    body += sections
    body.append(_settings(report))
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Retrieval quality</title><style>{style}</style></head>\n"
        f"<body>{''.join(body)}</body></html>\n"
    )


def section(evaluation: Evaluation) -> str:
    """Make the section of one retrieval set."""
    dataset = evaluation.dataset
    body = [
        f"<h2>{escape(dataset.name)}</h2>",
        f'<p class="soft">{_amount(len(dataset.document_ids), "document")}, '
        f"{_amount(len(dataset.queries), 'query')}, up to {_amount(evaluation.limit, 'hit')} "
        "each</p>",
        _table(["configuration", *METRICS], [_means(one) for one in evaluation.results]),
    ]
    body += [f'<p class="note">{escape(remark)}</p>' for remark in evaluation.remarks]
    figures = [
        charts.differences(
            one.differences, title=f"{one.metric} of each query: {one.other} against {one.base}"
        )
        for one in evaluation.comparisons
        if one.metric == METRICS[0] and one.differences.any()
    ]
    figures += [_scores(evaluation.results), *_similarities(dataset, evaluation.results)]
    figures += _lengths(dataset, evaluation.results)
    body.append(f'<div class="cards">{"".join(figures)}</div>')
    for other in evaluation.results[1:]:
        compared = [evaluation.comparison(other.name, metric) for metric in METRICS]
        body += [_compared(compared), _examples(dataset, compared[0])]
    return f"<section>{''.join(body)}</section>"


def _overview(sets: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for one in sets:
        for number, result in enumerate(one["results"]):
            name = "" if number else one["name"]
            texts = [f"{result[metric]:.4f}" for metric in METRICS]
            cells = [(result["configuration"], ""), *((text, "n") for text in texts)]
            rows.append([(name, ""), *cells, (_share(result, one), "n")])
    return _table(["set", "configuration", *METRICS, "documents cut"], rows)


def _share(result: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    cut = result["cut_documents"]
    return "–" if cut is None else f"{cut / one['documents']:.1%}"


def _means(result: Result) -> list[Cell]:
    return [(result.name, ""), *((f"{result.mean(metric):.4f}", "n") for metric in METRICS)]


def _compared(comparisons: Sequence[Comparison]) -> str:
    rows = []
    for one in comparisons:
        sure = one.low is not None and one.high is not None and not one.low <= 0 <= one.high
        kind = ("gain" if one.mean > 0 else "loss") if sure else ""
        rows.append(
            [
                (one.metric, ""),
                (charts.signed(one.mean, 4), f"n {kind}"),
                (interval(one), "n"),
                ("–" if one.p_value is None else f"{one.p_value:.4f}", "n"),
                (f"{one.better:,}", "n"),
                (f"{one.worse:,}", "n"),
            ]
        )
    first = comparisons[0]
    head = ["", "difference", "95 % interval", "p", "queries better", "worse"]
    return f"<h3>{escape(first.other)} against {escape(first.base)}</h3>{_table(head, rows)}"


def interval(one: Comparison) -> str:
    """Write a confidence interval."""
    if one.low is None or one.high is None:
        return "–"
    return f"{charts.signed(one.low, 4)} to {charts.signed(one.high, 4)}"


def _examples(dataset: Dataset, one: Comparison) -> str:
    """List the queries with the largest losses and gains."""
    queries = list(dataset.queries.items())
    order = np.argsort(one.differences, kind="stable")
    lost = [row for row in order[:_EXAMPLES] if one.differences[row] < 0]
    gained = [row for row in order[::-1][:_EXAMPLES] if one.differences[row] > 0]
    rows = []
    for row in [*lost, *gained]:
        difference = float(one.differences[row])
        query, text = queries[row]
        kind = "loss" if difference < 0 else "gain"
        rows.append([(charts.signed(difference, 3), f"n {kind}"), (query, ""), (text, "")])
    if not rows:
        return ""
    head = _table([one.metric, "id", "query"], rows)
    return f"<details><summary>Queries with the largest differences</summary>{head}</details>"


def _scores(results: Sequence[Result]) -> str:
    """Draw how many queries have which nDCG@10."""
    edges = [0, 1e-9, 0.2, 0.4, 0.6, 0.8, 1 - 1e-9, 1.1]
    labels = ["0", "to .2", "to .4", "to .6", "to .8", "below 1", "1"]
    metric = METRICS[0]
    series = [(one.name, _shares(one.scores[metric], edges)) for one in results[:_COLOURS]]
    title = f"Share of the queries by {metric}"
    if len(results) > _COLOURS:
        title += f", the first {_COLOURS} configurations"
    return charts.histogram(series, labels, title=title, x=metric)


def _similarities(dataset: Dataset, results: Sequence[Result]) -> list[str]:
    """Draw how similar the first hits are: relevant ones, and all others."""
    figures = []
    row_of = {one: row for row, one in enumerate(dataset.document_ids)}
    relevant = [
        [row_of[one] for one, grade in grades.items() if grade > 0 and one in row_of]
        for grades in dataset.qrels.values()
    ]
    edges = np.append(np.linspace(-0.1, 1.0, 12), 1.1)
    edges[0] = -1.0
    labels = [f"{edge:.1f}".lstrip("0") or "0" for edge in np.linspace(0, 1, 11)]
    labels = ["<0", *(label if label != ".0" else "0" for label in labels)]
    drawn: list[Lengths | None] = []
    for one in results:
        # Scores of words and of ranks are no similarities; the same vectors have the same.
        if one.configuration.mode != "dense" or any(one.lengths is other for other in drawn):
            continue
        drawn.append(one.lengths)
        rows, scores = one.hits.rows[:, :_FIRST], one.hits.scores[:, :_FIRST]
        right = np.array([np.isin(a, b) for a, b in zip(rows, relevant, strict=True)])
        groups = (("relevant", right), ("not judged relevant", ~right & (rows >= 0)))
        series = [(name, _shares(scores[chosen], edges)) for name, chosen in groups]
        title = f"The first {_FIRST} hits by similarity, as shares of each kind ({one.name})"
        figures.append(charts.histogram(series, labels, title=title, x="from this similarity"))
    return figures


def _lengths(dataset: Dataset, results: Sequence[Result]) -> list[str]:
    """Draw how long the documents are and how many are cut, once for each limit."""
    by_limit: dict[int, Lengths] = {}
    for one in results:
        if one.lengths is not None:
            by_limit.setdefault(one.lengths.limit, one.lengths)
    figures = []
    for limit, lengths in sorted(by_limit.items()):
        tokens = lengths.documents
        inner = sorted({16, 32, 64, 128, 256, 512, 1024, limit})
        edges = [0, *(edge + 0.5 for edge in inner), float("inf")]
        labels = [*(f"≤{edge}" for edge in inner), f">{inner[-1]}"]
        total = len(tokens)
        whole, cut = (
            [float(count) / total for count in np.histogram(tokens[chosen], edges)[0]]
            for chosen in (tokens <= limit, tokens > limit)
        )
        title = (
            f"Documents by length: {lengths.cut_documents:,} of {total:,} "
            f"({lengths.cut_documents / total:.1%}) are cut at {limit} word pieces; "
            f"{lengths.cut_queries:,} of {len(dataset.queries):,} queries"
        )
        figures.append(
            charts.histogram(
                [("whole", whole), ("cut", cut)],
                labels,
                title=title,
                x="word pieces",
                kinds=("s0", "loss"),
                stacked=True,
            )
        )
    return figures


def _shares(values: NDArray[np.floating[Any]], edges: ArrayLike) -> list[float]:
    return [float(count) / max(len(values), 1) for count in np.histogram(values, edges)[0]]


def _settings(report: Mapping[str, Any]) -> str:
    pairs = [("date", report["date"]), ("system", f"{report['system']}, Python {report['python']}")]
    pairs.append(("versions", ", ".join(f"{k} {v}" for k, v in report["versions"].items())))
    pairs += [(name, str(value)) for name, value in report["settings"].items()]
    for one in report["configurations"]:
        chosen = ", ".join(f"{name}={value}" for name, value in one["settings"].items())
        more = [one[name] for name in ("computed", "fingerprint") if name in one]
        pairs.append((one["name"], "; ".join([chosen, *more])))
    entries = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in pairs)
    return f"<h2>Settings</h2><dl>{entries}</dl>"


def _table(head: Iterable[str], rows: Sequence[Sequence[Cell]]) -> str:
    if not rows:
        return ""
    kinds = [kind.split(" ")[0] for _, kind in rows[0]]
    top = "".join(
        f'<th class="{kind}">{escape(name)}</th>' for name, kind in zip(head, kinds, strict=True)
    )
    cells = [[f'<td class="{kind}">{escape(text)}</td>' for text, kind in row] for row in rows]
    lines = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    return f'<div class="scroll"><table><tr>{top}</tr>{lines}</table></div>'


def _amount(number: int, noun: str) -> str:
    plural = {"query": "queries"}.get(noun, f"{noun}s")
    return f"{number:,} {noun if number == 1 else plural}"
