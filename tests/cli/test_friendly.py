"""Typing errors, missing folders and unwritable places: one message, before any work."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from multiqa_integrations import MultiQAEncoder, cli
from multiqa_integrations.cli import app
from multiqa_integrations.errors import ConfigurationError, StoreError
from multiqa_integrations.qdrant import Collection, open_store, retry
from multiqa_integrations.testing import FakeEncoder
from tests.support.loopback_qdrant import LoopbackQdrant

FAKE = ["--model", "nowhere/at-all", "--offline"]  # a model that would be found missing later


def invoke(*arguments: object, error: type[Exception] | None = None) -> str:
    """Run a command in this process; returns what it printed, or the message of its error."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if error is None:
        assert result.exception is None, result.exception
        return result.output
    assert isinstance(result.exception, error), (result.exception, result.output)
    return str(result.exception)


@pytest.fixture
def store(tmp_path: Path, test_model: Path) -> Path:
    """A folder with the collections `articles` and `news`, and the alias `live` of the first."""
    folder = tmp_path / "store"
    for name in ("articles", "news"):
        with Collection.open(name, encoder=MultiQAEncoder(test_model), path=folder):
            pass
    with open_store(path=folder) as opened:
        opened.swap("live", "articles")
    return folder


# --- names --------------------------------------------------------------------------------------

READING = [
    ("search", "artcles", "why"),
    ("collection", "info", "artcles"),
    ("collection", "drop", "artcles", "--yes"),
    ("alias", "other", "artcles"),
    ("alias", "other", "artcles", "--dry-run"),
    ("reembed", "artcles"),
    ("reembed", "artcles", "--dry-run"),
]


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_mistyped_collection(arguments: tuple[str, ...], store: Path, test_model: Path) -> None:
    model = ["-m", test_model] if arguments[0] in ("search", "reembed") else []
    message = invoke(*arguments, "--path", store, *model, error=StoreError)
    assert message == (
        f"there is no collection 'artcles' in {store}. Did you mean 'articles'? "
        "It has: articles, news, live."
    )


