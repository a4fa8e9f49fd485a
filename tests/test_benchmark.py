"""`multiqa bench`: real small runs in real processes; what is asserted is never a speed."""

from __future__ import annotations

import gzip
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")

from multiqa_integrations._optional import is_installed
from multiqa_integrations.benchmark import session
from multiqa_integrations.benchmark.contestants import OURS, PEERS
from multiqa_integrations.benchmark.cosine import cosine
from multiqa_integrations.benchmark.measures import MEASURES, Report, measure
from multiqa_integrations.benchmark.results import Table, is_wide, present, speed_ratios
from multiqa_integrations.benchmark.session import Session, WorkerError
from multiqa_integrations.benchmark.settings import Settings
from multiqa_integrations.benchmark.texts import first_texts, mixed_lengths, questions, read_texts
from multiqa_integrations.cli.bench import bench
from multiqa_integrations.errors import ConfigurationError, ModelNotFoundError, SourceError

TEXTS = [
    "Around nine million people live in London, which makes it the largest city of the country; "
    "it has been settled for two thousand years.",
    "short one",
    "brief two",
    "The river rises in the hills to the west and reaches the sea after three hundred and "
    "forty-six kilometres, most of them through farmland.",
    "It was raining when they left the station. " * 60,
]


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("bench") / "records.jsonl.gz"
    with gzip.open(file, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"body": text}) + "\n" for text in [*TEXTS, " "])
    return file


@pytest.fixture
def small(sibling: Path, records: Path) -> Settings:
    return Settings(
        model=str(sibling),
        texts=records,
        text_field="body",
        samples=5,
        rounds=1,
        threads=4,
        queries=6,
        huge_bytes=60_000,
    )


@pytest.fixture
def without_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "multiqa_integrations.benchmark.contestants.is_installed",
        lambda name: name != "torch" and is_installed(name),
    )


def row(table: Table, name: str) -> dict[str, float]:
    figures = next(row for row in table.rows if row.name == name).figures
    return {column: values[0] for column, values in figures.items()}


