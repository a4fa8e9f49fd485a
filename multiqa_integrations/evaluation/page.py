"""The report as one page of HTML: light and dark, without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from multiqa_integrations._optional import require
from multiqa_integrations.evaluation import plots
from multiqa_integrations.evaluation.dataset import Dataset
from multiqa_integrations.evaluation.encoding import Lengths
from multiqa_integrations.evaluation.evaluator import Evaluation, Result
from multiqa_integrations.evaluation.metrics import METRICS
from multiqa_integrations.evaluation.numerals import interval, signed
from multiqa_integrations.evaluation.significance import Comparison

_EXAMPLES = 5  # queries shown of those with the largest gains and losses
_FIRST = 10  # hits of a query whose similarities are shown


@dataclass(frozen=True)
class Figure:
    """A plot and its caption; drawn, once, when a page is made."""

    caption: str
    draw: Callable[[], str]

    @cached_property
    def svg(self) -> str:
        """The plot."""
        return self.draw()


@dataclass(frozen=True, slots=True)
class Section:
    """What the page shows of one retrieval set.

    Attributes:
        documents: How many there are.
        queries: How many were judged.
        limit: Hits of each query.
        results: Name and mean of each measure, by configuration.
        remarks: What is to be known, in sentences.
        figures: The plots.
        comparisons: By measure, of each configuration with the first.
        examples: Difference, id and text of the queries that differ most, for each of these.
    """

    name: str
    documents: int
    queries: int
    limit: int
    results: list[tuple[str, list[float]]]
    remarks: list[str]
    figures: list[Figure]
    comparisons: list[list[Comparison]]
    examples: list[list[tuple[float, str, str]]]


def section(evaluation: Evaluation) -> Section:
    """Gather what is shown of one retrieval set; its vectors and hits may then go."""
    dataset, results = evaluation.dataset, evaluation.results
    compared = [
        [evaluation.comparison(result.name, metric) for metric in METRICS] for result in results[1:]
    ]
    figures = [
        Figure(
            f"{first.metric} of each query: {first.other} against {first.base}",
            partial(plots.differences, first.differences),
        )
        for first, *_ in compared
        if first.differences.any()
    ]
    figures += [_scores(results), *_similarities(dataset, results), *_lengths(dataset, results)]
    return Section(
        dataset.name,
        len(dataset.document_ids),
        len(dataset.queries),
        evaluation.limit,
        [(result.name, [result.mean(metric) for metric in METRICS]) for result in results],
        evaluation.remarks,
        figures,
        compared,
        [_examples(dataset, first) for first, *_ in compared],
    )


def render(report: Mapping[str, Any], sections: Sequence[Section]) -> str:
    """Make the page.

    Args:
        report: `Report.to_dict()`.
        sections: Those of the finished sets.

    Raises:
        MissingDependencyError: The extra `evaluate` is not installed.
    """
    jinja2 = require("jinja2", purpose="writing a page")
    require("matplotlib", purpose="drawing its plots")  # now, not when a set is finished
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"signed": signed, "plural": _plural}
    rows = [
        (f"{dataset['name']}: {comparison['other']}", comparison["difference"], *ends)
        for dataset in report["sets"]
        for comparison in dataset["comparisons"]
        if comparison["metric"] == METRICS[0] and (ends := comparison["confidence_interval_95"])
    ]
    page: str = environment.get_template("page.html").render(
        report=report,
        sections=sections,
        metrics=METRICS,
        intervals=plots.intervals(rows) if rows else None,
        interval=interval,
    )
    return page


def _examples(dataset: Dataset, comparison: Comparison) -> list[tuple[float, str, str]]:
    """Return the queries with the largest losses and gains."""
    queries = list(dataset.queries.items())
    values = comparison.differences
    order = np.argsort(values, kind="stable")
    lost = [row for row in order[:_EXAMPLES] if values[row] < 0]
    gained = [row for row in order[::-1][:_EXAMPLES] if values[row] > 0]
    return [(float(values[row]), *queries[row]) for row in [*lost, *gained]]


def _scores(results: Sequence[Result]) -> Figure:
    """Draw how many queries have which nDCG@10."""
    edges = [0, 1e-9, 0.2, 0.4, 0.6, 0.8, 1 - 1e-9, 1.1]
    labels = ["0", "to .2", "to .4", "to .6", "to .8", "below 1", "1"]
    metric, most = METRICS[0], len(plots.SERIES)
    series = [(result.name, _shares(result.scores[metric], edges)) for result in results[:most]]
    caption = f"Share of the queries by {metric}"
    if len(results) > most:
        caption += f", the first {most} configurations"
    return Figure(caption, partial(plots.shares, series, labels, xlabel=metric))


def _similarities(dataset: Dataset, results: Sequence[Result]) -> list[Figure]:
    """Draw how similar the first hits are: relevant ones, and all others."""
    figures = []
    row_of = {document: row for row, document in enumerate(dataset.document_ids)}
    relevant = [
        [row_of[document] for document, grade in grades.items() if grade > 0 and document in row_of]
        for grades in dataset.qrels.values()
    ]
    edges = np.append(np.linspace(-0.1, 1.0, 12), 1.1)
    edges[0] = -1.0
    labels = ["<0", "0", *(f".{tenths}" for tenths in range(1, 10)), "1.0"]
    drawn: list[Lengths | None] = []
    for result in results:
        # Scores of words and of ranks are not similarities; the same vectors have the same.
        mode, lengths = result.configuration.mode, result.lengths
        if mode != "dense" or any(lengths is other for other in drawn):
            continue
        drawn.append(lengths)
        rows, scores = result.hits.rows[:, :_FIRST], result.hits.scores[:, :_FIRST]
        right = np.array([np.isin(a, b) for a, b in zip(rows, relevant, strict=True)])
        groups = (("relevant", right), ("not judged relevant", ~right & (rows >= 0)))
        series = [(name, _shares(scores[chosen], edges)) for name, chosen in groups]
        caption = f"The first {_FIRST} hits by similarity, as shares of each kind ({result.name})"
        draw = partial(plots.shares, series, labels, xlabel="from this similarity")
        figures.append(Figure(caption, draw))
    return figures


def _lengths(dataset: Dataset, results: Sequence[Result]) -> list[Figure]:
    """Draw how long the documents are and how many are cut, once for each limit."""
    by_limit: dict[int, Lengths] = {}
    for result in results:
        if result.lengths is not None:
            by_limit.setdefault(result.lengths.limit, result.lengths)
    figures = []
    for limit, lengths in sorted(by_limit.items()):
        tokens = lengths.documents
        inner = sorted({16, 32, 64, 128, 256, 512, 1024, limit})
        edges = [0, *(edge + 0.5 for edge in inner), float("inf")]
        labels = [*(f"≤{edge}" for edge in inner), f">{inner[-1]}"]
        series = [
            (name, [count / len(tokens) for count in np.histogram(tokens[chosen], edges)[0]])
            for name, chosen in (("whole", tokens <= limit), ("cut", tokens > limit))
        ]
        caption = (
            f"Documents by length: {lengths.cut_documents:,} of {len(tokens):,} "
            f"({lengths.cut_documents / len(tokens):.1%}) are cut at {limit} word pieces; "
            f"{lengths.cut_queries:,} of {len(dataset.queries):,} queries"
        )
        colours = ("s0", "loss")
        draw = partial(
            plots.shares, series, labels, xlabel="word pieces", colours=colours, stacked=True
        )
        figures.append(Figure(caption, draw))
    return figures


def _shares(values: NDArray[np.floating[Any]], edges: ArrayLike) -> list[float]:
    return [float(count) / max(len(values), 1) for count in np.histogram(values, edges)[0]]


def _plural(number: int, singular: str, plural: str) -> str:
    return f"{number:,} {singular if number == 1 else plural}"
