"""`multiqa bench`: real small runs in real processes; what is asserted is never a speed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")

from typer.testing import CliRunner, Result

from multiqa_integrations import MULTI_QA, backends
from multiqa_integrations.backends.cpu import has_native_bfloat16
from multiqa_integrations.benchmark import measures
from multiqa_integrations.benchmark.measures import (
    MEASURES,
    cosine,
    fastest,
    least_seconds,
    measure,
)
from multiqa_integrations.benchmark.session import Session, Settings, WorkerError
from multiqa_integrations.benchmark.table import Table, is_wide, present
from multiqa_integrations.benchmark.texts import first_texts, mixed_lengths, questions, read_texts
from multiqa_integrations.cli import app
from multiqa_integrations.errors import ConfigurationError, ModelNotFoundError, SourceError
from tests.support.installed import needs_torch
from tests.support.loopback_qdrant import LoopbackQdrant


@pytest.fixture
def small(test_model: Path, records: Path) -> Settings:
    return Settings(model=str(test_model), texts=records, text_field="body", samples=5, rounds=1)


def bench(*arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def row(table: Table, name: str) -> dict[str, float]:
    figures = next(row for row in table.rows if row.name == name).figures
    return {column: values[0] for column, values in figures.items()}


def test_a_device_is_opened_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_accelerator", lambda: None)
    assert Settings(model="m").device == "cpu"
    assert Settings(model="m", device="auto").device == "cpu"
    with pytest.raises(ConfigurationError, match="device is ''"):
        Settings(model="m", device="")


@needs_torch
def test_a_device_that_cannot_be_used() -> None:
    assert Settings(model="m", device="cpu:0").device == "cpu"
    for device in ("nonsense", "cuda:x", "cuda:99"):
        done = bench("encode", "--device", device)
        assert isinstance(done.exception, ConfigurationError)
        assert f"cannot use the device {device!r} here" in str(done.exception)


@pytest.mark.slow
@pytest.mark.soak
def test_encode_measures_every_dtype(small: Settings, tmp_path: Path) -> None:
    texts = ("--texts", small.texts, "--text-field", "body", "--samples", 5, "--rounds", 1)
    done = bench("encode", *texts, "--model", small.model, "--json", tmp_path / "out.json")
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    limit, table = report["tables"]
    assert limit["rows"][0]["figures"]["GFLOP/s"][0] > 0
    rows = {row["name"]: row["figures"] for row in table["rows"]}
    assert list(rows) == ["float32", *["bfloat16"] * has_native_bfloat16(), "int8"]
    for name, least in (("float32", 1), ("bfloat16", 0.999), ("int8", 0.99)):
        if name in rows:
            assert least <= rows[name]["cosine min"][0] <= 1
            assert rows[name]["% of the limit"][0] > 0
            # The three texts of twenty words and more were encoded, one of them to the limit.
            tokens = rows[name]["tokens/s"][0] / rows[name]["texts/s"][0]
            assert tokens == pytest.approx((28 + 28 + 512) / 3, abs=5)
    assert rows["float32"]["× float32"] == [1]
    assert report["settings"]["limit_tokens"] == 512
    assert report["machine"]["versions"]["openvino"] != "not installed"
    assert all(
        name in done.stdout for name in (*rows, "the default here", "The limit of this machine")
    )


@pytest.mark.slow
def test_cold_start_and_queries(small: Settings) -> None:
    (start,) = measure("cold-start", small)
    assert row(start, "default dtype")["s"] > 0
    (queries,) = measure("query-latency", small)
    figures = row(queries, "default dtype")
    assert 0 < figures["p50 ms"] <= figures["p95 ms"]


@pytest.mark.slow
def test_search_finds_all_in_a_small_collection(small: Settings) -> None:
    (table,) = measure("search", small)
    assert {row(table, each.name)["recall@10"] for each in table.rows} == {1}
    assert "5 texts" in table.title


@pytest.mark.slow
def test_ingest_stores_every_chunk(small: Settings, loopback: LoopbackQdrant) -> None:
    (table,) = measure("ingest", small)
    # Five texts, the last of which is cut into chunks of 250 word pieces.
    assert row(table, "on this disk")["points"] > 5
    (remote,) = measure("ingest", replace(small, url=loopback.url))
    assert row(remote, loopback.url)["points"] == row(table, "on this disk")["points"]
    assert loopback.client.get_collections().collections == []  # it was dropped


def test_what_is_finished_is_kept(
    small: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(session: Session) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        measures,
        "MEASURES",
        {"encode": partial(_one_table, "encode"), "search": stop},
    )
    ended = bench("all", "--model", small.model, "--json", tmp_path / "out.json")
    assert ended.exit_code != 0
    report = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [table["title"] for table in report["tables"]] == ["encode"]


def test_wrong_settings_are_refused(small: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'speed' is not a measure, expected one of enc"):
        list(measure("speed", small))
    with pytest.raises(ModelNotFoundError):
        list(measure("query-latency", Settings(model=str(tmp_path))))
    with pytest.raises(ConfigurationError, match="rounds is 0, expected 1 or more"):
        Settings(rounds=0)
    with pytest.raises(ConfigurationError, match="limit_tokens is 513, expected 3 to 512"):
        Settings(limit_tokens=513)


def test_failed_process_shows_its_last_line(small: Settings, tmp_path: Path) -> None:
    session = Session(small, tmp_path, lambda *_: None)
    with pytest.raises(WorkerError, match=r"jobs:encode ended with status 1: .*FileNotFoundError"):
        session.run("encode", texts="/no/such", folder=str(tmp_path))


def test_least_seconds() -> None:
    peaks = fastest([{"float32": 1e9, "int8": 3e9}, {"float32": 0.9e9, "int8": 4e9}])
    assert peaks == {"float32": 1e9, "int8": 4e9}
    # 21.23 million operations a word piece in the linear layers, 9,216·L in attention.
    linear, attention = 180 * 21_233_664, 9_216 * (80**2 + 100**2)
    assert least_seconds(peaks, MULTI_QA, np.array([80, 100])) == pytest.approx(
        {"float32": (linear + attention) / 1e9, "int8": (linear / 4 + attention) / 1e9}
    )


def test_texts_of_a_file(records: Path, bench_texts: list[str], tmp_path: Path) -> None:
    assert list(read_texts(records, "body")) == bench_texts
    assert first_texts(records, "body", 2) == [bench_texts[0], bench_texts[3]]
    table = tmp_path / "table.csv"
    table.write_text("body\none\ntwo\n", encoding="utf-8")
    assert list(read_texts(table, "body")) == ["one", "two"]
    with pytest.raises(SourceError, match=r"line 1: there is no text in the field 'text'; --text"):
        list(read_texts(records))
    with pytest.raises(SourceError, match="there is no file"):
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
    assert is_wide([1, 1.3])
    assert not is_wide([1, 1.2])
    assert present({"a": [1, None], "b": [None]}) == {"a": [1]}
    a = np.array([[3, 4], [1, 0]], np.float32)
    assert cosine(a, np.array([[6, 8], [0, 1]], np.float32)).tolist() == [1, 0]


def _one_table(name: str, _: Session) -> Iterator[Table]:
    yield Table(name, name, (), ())


def test_all_runs_every_measure(small: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MEASURES:
        monkeypatch.setitem(MEASURES, name, partial(_one_table, name))
    assert [table.measure for table in measure("all", small)] == list(MEASURES)