def test_a_mistyped_collection_to_copy(store: Path, tmp_path: Path) -> None:
    to = tmp_path / "copies"
    message = invoke("copy", "nwes", "--from-path", store, "--to-path", to, error=StoreError)
    assert "Did you mean 'news'?" in message
    assert not to.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "{file}", "-c", "artcles"),
        ("replay", "{file}", "-c", "artcles"),
        ("collection", "check", "artcles"),
    ],
    ids=" ".join,
)
def test_a_mistyped_collection_of_a_job(
    arguments: tuple[str, ...], store: Path, test_model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("", encoding="utf-8")
    given = [argument.format(file=file) for argument in arguments]
    result = CliRunner().invoke(app, [*given, "--path", str(store), "-m", str(test_model)])
    assert result.exit_code == 3
    assert "Did you mean 'articles'?" in result.stderr


@pytest.mark.parametrize(
    ("faults", "name", "status", "fits", "message"),
    [
        ({}, "docs", 0, True, ""),
        ({}, "missing", 3, None, "there is no collection 'missing'"),
        ({}, "other", 4, False, "fingerprint"),
        ({"away": 1_000}, "docs", 5, None, "502"),
        ({"api_key": "topsecret"}, "docs", 6, None, "API key"),
        ({"broken": {"docs"}}, "docs", 6, None, "broken"),
    ],
    ids=["fits", "missing", "mismatch", "unreachable", "forbidden", "broken"],
)
def test_the_status_of_a_check_says_what_to_do(
    faults: dict[str, Any],
    name: str,
    status: int,
    fits: bool | None,
    message: str,
    loopback: LoopbackQdrant,
    test_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retry, "_BROKEN_SECONDS", 0.0)
    with open_store(url=loopback.url) as opened:
        for collection, encoder in (("docs", MultiQAEncoder(test_model)), ("other", FakeEncoder())):
            Collection.open(collection, encoder=encoder, store=opened)
    for fault, value in faults.items():
        setattr(loopback.faults, fault, value)
    at = ["--url", loopback.url, "--wait", "0", "-m", str(test_model)]
    result = CliRunner().invoke(app, ["collection", "check", name, *at, "--json"])
    report = json.loads(result.stdout)
    assert (result.exit_code, report["fits"]) == (status, fits)
    assert message in report.get("error", "")


def test_a_collection_of_an_empty_folder(tmp_path: Path) -> None:
    message = invoke("collection", "info", "docs", "--path", tmp_path, error=StoreError)
    assert message == f"there is no collection 'docs' in {tmp_path}. It has no collections yet."


@pytest.mark.parametrize(
    "arguments",
    [*READING, ("collection", "list"), ("collection", "check", "x"), ("verify", "-", "-c", "x")],
    ids=" ".join,
)
def test_a_folder_that_does_not_exist(
    arguments: tuple[str, ...], tmp_path: Path, test_model: Path
) -> None:
    folder = tmp_path / "colections"
    model = [] if arguments[0] in ("collection", "alias") else ["-m", str(test_model)]
    model = ["-m", str(test_model)] if "check" in arguments else model
    result = CliRunner().invoke(app, [*arguments, "--path", str(folder), *model])
    message = str(result.exception) if result.exit_code == 1 else result.stderr
    assert f"{str(folder)!r}, and there is no such folder" in message
    assert not folder.exists()


def test_a_file_is_not_a_folder_of_collections(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")
    assert str(file) in invoke("collection", "list", "--path", file, error=ConfigurationError)


def test_an_index_that_cannot_be_made_leaves_no_collection(
    tmp_path: Path, test_model: Path
) -> None:
    arguments = ("collection", "create", "docs", "--path", tmp_path, "-m", test_model)
    message = invoke(*arguments, "--index", "a[b:keyword", error=ConfigurationError)
    assert "'a[b' cannot be indexed" in message
    assert list(tmp_path.iterdir()) == []


def test_the_list_shows_aliases(store: Path) -> None:
    assert invoke("collection", "list", "--path", store) == "articles  (alias live)\nnews\n"
    assert json.loads(invoke("collection", "list", "--path", store, "--json")) == {
        "collections": ["articles", "news"],
        "aliases": {"live": "articles"},
    }


def test_a_collection_with_an_alias_is_dropped_only_by_force(store: Path) -> None:
    at = ("--path", store)
    message = invoke("collection", "drop", "articles", "--yes", *at, error=StoreError)
    assert "by the alias live" in message
    assert "multiqa alias live NAME" in message
    message = invoke("collection", "drop", "live", "--yes", "--force", *at, error=StoreError)
    assert "'live' is an alias of the collection 'articles'" in message
    assert invoke("collection", "list", *at) == "articles  (alias live)\nnews\n"
    dropped = invoke("collection", "drop", "articles", "--yes", "--force", *at)
    assert dropped == "articles: dropped, with live\n"
    assert invoke("collection", "drop", "news", "--yes", *at) == "news: dropped\n"
    assert invoke("collection", "list", *at) == ""


def test_a_dry_run_answers_as_the_real_run_would(store: Path, test_model: Path) -> None:
    at = ["reembed", "articles", "--path", store, "-m", test_model]
    for dry_run in ([], ["--dry-run"]):
        message = invoke(*at, *dry_run, error=ConfigurationError)
        assert "'articles' has the vectors of this model already" in message
    copies = ["copy", "news", "--from-path", store, "--to-path", store]
    for dry_run in ([], ["--dry-run"]):
        message = invoke(*copies, *dry_run, error=ConfigurationError)
        assert "needs another store or another name" in message


def test_every_report_is_there_as_json(store: Path, test_model: Path, tmp_path: Path) -> None:
    at, model = ("--path", store, "--json"), ("-m", test_model)
    reports = [
        json.loads(invoke(*arguments))
        for arguments in (
            ("collection", "create", "more", *at, *model),
            ("collection", "check", "more", *at, *model),
            ("collection", "info", "more", *at),
            ("alias", "live", "more", *at),
            ("copy", "more", "--from-path", store, "--to-path", tmp_path / "copies", "--json"),
            ("collection", "drop", "news", "--yes", *at),
            ("doctor", "--json", *model),
        )
    ]
    assert [report.get("created") for report in reports[:1]] == [True]
    assert reports[1]["fits"] is True
    assert reports[1]["fingerprint"] == "matches"
    assert reports[2]["vectors"][""]["size"] == 384
    assert reports[3] == {
        "alias": "live",
        "collection": "more",
        "before": "articles",
        "dry_run": False,
    }
    assert (reports[4]["target"], reports[4]["points"]) == ("more", 0)
    assert reports[5] == {"collection": "news", "points": 0, "aliases": []}
    assert reports[6]["works"]


@pytest.mark.slow
def test_quiet_and_verbose(test_model: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "long.txt", tmp_path / "v.npy"
    source.write_text("word " * 400 + "\n", encoding="utf-8")
    arguments = ("encode", str(source), "-o", str(output), "-m", str(test_model))
    assert "warning: 1 of 1 texts" in multiqa(*arguments).stderr
    assert multiqa("--quiet", *arguments).stderr == ""
    refused = multiqa("-v", "collection", "list", "--url", "http://127.0.0.1:9")
    assert (refused.returncode, "Traceback" in refused.stderr) == (5, False)


@pytest.mark.slow
def test_offline_commands_open_no_connection(store: Path, test_model: Path, tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("one\n", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), address)
        for arguments in (
            ("doctor", "-m", str(test_model)),
            ("encode", str(lines), "-m", str(test_model)),
            ("search", "news", "x", "--path", str(store), "-m", str(test_model)),
            ("encode", str(lines)),  # a model that is not here
        ):
            result = multiqa(*arguments, "--offline", HF_HOME=str(tmp_path), **proxies)
            assert result.returncode in (0, 5), result.stderr
            with pytest.raises(BlockingIOError):
                proxy.accept()


# --- places that cannot be written --------------------------------------------------------------


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    file = tmp_path / "lines.txt"
    file.write_text("one\n", encoding="utf-8")
    return file


@pytest.mark.parametrize("place", ["missing", "file", "folder"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("encode", "{lines}", "-o", "{out}.npy"),
        ("encode", "{lines}", "-o", "{out}.jsonl"),
        ("evaluate", "{set}", "--json", "{out}.json"),
        ("evaluate", "{set}", "--html", "{out}.html"),
    ],
    ids=" ".join,
)
def test_a_file_that_cannot_be_written(
    place: str, arguments: tuple[str, ...], tmp_path: Path, lines: Path
) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    out = tmp_path / place / "v"
    suffix = arguments[-1].removeprefix("{out}")
    if place == "folder":
        Path(f"{out}{suffix}").mkdir(parents=True)
    filled = [argument.format(lines=lines, set=tmp_path, out=out) for argument in arguments]
    assert place in invoke(*filled, *FAKE, error=ConfigurationError)


@pytest.mark.parametrize(
    "arguments",
    [
        ("collection", "create", "docs", "--path", "{file}/store"),
        ("collection", "create", "docs", "--path", "{file}"),
        ("demo", "--path", "{file}/store"),
        ("download", "--to", "{file}/model"),
        ("download", "--cache-folder", "{file}"),
        ("evaluate", "{tmp}", "--run-dir", "{file}/runs"),
        ("evaluate", "{tmp}", "--search", "hnsw", "--path", "{file}/store"),
        ("copy", "news", "--from-path", "{store}", "--to-path", "{file}/store"),
    ],
    ids=" ".join,
)
def test_a_folder_that_cannot_be_made(
    arguments: tuple[str, ...], store: Path, tmp_path: Path, test_model: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")
    filled = [argument.format(file=file, tmp=tmp_path, store=store) for argument in arguments]
    if arguments[0] in ("collection", "evaluate"):
        filled += ["-m", str(test_model)]
    assert str(file) in invoke(*filled, error=ConfigurationError)


def test_dead_letters_that_cannot_be_written(tmp_path: Path, test_model: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"id": 1, "text": "x"}\n', encoding="utf-8")
    store = tmp_path / "store"
    arguments = ["sync", file, "-c", "docs", "--path", store, "--dead-letter", file / "x"]
    result = CliRunner().invoke(app, [*map(str, arguments), "-m", str(test_model)])
    assert result.exit_code == 2
    assert str(file / "x") in result.stderr
    assert not store.exists()


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_folder_without_permission(tmp_path: Path, lines: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    message = invoke("encode", lines, "-o", closed / "v.npy", *FAKE, error=ConfigurationError)
    assert str(closed) in message


# --- what encode reads ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.csv", "id,text\n1,The red button\n2,Blue sky\n", ()),
        ("a.CSV", "id,body\n1,The red button\n2,Blue sky\n", ("--text-field", "body")),
        ("a.tsv", "id\ttext\n1\tThe red button\n2\tBlue sky\n", ()),
        ("a.ndjson", '{"text": "The red button"}\n\n{"text": "Blue sky"}\n', ()),
        ("a.data", '{"b": "The red button"}\n{"b": "Blue sky"}\n', ("--text-field", "b")),
        ("a.txt", "The red button\r\nBlue sky", ()),
        ("a", "The red button\nBlue sky\n", ()),
    ],
)
def test_encode_reads_what_sync_reads(
    name: str, content: str, options: tuple[str, ...], test_model: Path, tmp_path: Path
) -> None:
    source, output = tmp_path / name, tmp_path / "v.npy"
    source.write_text(content, encoding="utf-8", newline="")
    shown = invoke("encode", source, "-o", output, "-m", test_model, *options)
    assert shown.startswith(f"{output}: 2 vectors of 384 numbers, by ")
    expected = MultiQAEncoder(test_model).encode_document(["The red button", "Blue sky"])
    np.testing.assert_allclose(np.load(output), expected, atol=1e-5)


def test_encode_reads_parquet(test_model: Path, tmp_path: Path) -> None:
    from pyarrow import parquet, table

    source, output = tmp_path / "a.parquet", tmp_path / "v.jsonl"
    parquet.write_table(table({"text": ["The red button"], "n": [7]}), source)
    summary = json.loads(invoke("encode", source, "-o", output, "-m", test_model, "--json"))
    assert (summary["vectors"], summary["dimension"], summary["output"]) == (1, 384, str(output))
    record = json.loads(output.read_text(encoding="utf-8"))
    assert (record["text"], record["n"], len(record["vector"])) == ("The red button", 7, 384)


@pytest.mark.parametrize("name", ["a.json", "a.md", "a.html", "a.xlsx", "a.pdf", "a.json.gz"])
def test_encode_refuses_what_is_neither_records_nor_lines(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}", encoding="utf-8")
    message = invoke("encode", tmp_path / name, *FAKE, error=ConfigurationError)
    assert "expected lines (.txt), or records (.jsonl" in message
    assert f"multiqa encode - < {tmp_path / name}" in message


def test_encode_refuses_a_folder(tmp_path: Path) -> None:
    assert "multiqa sync" in invoke("encode", tmp_path, *FAKE, error=ConfigurationError)


def test_encode_names_the_fields_of_a_record_without_text(test_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("id,body\n1,The red button\n", encoding="utf-8")
    message = invoke("encode", source, "-m", test_model, error=Exception)
    assert message == (
        f"line 2 of {source}: the text is expected in 'text', found no such field. The record has "
        "id, body; name one with --text-field."
    )


# --- how commands end -----------------------------------------------------------------------------


def multiqa(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "multiqa_integrations", *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    "arguments",
    [(), ("collection",), ("serch",), ("sync",), ("sync", "-", "-c", "x", "--limit", "many")],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    result = multiqa(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: multiqa")
    assert "Traceback" not in result.stderr


def test_an_argument_with_control_characters_is_shown_visibly() -> None:
    result = multiqa("encode", "x.txt", "\x1b]52;c;b3du\x07\u202e.txt")
    assert result.returncode == 2
    assert "\\x1b]52;c;b3du" in result.stderr
    assert not {"\x1b", "\x07", "\u202e"} & set(result.stderr)


@pytest.mark.slow
def test_a_reader_that_has_enough(tmp_path: Path, test_model: Path) -> None:
    source = tmp_path / "lines.txt"
    source.write_text("one line\n" * 400, encoding="utf-8")
    command = [sys.executable, "-m", "multiqa_integrations", "encode"]
    command += [str(source), "-m", str(test_model)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["text"] == "one line"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 1


def test_the_traceback_of_a_bug_is_shown_visibly() -> None:
    script = (
        "import sys; sys.argv = ['multiqa', 'collection', 'list', '--path', '.']\n"
        "from multiqa_integrations.cli import stores, run\n"
        "def fail(**_): raise RuntimeError('bug \\x1b[31m')\n"
        "stores.open_store = fail\n"
        "run()"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=False
    )
    assert result.returncode == 1
    assert result.stderr.endswith("RuntimeError: bug \\x1b[31m\n")


def test_output_that_the_terminal_cannot_show() -> None:
    result = multiqa("encode", "naïve.txt", PYTHONIOENCODING="ascii")
    assert result.returncode == 2
    assert result.stderr == "error: there is no file 'na\\xefve.txt'.\n"


def test_a_full_disk_is_one_message(tmp_path: Path, test_model: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "multiqa_integrations", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr.splitlines() == ["error: [Errno 28] No space left on device"]


def test_run_is_what_the_script_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["multiqa", "--version"])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    # It would stay, and end the tests at their next SIGTERM.
    monkeypatch.setattr(cli, "end_in_time", lambda: None)
    with pytest.raises(SystemExit) as ended:
        cli.run()
    assert ended.value.code == 0
