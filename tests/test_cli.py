"""The command line, run as a person runs it: in a process of its own."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import multiqa_integrations
from multiqa_integrations import MultiQAEncoder


def multiqa(
    *arguments: str | Path, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "multiqa_integrations", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        env={**os.environ, "COLUMNS": "200", "HF_HUB_OFFLINE": "1", **environment},
    )


def test_version_and_help() -> None:
    assert multiqa_integrations.__version__ in multiqa("--version").stdout
    text = multiqa("--help").stdout
    for command in ("demo", "encode", "download", "doctor", "bench"):
        assert command in text


def test_encode_lines_to_npy(sibling: Path, tmp_path: Path, encoder: MultiQAEncoder) -> None:
    lines = ["How many people live in London?", "", "naïve “quotes”"]
    source = tmp_path / "lines.txt"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    output = tmp_path / "vectors.npy"
    result = multiqa("encode", source, "-o", output, "-m", sibling, "--dtype", "float32")
    assert result.returncode == 0, result.stderr
    vectors = np.load(output)
    np.testing.assert_allclose(vectors, encoder.encode(lines), atol=1e-5)
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_encode_json_lines_from_gzip(
    sibling: Path, tmp_path: Path, encoder: MultiQAEncoder
) -> None:
    records = [{"id": i, "body": f"record number {i}"} for i in range(5)]
    source = tmp_path / "records.jsonl.gz"
    with gzip.open(source, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    result = multiqa("encode", source, "--text-field", "body", "-m", sibling, "--dtype", "float32")
    assert result.returncode == 0, result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [{k: v for k, v in r.items() if k != "vector"} for r in found] == records
    np.testing.assert_allclose(
        np.array([r["vector"] for r in found], np.float32),
        encoder.encode([str(r["body"]) for r in records]),
        atol=1e-5,
    )


def test_encode_standard_input(sibling: Path) -> None:
    result = multiqa("encode", "-", "-m", sibling, stdin="one\ntwo\n")
    assert result.returncode == 0, result.stderr
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == ["one", "two"]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b'{"body": "x"}\n', (), "line 1"),
        (b'{"text": "x"}\n{"text": 3}\n', (), "line 2"),
        (b'{"text": "x"}\nnot json\n', (), "line 2"),
        (b'{"text": "\xff"}\n', (), "not UTF-8"),
        (b'{"text": "x"}\n', ("--dtype", "float15"), "float15"),
        (b'{"text": "x"}\n', ("-o", "out.csv"), ".npy or .jsonl"),
    ],
)
def test_encode_bad_input_is_one_message(
    sibling: Path, tmp_path: Path, content: bytes, options: tuple[str, ...], message: str
) -> None:
    source = tmp_path / "records.jsonl"
    source.write_bytes(content)
    result = multiqa("encode", source, "-m", sibling, *options)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_encode_leaves_no_half_file(sibling: Path, tmp_path: Path) -> None:
    source = tmp_path / "records.jsonl"
    source.write_text('{"text": "x"}\nnot json\n', encoding="utf-8")
    result = multiqa("encode", source, "-o", tmp_path / "out.npy", "-m", sibling)
    assert result.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["records.jsonl"]


def test_encode_tells_of_truncation(sibling: Path, tmp_path: Path) -> None:
    source = tmp_path / "long.txt"
    source.write_text("word " * 400 + "\nshort\n", encoding="utf-8")
    output = tmp_path / "out.npy"
    result = multiqa("encode", source, "-o", output, "-m", sibling)
    assert result.returncode == 0
    assert "1 of 2 texts" in result.stderr
    result = multiqa("encode", source, "-o", output, "-m", sibling, "--on-truncation", "error")
    assert result.returncode == 1
    assert "402 word pieces" in result.stderr


def test_doctor_reports_a_working_model(sibling: Path) -> None:
    result = multiqa("doctor", "-m", sibling)
    assert result.returncode == 0, result.stdout
    for expected in ("openvino", "sha256:53aa5117", "length 1.000000", "HF_HUB_OFFLINE is set"):
        assert expected in result.stdout


def test_doctor_fails_where_something_is_missing(tmp_path: Path) -> None:
    result = multiqa("doctor", "-m", tmp_path)
    assert result.returncode == 1
    assert "missing" in result.stdout


def test_unknown_model_is_one_message(tmp_path: Path) -> None:
    result = multiqa("encode", "-", stdin="x\n", HF_HOME=str(tmp_path))
    assert result.returncode == 1
    assert "multiqa download" in result.stderr
    assert "Traceback" not in result.stderr


def test_demo_answers_and_keeps_its_index(sibling: Path, tmp_path: Path) -> None:
    question = "When is an object deleted from memory?"
    # An empty hub cache and no network: the demo must say that it uses the sibling.
    first = multiqa("demo", "--path", tmp_path / "index", "--ask", question, HF_HOME=str(tmp_path))
    assert first.returncode == 0, first.stderr
    assert "Not the true model" in first.stdout
    assert "garbage-collected" in first.stdout
    assert "help('objects')" in first.stdout
    again = multiqa("demo", "--path", tmp_path / "index", "--ask", question, "-m", sibling)
    assert again.returncode == 0, again.stderr
    assert "from the last time" in again.stdout
    assert "Not the true model" not in again.stdout
    assert "garbage-collected" in again.stdout