@pytest.mark.slow
def test_encode_compares_all_that_is_installed_and_writes_json(
    small: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delitem(OURS, "multiqa auto")  # saves a process
    bench(
        "encode",
        texts=small.texts,
        text_field="body",
        model=small.model,
        samples=5,
        rounds=1,
        json_file=tmp_path / "out.json",
    )
    report = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    (table,) = report["tables"]
    rows = {row["name"]: row for row in table["rows"]}
    assert list(rows) == [*OURS, *PEERS]
    measured = {name: row["figures"] for name, row in rows.items() if row["figures"]}
    assert {"multiqa float32", "multiqa int8"} <= set(measured)
    for figures in measured.values():
        assert figures["texts/s"][0] > 0
        # The three texts of twenty words and more were encoded, one of them cut to the limit.
        assert figures["tokens/s"][0] / figures["texts/s"][0] == pytest.approx(
            (28 + 28 + 512) / 3, abs=5
        )
    reasons = {name: row["note"] for name, row in rows.items() if name not in measured}
    if "sentence-transformers" in measured:
        for name, least in (
            ("multiqa float32", 0.99999),
            ("transformers", 0.99999),
            ("multiqa int8", 0.99),
        ):
            assert measured[name]["cosine min"][0] >= least
        assert measured["sentence-transformers"]["× sentence-transformers"] == [1]
    else:
        assert reasons["sentence-transformers"].startswith("not installed")
    assert report["machine"]["versions"]["openvino"] != "not installed"
    assert report["model"]["fingerprint"].startswith("sha256:")
    assert report["settings"]["limit_tokens"] == 512
    shown = capsys.readouterr().out
    assert all(name in shown for name in rows)


@pytest.mark.usefixtures("without_peers")
def test_cold_start_lists_missing_peers(small: Settings) -> None:
    start, imported = measure("cold-start", small).tables
    assert row(start, "multiqa auto").keys() == {"s"}
    assert start.rows[1].note == "not installed (torch)"
    assert row(imported, "import multiqa_integrations")["ms"] > 0
    assert imported.rows[0].note == "imports nothing heavy"


@pytest.mark.usefixtures("without_peers")
def test_query(small: Settings) -> None:
    (table,) = measure("query", small).tables
    figures = row(table, "multiqa auto")
    assert 0 < figures["p50 ms"] <= figures["p95 ms"]
    assert table.rows[1].note == "not installed (torch)"


@pytest.mark.usefixtures("without_peers")
@pytest.mark.parametrize("adapter", ["langchain", "llama-index"])
def test_adapters(small: Settings, adapter: str) -> None:
    (table,) = measure(adapter, small).tables
    ours, theirs = table.rows
    assert {"first vector s", "query p50 ms", "documents/s", "peak MB"} <= ours.figures.keys()
    assert "not installed" in theirs.note
    assert "torch" in theirs.note


@pytest.mark.usefixtures("without_peers")
def test_quality(small: Settings) -> None:
    vectors, neighbours = measure("quality", small).tables
    for name, texts in (("under 8 tokens", 2), ("8 tokens and more", 3)):
        part = next(row for row in vectors.rows if row.name == f"multiqa int8, {name}")
        assert part.note == f"{texts} texts"
    int8 = row(vectors, "multiqa int8")
    assert 0.98 < int8["min"] <= int8["1st percentile"] <= int8["mean"] < 1
    assert int8["% under .99"] in (0, 20)
    float32 = row(neighbours, "multiqa float32")
    assert min(float32.values()) > 0.999999


def test_threads_get_the_vectors_of_one_after_another(small: Settings) -> None:
    (table,) = measure("threads", small).tables
    assert row(table, "4 threads")["wrong"] == 0


def test_stream_reads_the_whole_file(small: Settings) -> None:
    (table,) = measure("stream", small).tables
    assert table.title.startswith("encode_stream over 5 texts")
    assert row(table, "multiqa auto")["texts/s"] > 0


def test_huge_text_has_the_vector_of_its_beginning(small: Settings) -> None:
    (table,) = measure("huge", small).tables
    assert table.title == "One text of 0.1 MB"
    assert row(table, "multiqa auto")["largest difference"] < 1e-6


def test_chunk(small: Settings) -> None:
    (table,) = measure("chunk", small).tables
    assert "5 texts, 20% of them over 250 word pieces" in table.title
    assert row(table, "chunk and encode")["share of encode alone"] > 0


def test_unknown_measure_and_model_are_refused(small: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'speed' is no measure, expected one of encode"):
        measure("speed", small)
    with pytest.raises(ModelNotFoundError):
        measure("query", Settings(model=str(tmp_path)))
    with pytest.raises(ConfigurationError, match="--sibling and --model exclude"):
        bench("query", model="x", sibling=True)
    for wrong in ({"rounds": 0}, {"limit_tokens": 513}):
        with pytest.raises(ConfigurationError, match=r"is (0|513), expected"):
            Settings(**wrong)  # type: ignore[arg-type]


def test_failed_process_tells_its_last_line(small: Settings, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"multiqa ended with status 1: .*FileNotFoundError"):
        Session(small, tmp_path, lambda _: None).run("huge", texts="/no/such", size=1)


def test_failing_peer_does_not_stop_the_others(
    small: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_for_peers(command: list[str], task: str, name: str) -> str:
        if name in PEERS:
            raise WorkerError("out of order")
        return "{}"

    monkeypatch.setattr(session, "start", fail_for_peers)
    monkeypatch.setattr(session, "why_absent", lambda name: None)
    results, absent = Session(small, tmp_path, lambda _: None).in_turn(
        "query", ["transformers", "multiqa auto"]
    )
    assert list(results) == ["multiqa auto"]
    assert absent == {"transformers": "failed: out of order"}


def test_texts_of_a_file(records: Path, tmp_path: Path) -> None:
    assert list(read_texts(records, "body")) == TEXTS
    assert first_texts(records, "body", 2) == [TEXTS[0], TEXTS[3]]
    with pytest.raises(SourceError, match=r"line 1: KeyError: 'text'.*--text-field"):
        list(read_texts(records))
    with pytest.raises(SourceError, match="No such file"):
        list(read_texts(tmp_path / "none.jsonl"))
    with pytest.raises(ConfigurationError, match="no text of at least 5000 words"):
        first_texts(records, "body", 1, min_words=5000)


def test_every_python_carries_enough_text() -> None:
    texts = first_texts(None, "text", 800)
    assert len(set(texts)) == 800
    assert all(len(text.split()) >= 20 for text in texts)
    mixed = mixed_lengths(None, "text", 800)
    assert 0.05 < np.mean([len(text) > 1200 for text in mixed]) < 0.3
    assert len(set(questions())) == 200


def test_figures() -> None:
    assert speed_ratios([1, 2], [4, 4]) == [4, 2]
    assert speed_ratios([1, 2], None) == []
    assert is_wide([1, 1.3])
    assert not is_wide([1, 1.2])
    assert present({"a": [1, None], "b": [None]}) == {"a": [1]}
    a = np.array([[3, 4], [1, 0]], np.float32)
    assert cosine(a, np.array([[6, 8], [0, 1]], np.float32)).tolist() == [1, 0]


def _found(table: Table, _: Session) -> list[Table]:
    return [table]


def test_all_runs_every_measure(small: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MEASURES:
        table = Table(name, name, (), ())
        monkeypatch.setitem(MEASURES, name, partial(_found, table))
    report: Report = measure("all", small)
    assert [table.measure for table in report.tables] == list(MEASURES)
