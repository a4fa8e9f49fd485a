"""`make bench`: real small runs in real processes; what is asserted is never a speed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.installed import needs_torch
from tests.support.loopback_qdrant import LoopbackQdrant

pytest.importorskip("typer")

import typer

from multiqa_integrations._optional import is_installed
from multiqa_integrations.benchmark.session import WorkerError
from multiqa_integrations.benchmark.table import Column, Row, Table
from multiqa_integrations.errors import ConfigurationError, ModelNotFoundError
from multiqa_integrations.testing import FakeEncoder
from tests.benchmark import chart, exports, implementations, ingest_job, peers, session
from tests.benchmark.__main__ import bench
from tests.benchmark.implementations import OURS, PEERS
from tests.benchmark.measures import MEASURES, Report, measure
from tests.benchmark.ratios import speed_ratios
from tests.benchmark.session import Session
from tests.benchmark.settings import Settings


@pytest.fixture
def small(test_model: Path, records: Path) -> Settings:
    return Settings(
        model=str(test_model),
        texts=records,
        text_field="body",
        samples=5,
        rounds=1,
        threads=4,
        queries=6,
        queries_each=3,
        long_text_bytes=60_000,
    )


@pytest.fixture
def without_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tests.benchmark.implementations.is_installed",
        lambda name: name != "torch" and is_installed(name),
    )


def quiet(*_: object) -> None:
    """Show no progress."""


def row(table: Table, name: str) -> dict[str, float]:
    figures = next(row for row in table.rows if row.name == name).figures
    return {column: values[0] for column, values in figures.items()}


def test_what_is_measured_on_the_processor_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiqa_integrations.benchmark.session._usable_device", lambda name: name)
    with pytest.raises(ConfigurationError, match="stream is measured on the processor only"):
        measure("stream", Settings(model="m", device="cuda:0"))


@needs_torch
@pytest.mark.slow
@pytest.mark.soak
def test_who_encodes_on_a_device(
    small: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the device that every torch has; a GPU would compute float16 too."""
    monkeypatch.setattr(peers, "first_texts", lambda *_: ["a text", "and another one"])
    for name in implementations.contestants("cuda", in_bulk=True):
        if name == "multiqa float16":
            continue
        loaded = implementations.load(name, small.model, 64, "cpu:0")
        assert loaded.encode(["How old is the bridge?"]).shape == (1, 384)
        assert loaded.arithmetic == ("bfloat16" if "bfloat16" in name else "float32")
        assert ("batches of" in loaded.remark) == name.startswith("sentence-transformers")


