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
from multiqa_integrations.backends import Compute, cpu
from multiqa_integrations.cli import doctor
from multiqa_integrations.qdrant import Collection
from multiqa_integrations.testing import FakeEncoder
from tests.support.engines import local_client


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
    commands = "demo search collection copy alias reembed encode doctor bench evaluate"
    for command in commands.split():
        assert command in text


def test_encode_lines_to_npy(test_model: Path, tmp_path: Path, encoder: MultiQAEncoder) -> None:
    lines = ["How many people live in London?", "", "naïve “quotes”"]
    source = tmp_path / "lines.txt"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    output = tmp_path / "vectors.npy"
    result = multiqa("encode", source, "-o", output, "-m", test_model, "--dtype", "float32")
    assert result.returncode == 0, result.stderr
    vectors = np.load(output)
    np.testing.assert_allclose(vectors, encoder.encode(lines), atol=1e-5)
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


@pytest.mark.slow
def test_encode_json_lines_from_gzip(
    test_model: Path, tmp_path: Path, encoder: MultiQAEncoder
) -> None:
    records = [{"id": i, "body": f"record number {i}"} for i in range(5)]
    source = tmp_path / "records.jsonl.gz"
    with gzip.open(source, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    result = multiqa(
        "encode", source, "--text-field", "body", "-m", test_model, "--dtype", "float32"
    )
    assert result.returncode == 0, result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [{k: v for k, v in r.items() if k != "vector"} for r in found] == records
    np.testing.assert_allclose(
        np.array([r["vector"] for r in found], np.float32),
        encoder.encode([str(r["body"]) for r in records]),
        atol=1e-5,
    )


@pytest.mark.slow
def test_encode_standard_input(test_model: Path) -> None:
    result = multiqa("encode", "-", "-m", test_model, stdin="one\ntwo\n")
    assert result.returncode == 0, result.stderr
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == ["one", "two"]


@pytest.mark.slow
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
    test_model: Path, tmp_path: Path, content: bytes, options: tuple[str, ...], message: str
) -> None:
    source = tmp_path / "records.jsonl"
    source.write_bytes(content)
    result = multiqa("encode", source, "-m", test_model, *options)
    assert result.returncode == (2 if options else 1)
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_encode_leaves_no_half_file(test_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "records.jsonl"
    source.write_text('{"text": "x"}\nnot json\n', encoding="utf-8")
    result = multiqa("encode", source, "-o", tmp_path / "out.npy", "-m", test_model)
    assert result.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["records.jsonl"]


@pytest.mark.slow
def test_encode_tells_of_truncation(test_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "long.txt"
    source.write_text("word " * 400 + "\nshort\n", encoding="utf-8")
    output = tmp_path / "out.npy"
    result = multiqa("encode", source, "-o", output, "-m", test_model)
    assert result.returncode == 0
    assert "1 of 2 texts" in result.stderr
    result = multiqa("encode", source, "-o", output, "-m", test_model, "--on-truncation", "error")
    assert result.returncode == 1
    assert "402 word pieces" in result.stderr


def test_doctor_reports_a_working_model(test_model: Path) -> None:
    result = multiqa("doctor", "-m", test_model)
    assert result.returncode == 0, result.stdout
    for expected in ("openvino", "sha256:53aa5117", "length 1.000000", "HF_HUB_OFFLINE is set"):
        assert expected in result.stdout


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ("avx512f avx512_vnni", "int8, a little less exact (see"),
        ("avx512f avx512_vnni avx512_bf16", "exact; in bulk about as fast as bfloat16 (see"),
        ("avx512_bf16", "bfloat16, this one"),
        ("avx2", "float32"),
    ],
)
def test_doctor_says_which_dtype_is_the_fastest_and_for_what(
    features: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "cpu_features", lambda: frozenset(features.split()))
    assert said in doctor._fastest(Compute("openvino", "bfloat16", "cpu", "a test"))


def test_doctor_fails_where_something_is_missing(tmp_path: Path) -> None:
    result = multiqa("doctor", "-m", tmp_path)
    assert result.returncode == 1
    assert "missing" in result.stdout


def test_unknown_model_is_one_message(tmp_path: Path) -> None:
    result = multiqa("encode", "-", stdin="x\n", HF_HOME=str(tmp_path))
    assert result.returncode == 5
    assert "multiqa download" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_demo_answers_and_keeps_its_index(test_model: Path, tmp_path: Path) -> None:
    question = "When is an object deleted from memory?"
    # An empty hub cache and no network: the demo must say that it uses the test model.
    first = multiqa("demo", "--path", tmp_path / "index", "--ask", question, HF_HOME=str(tmp_path))
    assert first.returncode == 0, first.stderr
    assert "Not the default model" in first.stdout
    assert "garbage-collected" in first.stdout
    assert "help('objects')" in first.stdout
    again = multiqa("demo", "--path", tmp_path / "index", "--ask", question, "-m", test_model)
    assert again.returncode == 0, again.stderr
    assert "from the last time" in again.stdout
    assert "Not the default model" not in again.stdout
    assert "garbage-collected" in again.stdout


