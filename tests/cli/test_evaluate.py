"""`multiqa evaluate`, run as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from multiqa_integrations.cli import app
from multiqa_integrations.cli.configurations import configurations
from multiqa_integrations.errors import ConfigurationError
from tests.support.loopback_qdrant import LoopbackQdrant
from tests.support.retrieval_set import MakeSet

ENVIRONMENT = {**os.environ, "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}
COMMAND = [sys.executable, "-m", "multiqa_integrations", "evaluate"]


def evaluate(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        env=ENVIRONMENT,
    )


@pytest.mark.slow
def test_two_sets_two_ways(make_set: MakeSet, test_model: Path, tmp_path: Path) -> None:
    result = evaluate(
        *[make_set("first"), make_set("second"), "--model", test_model, "--max-seq-length", "8"],
        *["--against", "mode=bm25", "--run-dir", tmp_path / "runs"],
        *["--json", tmp_path / "report.json", "--html", tmp_path / "report.html"],
    )
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in report["sets"]] == ["first", "second"]
    assert report["missing"] == []
    assert report["configurations"][0]["settings"]["max_seq_length"] == 8
    for one in report["sets"]:
        for kept in one["results"]:
            assert f"│ {kept['configuration']}" in result.stdout
            assert f"{kept['nDCG@10']:.4f}" in result.stdout
        assert one["results"][0]["cut_documents"] == 5
    assert "• 5 of 5 documents (100.0%)" in result.stdout
    assert "not searched: 1 ('spare')" in result.stdout
    assert len(list((tmp_path / "runs").iterdir())) == 4
    assert "</html>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    if sys.platform != "win32":  # they name and quote queries: nobody else may read them
        written = [*(tmp_path / "runs").iterdir(), *tmp_path.glob("report.*")]
        assert {stat.S_IMODE(file.stat().st_mode) for file in written} == {0o600}


@pytest.mark.slow
def test_in_a_store(
    make_set: MakeSet, test_model: Path, tmp_path: Path, loopback: LoopbackQdrant
) -> None:
    folder = make_set()
    options = ["--model", test_model, "--search", "hnsw", "--mode", "hybrid"]
    embedded = evaluate(folder, *options, "--path", tmp_path / "store")
    assert embedded.returncode == 0, embedded.stderr
    assert "hybrid hnsw" in embedded.stdout
    on_server = evaluate(folder, *options, "--url", loopback.url)
    assert on_server.returncode == 0, on_server.stderr
    assert loopback.client.get_collections().collections == []


def test_a_damaged_set_is_found_out_first(
    make_set: MakeSet, test_model: Path, tmp_path: Path
) -> None:
    good, bad = make_set("good"), make_set("bad")
    (bad / "queries.jsonl").write_text('{"_id": "q1"}\n', encoding="utf-8")
    result = evaluate(good, bad, "--model", test_model, "--json", tmp_path / "report.json")
    assert result.returncode == 1
    assert "queries.jsonl, line 1: 'text' is None, expected a string" in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "report.json").exists()


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    result = evaluate(tmp_path / "scifct")
    assert result.returncode == 2
    assert "scifct is not a directory" in result.stderr


def test_two_folders_of_one_name(make_set: MakeSet, test_model: Path, tmp_path: Path) -> None:
    folders = [str(make_set("set")), str(make_set("other/set"))]
    result = CliRunner().invoke(app, ["evaluate", *folders, "--model", str(test_model)])
    assert isinstance(result.exception, ConfigurationError)
    assert "two of the folders are called 'set'" in str(result.exception)


@pytest.mark.slow
def test_interrupted_it_keeps_the_finished_sets(
    make_set: MakeSet, test_model: Path, tmp_path: Path
) -> None:
    first = make_set("first")
    endless = make_set(
        "endless",
        documents={f"d{n}": ("", "rain and wind " * 60) for n in range(50_000)},
        qrels=[("q1", "d1", 1)],
    )
    report, page = tmp_path / "report.json", tmp_path / "report.html"
    arguments = [first, endless, "--model", test_model, "--json", report, "--html", page]
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        encoding="utf-8",
        env=ENVIRONMENT,
    )
    try:
        while process.poll() is None and not (report.exists() and _sets(report) == ["first"]):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "not finished: endless" in errors
    assert json.loads(report.read_text(encoding="utf-8"))["missing"] == ["endless"]
    assert "Not finished: endless." in page.read_text(encoding="utf-8")


def _sets(report: Path) -> list[str]:
    try:
        return [one["name"] for one in json.loads(report.read_text(encoding="utf-8"))["sets"]]
    except ValueError:  # it is being written
        return []


def test_the_extra_is_missing(make_set: MakeSet) -> None:
    script = (
        "import sys; sys.modules['ir_measures'] = None; sys.argv[0] = 'multiqa'\n"
        "from multiqa_integrations.__main__ import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, "evaluate", str(make_set())],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        env=ENVIRONMENT,
    )
    assert result.returncode == 1
    assert "pip install 'multiqa-integrations[evaluate]'" in result.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--url", "http://localhost:1"], "nothing would be searched there"),
        (["--limit", "9"], "limit is 9, expected 10 or more"),
        (["--search", "hnsw", "--hnsw-ef", "64"], "200 hits are taken from the graph"),
        (["--against", "dtype=float32"], "two configurations are called"),
        (["--json", "nowhere/report.json"], "'nowhere/report.json' cannot be written"),
        (["--run-dir", "/dev/null/runs"], "'/dev/null/runs' cannot be written"),
        (["--test-model"], "--test-model and --model exclude each other"),
    ],
)
def test_bad_options(make_set: MakeSet, test_model: Path, options: list[str], message: str) -> None:
    arguments = [str(make_set()), "--model", str(test_model), "--dtype", "float32", *options]
    result = CliRunner().invoke(app, ["evaluate", *arguments])
    assert isinstance(result.exception, ConfigurationError)
    assert message in str(result.exception)


# --- from options to configurations ---------------------------------------------------------


def test_against_changes_the_options() -> None:
    options = {"model": "a/b", "dtype": "float32", "search": "hnsw", "hnsw_ef": 64, "mode": None}
    base, *others = configurations(
        options,
        ["dtype=int8, max-seq-length=128", "search=exact", "mode=bm25", "quantization=none"],
        offline=True,
    )
    settings = [one.settings for one in others]
    assert (base.search, base.hnsw_ef, base.mode) == ("hnsw", 64, "dense")
    assert (settings[0]["dtype"], settings[0]["max_seq_length"]) == ("int8", 128)
    assert settings[0]["hnsw_ef"] == 64
    assert (others[1].search, others[1].hnsw_ef) == ("exact", None)
    assert (others[2].mode, others[2].search, others[2].hnsw_ef) == ("bm25", "exact", None)
    assert others[3].quantization == "none"
    assert all(one["local_files_only"] for one in settings)


@pytest.mark.parametrize(
    ("against", "message"),
    [
        ("int8", "--against has 'int8', expected NAME=VALUE"),
        ("colour=red", "--against has 'colour=red'.*mode, search"),
        ("hnsw_ef=wide", "expected a whole number for hnsw_ef"),
        ("oversampling=much", "expected a number for oversampling"),
        ("rescore=maybe", "expected yes or no for rescore"),
    ],
)
def test_against_must_make_sense(against: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        configurations({}, [against], offline=True)