@pytest.mark.slow
@pytest.mark.soak
def test_encode_compares_all_that_is_installed_and_writes_json(
    small: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delitem(OURS, "multiqa auto")  # saves a process, and so do the next three
    for name in (
        "sentence-transformers bfloat16",
        "langchain-huggingface",
        "llama-index-embeddings-huggingface",
    ):
        monkeypatch.delitem(PEERS, name)
    bench(
        "encode",
        texts=small.texts,
        text_field="body",
        model=small.model,
        samples=5,
        rounds=1,
        json_file=tmp_path / "out.json",
        chart_file=tmp_path / "out.svg",
    )
    report = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    limit, table = report["tables"]
    assert limit["rows"][0]["figures"]["GFLOP/s"][0] > 0
    rows = {row["name"]: row for row in table["rows"]}
    assert list(rows) == [*OURS, *PEERS]
    measured = {name: row["figures"] for name, row in rows.items() if row["figures"]}
    assert {"multiqa float32", "multiqa int8"} <= set(measured)
    for figures in measured.values():
        assert figures["texts/s"][0] > 0
        assert figures["% of the limit"][0] > 0
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
    assert report["interrupted"] is False
    assert set(report["peers"]) == set(measured) & set(PEERS)
    assert ("<svg" in (tmp_path / "out.svg").read_text(encoding="utf-8")) == bool(report["peers"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in rows)


@pytest.mark.slow
@pytest.mark.usefixtures("without_peers")
def test_cold_start_lists_missing_peers(small: Settings) -> None:
    start, imported = measure("cold-start", small).tables
    assert row(start, "multiqa auto").keys() == {"s"}
    assert start.rows[1].note == "not installed (torch)"
    assert row(imported, "import multiqa_integrations")["ms"] > 0
    assert imported.rows[0].note == "imports nothing heavy"


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.usefixtures("without_peers")
def test_query_latency(small: Settings) -> None:
    (table,) = measure("query-latency", small).tables
    figures = row(table, "multiqa auto")
    assert 0 < figures["p50 ms"] <= figures["p95 ms"]
    notes = {row.name: row.note for row in table.rows}
    assert notes["sentence-transformers"] == "not installed (torch)"


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.usefixtures("without_peers")
@pytest.mark.parametrize("adapter", ["langchain", "llama-index"])
def test_adapters(small: Settings, adapter: str) -> None:
    (table,) = measure(adapter, small).tables
    ours, theirs = table.rows
    assert {"first vector s", "query p50 ms", "documents/s", "peak MB"} <= ours.figures.keys()
    assert "not installed" in theirs.note
    assert "torch" in theirs.note


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.usefixtures("without_peers")
def test_quality(small: Settings) -> None:
    vectors, padding = measure("quality", small).tables
    for name, texts in (("under 8 tokens", 2), ("8 tokens and more", 3)):
        part = next(row for row in vectors.rows if row.name == f"multiqa int8, {name}")
        assert part.note == f"{texts} texts"
    int8 = row(vectors, "multiqa int8")
    assert 0.98 < int8["min"] <= int8["1st percentile"] <= int8["mean"] < 1
    assert int8["% under .99"] in (0, 20)
    float32 = row(padding, "multiqa float32")
    assert min(float32.values()) > 0.999999


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.usefixtures("without_peers")
def test_concurrent_queries_get_the_vectors_of_one_after_another(small: Settings) -> None:
    (table,) = measure("concurrency", small).tables
    names = ["multiqa auto, 4 threads"]
    if is_installed("langchain_core"):
        names.append("multiqa auto, 4 coroutines")
    for name in names:
        figures = row(table, name)
        assert (figures["wrong"], figures["errors"]) == (0, 0)
        assert figures["queries/s"] > 0
    absent = {row.name: row.note for row in table.rows if not row.figures}
    assert absent["sentence-transformers"] == "not installed (torch)"


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.usefixtures("without_peers")
def test_ingest_stores_every_chunk(small: Settings, loopback: LoopbackQdrant) -> None:
    (table,) = measure("ingest", replace(small, url=loopback.url)).tables
    # Five texts, the last of which is cut into chunks of 250 word pieces.
    edge, local = row(table, "multiqa, Edge"), row(table, "multiqa, client local mode")
    assert edge["points"] == local["points"] == row(table, ingest_job.SERVER)["points"] > 5
    assert table.rows[3].note.startswith("not installed (")
    assert loopback.client.get_collections().collections == []  # it was dropped


# LlamaIndex asks for payload indexes, which the client's local mode does not have.
@pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
@pytest.mark.parametrize("implementation", ["LangChain", "LlamaIndex"])
def test_ingest_peers_do_as_their_guides_say(
    implementation: str, bench_texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frameworks are real; a model is not needed to see where their points go."""
    if implementation == "LangChain":
        pytest.importorskip("langchain_qdrant")
        from multiqa_integrations.langchain import MultiQAEmbeddings

        ours = MultiQAEmbeddings(encoder=FakeEncoder())
        monkeypatch.setattr(peers, "langchain_embeddings", lambda *_: ours)
    else:
        pytest.importorskip("llama_index.vector_stores.qdrant")
        from llama_index.core import MockEmbedding

        monkeypatch.setattr(peers, "llama_index_embedding", lambda *_: MockEmbedding(384))
    store = ingest_job.INGESTERS[f"{implementation}, client local mode"]("", 512, str(tmp_path))
    # LangChain cuts at 1,000 characters, LlamaIndex at 1,024 tokens of its own.
    assert store(bench_texts) == {"LangChain": 7, "LlamaIndex": 5}[implementation]


@pytest.mark.slow
@pytest.mark.soak
def test_overlap_is_measured_on_this_processor_and_on_faster_devices(small: Settings) -> None:
    (table,) = measure("overlap", replace(small, samples=5)).tables
    assert table.rows[0].name == "this processor"
    assert all(row.figures["× without"][0] > 0 for row in table.rows)


def test_stream_reads_the_whole_file(small: Settings) -> None:
    (table,) = measure("stream", small).tables
    assert table.title.startswith("encode_stream over 5 texts")
    assert row(table, "multiqa auto")["texts/s"] > 0


@pytest.mark.slow
@pytest.mark.soak
def test_long_text_has_the_vector_of_its_beginning(small: Settings) -> None:
    (table,) = measure("long-text", small).tables
    assert table.title == "One text of 0.1 MB"
    assert row(table, "multiqa auto")["largest difference"] < 1e-6


@pytest.mark.slow
@pytest.mark.soak
def test_chunk(small: Settings) -> None:
    (table,) = measure("chunk", small).tables
    assert "5 texts, 20% of them over 250 word pieces" in table.title
    assert row(table, "chunk and encode")["share of encode alone"] > 0


def test_unknown_measure_and_model_are_refused(small: Settings, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="'speed' is not a measure, expected one of encode"
    ):
        measure("speed", small)
    with pytest.raises(ModelNotFoundError):
        measure("query-latency", Settings(model=str(tmp_path)))
    with pytest.raises(ConfigurationError, match="--test-model and --model exclude"):
        bench("query-latency", model="x", test_model=True)
    with pytest.raises(ConfigurationError, match="--python is 'onnx', expected PEERS=PATH"):
        bench("encode", pythons=["onnx"])
    with pytest.raises(ConfigurationError, match="'x' is not an environment of peers"):
        Settings(pythons={"x": Path(sys.executable)})
    with pytest.raises(ConfigurationError, match="neither a Python nor a virtual environment"):
        Settings(pythons={"onnx": tmp_path})
    with pytest.raises(ConfigurationError, match="threads is 0, expected"):
        Settings(threads=0)


def test_failed_process_tells_its_last_line(small: Settings, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"long_text ended with status 1: .*FileNotFoundError"):
        Session(small, tmp_path, quiet).run("long_text", texts="/no/such", size=1)


def test_failing_peer_does_not_stop_the_others(
    small: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_for_peers(python: str, task: dict[str, Any], environment: object) -> dict[str, Any]:
        if task["implementation"] in PEERS:
            raise WorkerError("out of order")
        return {}

    monkeypatch.setattr(session, "run_worker", fail_for_peers)
    monkeypatch.setattr(session, "why_absent", lambda name: None)
    monkeypatch.setattr(session, "versions", lambda name: {})
    results, absent = Session(small, tmp_path, quiet).in_turn(
        "query_latency", ["transformers", "multiqa auto"]
    )
    assert list(results) == ["multiqa auto"]
    assert absent == {"transformers": "failed: out of order"}


def test_peers_run_by_a_python_of_their_own(small: Settings, tmp_path: Path) -> None:
    """This Python stands for another one; it must find this package, and nothing beside it."""
    pythons = {"torch": Path(sys.executable), "fastembed": Path(sys.prefix)}
    measured = Session(replace(small, pythons=pythons), tmp_path, quiet)
    for name in ("sentence-transformers", "fastembed"):
        missing = [module for module in PEERS[name].modules if not is_installed(module)]
        reason = measured.why_absent(name)
        assert reason == (f"not installed ({', '.join(missing)})" if missing else None)
        assert (name in measured.versions) == (not missing)
    copied = {path.name for path in (tmp_path / "package").iterdir()}
    assert copied == {"multiqa_integrations", "tests"}


def test_worker_needs_nothing_but_numpy() -> None:
    """In a peer's Python this package's own dependencies may be missing, or other versions."""
    code = (
        "import sys\n"
        "from multiqa_integrations.benchmark import jobs as worker\n"
        "from tests.benchmark import export_job, jobs, peers\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split()) - set(sys.stdlib_module_names)
    other = "openvino tokenizers safetensors huggingface_hub tqdm torch qdrant_client rich typer"
    assert "numpy" in loaded
    assert not loaded & set(other.split())


def test_exports_are_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def export(folder: Path) -> None:
        made.append(folder)
        assert not list(folder.iterdir())
        (folder / "part").touch()
        if len(made) == 1:
            raise WorkerError("stopped")

    target = tmp_path / "exports" / "onnx-int8"
    with pytest.raises(WorkerError):
        exports.prepare(target, export)
    assert exports.prepare(target, export) == target
    assert exports.prepare(target, export) == target
    assert len(made) == 2
    assert list(target.parent.iterdir()) == [target]
    texts = Path(exports.write_calibration(tmp_path / "calibration"))
    assert len(texts.read_text(encoding="utf-8").splitlines()) == 300


def test_interrupted_run_shows_what_was_finished(
    small: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finished: list[str] = []

    def stop_in_second_round(
        python: str, task: dict[str, Any], environment: Mapping[str, str]
    ) -> dict[str, Any]:
        if len(finished) == 3:
            raise KeyboardInterrupt
        finished.append(task["implementation"])
        return {"latencies": [0.001, 0.002], "peak_mb": 1, "remark": ""}

    monkeypatch.setattr(session, "run_worker", stop_in_second_round)
    monkeypatch.setattr(session, "versions", lambda name: {})
    there = ("multiqa auto", "sentence-transformers")
    monkeypatch.setattr(session, "why_absent", lambda name: None if name in there else "absent")
    with pytest.raises(typer.Exit) as stopped:
        bench("query-latency", model=small.model, rounds=5)
    assert stopped.value.exit_code == 130
    assert finished == ["multiqa auto", "sentence-transformers", "multiqa auto"]
    shown = capsys.readouterr().out
    assert "1.50 (1.50–1.50)" in shown
    assert "Interrupted" in shown


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_chart(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    rows = [Row("multiqa auto", {"× x": [2, 3]}), Row("x", {"× x": [1, 1]}), Row("y", note="gone")]
    table = Table("encode", "Encoding", [Column("texts/s"), Column("× x", 2)], rows)
    report = Report("2026-11-23", {"cpus": 2, "processor": "p"}, {}, Settings(), [table], {}, False)
    file = tmp_path / f"chart{suffix}"
    assert chart.draw(report, file)
    assert file.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")
    assert not chart.draw(replace(report, tables=[]), file)
    with pytest.raises(ConfigurationError, match=r"'chart.jpg', expected a name that ends in .png"):
        chart.check(tmp_path / "chart.jpg")


def test_ratios() -> None:
    assert speed_ratios([1, 2], [4, 4]) == [4, 2]
    assert speed_ratios([1, 2], None) == []


def _found(table: Table, _: Session) -> list[Table]:
    return [table]


def test_all_runs_every_measure(small: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MEASURES:
        table = Table(name, name, (), ())
        monkeypatch.setitem(MEASURES, name, partial(_found, table))
    report: Report = measure("all", small)
    assert [table.measure for table in report.tables] == list(MEASURES)


@pytest.mark.slow
@pytest.mark.soak
def test_quantization(small: Settings) -> None:
    (table,) = measure("quantization", replace(small, samples=40)).tables
    assert row(table, "none")["bytes/vector"] == 1536
    assert row(table, "none")["recall@10"] == 1
    assert row(table, "int8")["recall@10"] >= row(table, "binary, rescore=False")["recall@10"]