@pytest.mark.slow
def test_collections_from_creation_to_the_end(test_model: Path, tmp_path: Path) -> None:
    at = ("--path", tmp_path / "store")
    model = ("-m", test_model)
    made = multiqa("collection", "create", "docs", *at, *model, "--index", "metadata.n:integer")
    assert (made.returncode, made.stdout) == (0, "docs: created; indexed metadata.n\n")
    again = multiqa("collection", "create", "docs", *at, *model)
    assert again.stdout == "docs: exists with 0 points, fits\n"
    with Collection.open(
        "docs", encoder=MultiQAEncoder(test_model), path=tmp_path / "store"
    ) as docs:
        docs.add(
            ["The red button stops it.", "Oil it yearly. [bold]"],
            ids=["stop", "oil"],
            metadatas=[{"n": 1}, {"n": 2}],
        )
    checked = multiqa("collection", "check", "docs", *at, *model)
    assert checked.stdout == "docs: fits; 2 points, filled by this model\n"
    info = multiqa("collection", "info", "docs", *at).stdout
    for shown in ("384 × float32, cosine", "metadata.n: integer", "sha256:53aa51172d14"):
        assert shown in info
    assert multiqa("collection", "list", *at).stdout == "docs\n"

    found = multiqa("search", "docs", "how do I turn it off?", "maintenance", *at, *model)
    assert found.returncode == 0, found.stderr
    assert found.stdout.index("stop") < found.stdout.index("maintenance")
    assert "Oil it yearly. [bold]" in found.stdout
    only = json.dumps({"must": [{"key": "metadata.n", "match": {"value": 2}}]})
    lines = multiqa("search", "docs", "off", *at, *model, "--filter", only, "--json").stdout
    hit = json.loads(lines)
    bare = json.dumps({"must": [{"key": "n", "match": {"value": 2}}]})
    nothing = multiqa("search", "docs", "off", *at, *model, "--filter", bare)
    assert nothing.stderr == "warning: the filter names 'n'; stored is 'metadata.n'.\n"
    assert (hit["id"], hit["text"], hit["metadata"]) == ("oil", "Oil it yearly. [bold]", {"n": 2})

    kept = multiqa("collection", "drop", "docs", *at, stdin="n\n")
    assert kept.returncode == 4
    assert "2 points" in kept.stdout
    assert "docs was kept" in kept.stderr
    assert multiqa("alias", "live", "docs", *at).returncode == 0
    assert multiqa("collection", "drop", "docs", *at, "--yes").returncode == 4
    assert multiqa("collection", "drop", "live", *at, "--yes").returncode == 4
    assert multiqa("alias", "docs", "docs", *at).returncode == 4
    assert multiqa("collection", "drop", "absent", *at, "--yes").returncode == 3
    assert multiqa("collection", "list", *at).stdout == "docs  (alias live)\n"
    dropped = multiqa("collection", "drop", "docs", *at, "--yes", "--force")
    assert dropped.stdout == "docs: dropped, with live\n"
    assert multiqa("collection", "list", *at).stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("collection", "check", "docs", "--path", "{tmp}"), 3, "no collection 'docs'"),
        (("collection", "create", "docs"), 2, "give --url (a Qdrant server) or --path"),
        (("collection", "create", "docs", "--path", "{tmp}", "--index", "x"), 2, "FIELD:KIND"),
        (("collection", "create", "docs", "--path", "{tmp}", "--distance", "l2"), 2, "'cosine'"),
        (("search", "docs", "x", "--path", "{tmp}"), 3, "no collection 'docs'"),
        (("search", "docs", "x", "--path", "{tmp}", "--filter", "{}x"), 2, "filter of Qdrant"),
        (("search", "docs", "x", "--url", "http://localhost:1"), 5, "Is the server up"),
    ],
)
def test_what_goes_wrong_with_collections_is_one_message(
    test_model: Path, tmp_path: Path, arguments: tuple[str, ...], status: int, message: str
) -> None:
    given = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    result = multiqa(*given, "-m", test_model)
    assert result.returncode == status
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_moving_house(test_model: Path, tmp_path: Path) -> None:
    """From local mode into a directory, behind an alias, and on to another model."""
    local, store = tmp_path / "local", tmp_path / "store"
    client = local_client(local)
    with Collection.open("docs", encoder=FakeEncoder(), client=client) as docs:
        docs.add(["The red button stops it.", "Oil it yearly."], ids=["stop", "oil"])
    client.close()

    to = ("--to-path", store, "--to-name", "docs@1")
    dry = multiqa("copy", "docs", "--from-path", local, *to, "--dry-run")
    assert dry.stdout == (
        "docs: 2 points would be copied to docs@1, which has 0 of them. Nothing was written.\n"
    )
    assert not store.exists()
    copied = multiqa("copy", "docs", "--from-path", local, *to)
    assert copied.stdout == ("docs@1: 2 points, as in docs; 2 written, 0 existed\n"), copied.stderr
    again = multiqa("copy", "docs", "--from-path", local, *to)
    assert "0 written, 2 existed" in again.stdout

    dry = multiqa("alias", "docs", "docs@1", "--path", store, "--dry-run")
    assert dry.stdout == (
        "docs would point to docs@1 (2 points); the alias is new. Nothing was changed.\n"
    )
    swapped = multiqa("alias", "docs", "docs@1", "--path", store)
    assert swapped.stdout == "docs now points to docs@1; the alias is new\n"

    dry = multiqa("reembed", "docs", "--path", store, "-m", test_model, "--dry-run")
    assert dry.stdout.startswith("docs@53aa5117: 2 of 2 points would be encoded by ")
    assert dry.stdout.endswith("; then docs would point to it. Nothing was written.\n")
    done = multiqa("reembed", "docs", "--path", store, "-m", test_model)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "docs@53aa5117: 2 points, 2 encoded now, 0 before",
        "docs now points to docs@53aa5117; docs@1 still exists",
    ]
    found = multiqa("search", "docs", "How do I turn it off?", "--path", store, "-m", test_model)
    assert found.stdout.index("stop") < found.stdout.index("oil")
    assert multiqa("collection", "list", "--path", store).stdout == (
        "docs@1\ndocs@53aa5117  (alias docs)\n"
    )
    wrong = multiqa("copy", "docs", "--from-path", local)
    assert (wrong.returncode, "--to-url and --to-path" in wrong.stderr) == (2, True)
