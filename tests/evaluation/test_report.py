"""What is kept: figures, runs, the page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.evaluation import (
    METRICS,
    Configuration,
    Evaluation,
    Report,
    evaluate,
    plots,
    read_dataset,
    write_run,
)
from multiqa_integrations.evaluation.numerals import interval, signed
from multiqa_integrations.testing import FakeEncoder
from tests.support.retrieval_set import MakeSet

WAYS = [
    Configuration(encoder=FakeEncoder(), name="one & only"),
    Configuration(encoder=FakeEncoder(seed=1), name="seed <1>"),
    Configuration(encoder=FakeEncoder(), mode="bm25", name="words"),
]


@pytest.fixture
def found(make_set: MakeSet) -> Evaluation:
    return evaluate(make_set(), WAYS)


class Page(HTMLParser):
    """Reads a page: what its elements ask for, whether they are closed, what it says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.find_links(attrs)
        if tag != "meta":
            self.opened.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.find_links(attrs)

    def find_links(self, attrs: list[tuple[str, str | None]]) -> None:
        names = ("href", "src", "xlink:href")
        links = [value or "" for name, value in attrs if name in names]
        self.links += [link for link in links if not link.startswith("#")]  # of this very page

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data


def test_the_figures(found: Evaluation, make_set: MakeSet, tmp_path: Path) -> None:
    second = read_dataset(make_set("second"))
    report = Report([found.dataset, second], WAYS, seed=0)
    report.add(found)
    report.write_json(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert read["missing"] == report.missing == ["second"]
    assert read["settings"] == {"seed": 0}
    assert read["versions"]["ir-measures"]
    assert [one["name"] for one in read["configurations"]] == ["one & only", "seed <1>", "words"]
    assert read["configurations"][1]["fingerprint"] == "fake:1"
    (one,) = read["sets"]
    assert (one["documents"], one["queries"], one["limit"]) == (5, 4, 1000)
    assert one["unjudged"] == ["spare"]
    for result, kept in zip(found.results, one["results"], strict=True):
        for metric in METRICS:
            assert kept[metric] == pytest.approx(np.mean(kept["by_query"][metric]))
            assert kept["by_query"][metric] == result.scores[metric].tolist()
    assert len(one["comparisons"]) == 2 * len(METRICS)
    assert len(one["comparisons"][0]["by_query"]) == len(one["query_ids"]) == 4


def test_the_page_loads_nothing(found: Evaluation, make_set: MakeSet, tmp_path: Path) -> None:
    report = Report([found.dataset, read_dataset(make_set("second"))], WAYS)
    report.add(found)
    report.write_page(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.opened == []
    assert page.links == []
    for outside in ("http:", "https:", "//", "@import", "<script"):
        assert outside not in text, outside
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert "Not finished: second." in page.said
    assert "one & only" in page.said
    assert "seed <1> against one & only" in page.said
    assert "prefers-color-scheme: dark" in text
    differing = sum(c.metric == METRICS[0] and c.differences.any() for c in found.comparisons)
    # Intervals; differences, nDCG@10, similarities of two encoders, one kind of lengths.
    assert page.tags.count("svg") == page.tags.count("figure") == 1 + differing + 1 + 2 + 1


def test_a_page_of_one_configuration(make_set: MakeSet, tmp_path: Path) -> None:
    way = Configuration(encoder=FakeEncoder())
    found = evaluate(make_set(), way)
    report = Report([found.dataset], [way])
    report.add(found)
    report.write_page(tmp_path / "report.html")
    assert Page((tmp_path / "report.html").read_text(encoding="utf-8")).opened == []


def test_runs(found: Evaluation, tmp_path: Path) -> None:
    file = write_run(found.dataset, found.results[1], tmp_path / "runs")
    assert file.name == "manual.seed-1-.trec"
    lines = [line.split(" ") for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 4 * 5
    assert lines[0][:4] == ["q1", "Q0", "press", "1"]
    for query in found.dataset.queries:
        mine = [line for line in lines if line[0] == query]
        assert [int(line[3]) for line in mine] == [1, 2, 3, 4, 5]
        scores = [float(line[4]) for line in mine]
        assert scores == sorted(scores, reverse=True)


def test_a_run_read_back_has_the_same_scores(found: Evaluation, tmp_path: Path) -> None:
    import ir_measures

    file = write_run(found.dataset, found.results[0], tmp_path)
    run = ir_measures.read_trec_run(str(file))  # type: ignore[no-untyped-call]
    means = ir_measures.calc_aggregate([ir_measures.nDCG @ 10], found.dataset.qrels, run)
    assert means[ir_measures.nDCG @ 10] == pytest.approx(found.results[0].mean("nDCG@10"))


def test_a_run_cannot_hold_white_space(make_set: MakeSet, tmp_path: Path) -> None:
    folder = make_set(documents={"a b": ("", "red")}, queries={"q": "red"}, qrels=[("q", "a b", 1)])
    found = evaluate(folder, Configuration(encoder=FakeEncoder()))
    with pytest.raises(ConfigurationError, match="'a b' of manual has white space"):
        write_run(found.dataset, found.results[0], tmp_path)


@pytest.mark.parametrize("values", [[0.0, 0.0], [0.5, -0.25, 0.0], [1e-6], [-1.0] * 3000])
def test_differences_are_drawn(values: list[float]) -> None:
    drawn = plots.differences(np.array(values))
    page = Page(drawn)
    assert page.opened == []
    assert f"{sum(v > 0 for v in values):,} queries better" in page.said
    assert f"{sum(v == 0 for v in values):,} the same" in page.said
    assert ("var(--gain)" in drawn) == any(v > 0 for v in values)
    assert ("var(--loss)" in drawn) == any(v < 0 for v in values)
    assert "nan" not in drawn
    assert len(drawn) < 100_000


def test_plots_have_the_colours_and_the_texts_of_the_page() -> None:
    bars = plots.shares([("<one>", [0.25, 0.75]), ("two", [1, 0])], ["low", "high"], xlabel="x")
    rows = plots.intervals([("better", 0.2, 0.1, 0.3), ("none", 0.0, 0.0, 0.0)])
    for drawn in (bars, rows):
        assert Page(drawn).opened == []
        assert "#0102" not in drawn
    assert {"<one>", "two", "low", "high", "x"} <= set(Page(bars).said.split())
    assert {"better", "none", "0.000"} <= set(Page(rows).said.split())
    # No two plots of a page have an id in common.
    assert not set(re.findall(r'id="(\w+)"', bars)) & set(re.findall(r'id="(\w+)"', rows))


def test_numerals() -> None:
    assert signed(0.125, 2) == "+0.12"
    assert signed(-0.00001, 3) == "0.000"
    assert interval(None, None) == "–"
