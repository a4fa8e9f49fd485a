"""The commands of jobs as a person runs them: each in a process, with a real model."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.cli import app
from multiqa_integrations.cli.options import StoreOptions
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant import Collection, open_store
from multiqa_integrations.testing import FakeEncoder
from tests.support.loopback_qdrant import LoopbackQdrant

ROWS = [
    {"id": 1, "text": "The red button stops it.", "lang": "en"},
    {"id": 2, "text": "Oil the chain once a year.", "lang": "en"},
    {"id": 3, "text": "Keep children away from the chain."},
]
BROKEN = {**ROWS[2], "text": None}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "multiqa_integrations", *map(str, arguments)]


ENVIRONMENT = {**os.environ, "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def multiqa(test_model: Path, tmp_path: Path) -> Any:
    """Run a command on the collection "manual" of an embedded store, in an empty directory."""

    def run(*arguments: str | Path, stdin: str = "", model: Path = test_model) -> Any:
        return subprocess.run(
            command(*arguments, "-c", "manual", "--path", tmp_path / "store", "-m", model),
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=240,
            cwd=tmp_path,
            env=ENVIRONMENT,
            check=False,
        )

    return run


def lines(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def report_of(result: Any, status: int) -> dict[str, Any]:
    """The report on standard output, where nothing else is."""
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    return report


@pytest.mark.slow
def test_from_plan_to_replay(multiqa: Any, tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text(lines([*ROWS[:2], BROKEN]), encoding="utf-8")
    letters = tmp_path / "manual.dead-letters.jsonl"

    plan = report_of(multiqa("plan", source, "--limit", "1", "--json"), 0)
    assert (plan["records"], plan["added"], plan["chunks"]) == (1, 1, 1)
    assert plan["estimated_seconds"] > 0
    with open_store(path=tmp_path / "store") as store:
        assert store.collections() == []

    result = multiqa("sync", source)
    assert result.returncode == 3
    for expected in ("manual: 3 records", "2 added or changed, 2 chunks encoded", "1 rejected",
                     "line 3: its text ('text') is missing", str(letters.name)):  # fmt: skip
        assert expected in result.stdout

    verify = multiqa("verify", source)
    assert verify.returncode == 3
    assert "manual differs from its source: 3 records, 2 equal" in verify.stdout

    result = multiqa("replay", letters)
    assert result.returncode == 3
    assert "1 left in" in result.stdout
    assert "line 1: its text ('text') is missing" in result.stdout

    letter = json.loads(letters.read_text(encoding="utf-8"))
    letter["record"] = ROWS[2]
    letters.write_text(json.dumps(letter) + "\n", encoding="utf-8")
    assert report_of(multiqa("replay", letters, "--json"), 0) == {
        "entries": 1,
        "stored": 1,
        "outdated": 0,
        "left": 0,
        "rejections": [],
    }
    assert not letters.exists()

    again = report_of(multiqa("sync", "-", "--json", stdin=lines(ROWS)), 0)
    assert (again["unchanged"], again["encoded"]) == (3, 0)
    source.write_text(lines(ROWS), encoding="utf-8")
    assert report_of(multiqa("verify", source, "--json"), 0)["equal"] == 3


@pytest.mark.slow
def test_prune(multiqa: Any, tmp_path: Path) -> None:
    parts = [
        report_of(multiqa("sync", "-", "--shard", f"{part}/2", "--json", stdin=lines(ROWS)), 0)
        for part in (0, 1)
    ]
    assert sum(part["added"] for part in parts) == 3
    less = lines(ROWS[:1])
    result = multiqa("plan", "-", "--prune", stdin=less)
    assert result.returncode == 4
    assert "--prune would delete nothing: 2 of 3 documents" in result.stdout

    result = multiqa("sync", "-", "--prune", "--json", stdin=less)
    report = report_of(result, 4)
    assert (report["pruning"], report["deleted"]) == ("refused", 0)
    assert "--max-delete-share" in result.stderr

    result = multiqa("sync", "-", "--prune", "--max-delete-share", "0.7", stdin=less)
    assert result.returncode == 0
    assert "2 deleted, no longer in the source" in result.stdout

    result = multiqa("sync", "-", "--prune", stdin="")
    assert result.returncode == 4
    assert "--allow-empty" in result.stderr
    with open_store(path=tmp_path / "store") as store:
        assert store.count("manual") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jsonl"], "no file or folder 'none.jsonl'"),
        (["s3://bucket/rows.jsonl"], "Fetch it first"),
        (["-", "--format", "xml"], "'xml' is not one of"),
        (["-", "--shard", "3"], "--shard is '3'"),
        (["-", "--shard", "0/2", "--prune"], "prune does not go with shard"),
        (["-", "--limit", "2", "--prune"], "prune does not go with limit"),
        (["-", "--on-error", "ignore"], "'ignore' is not one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(multiqa: Any, tmp_path: Path, arguments: list[str], message: str) -> None:
    result = multiqa("sync", *arguments, stdin=lines(ROWS))
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stdout == ""
    with open_store(path=tmp_path / "store") as store:
        assert store.collections() == []


@pytest.mark.slow
def test_a_source_that_breaks_off(multiqa: Any, tmp_path: Path) -> None:
    source = tmp_path / "rows.csv.gz"
    text = "id,text\n" + "".join(f"{number},number {number * 7919}\n" for number in range(3_000))
    source.write_bytes(gzip.compress(text.encode())[:600])
    result = multiqa("sync", source, "--prune", "--json")
    report = report_of(result, 3)
    assert not report["ended"]
    assert report["pruning"] == "left out"
    assert report["added"] == report["records"] > 50
    assert "run it again" in result.stderr


def test_another_model_has_filled_the_collection(multiqa: Any, tmp_path: Path) -> None:
    Collection.open("manual", encoder=FakeEncoder(), path=tmp_path / "store").close()
    result = multiqa("sync", "-", stdin=lines(ROWS))
    assert result.returncode == 4
    assert "fingerprint" in result.stderr


@pytest.mark.slow
def test_store_or_model_not_available(
    multiqa: Any, encoder: MultiQAEncoder, tmp_path: Path
) -> None:
    with Collection.open("manual", encoder=encoder, path=tmp_path / "store"):
        result = multiqa("sync", "-", stdin=lines(ROWS))
        assert result.returncode == 5
        assert "process" in result.stderr
    result = multiqa("sync", "-", stdin=lines(ROWS), model=tmp_path / "none")
    assert result.returncode == 5
    assert str(tmp_path / "none") in result.stderr


def started(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=ENVIRONMENT,
    )


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    while not file.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_sigterm_ends_a_run_with_a_report_and_the_next_one_goes_on(
    multiqa: Any, test_model: Path, tmp_path: Path
) -> None:
    rows = [{"id": number, "text": f"Number {number} is a number."} for number in range(1_400)]
    where = ("-c", "manual", "--path", tmp_path / "store", "-m", test_model)
    letters = tmp_path / "letters.jsonl"
    with started("sync", "-", *where, "--dead-letter", letters, "--json") as process:
        assert process.stdin is not None
        # The rejected record tells that the work has begun; the source has no end yet.
        process.stdin.write(lines([{"id": "bad"}, *rows]))
        process.stdin.flush()
        wait_for(letters, process)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 143, errors
    assert "finishing the current batch" in errors
    report = json.loads(output)
    assert not report["ended"]
    assert "stopped" in report["note"]

    after = report_of(multiqa("sync", "-", "--json", stdin=lines(rows)), 0)
    assert after["unchanged"] == report["added"]
    assert after["added"] == 1_400 - report["added"]
    assert report_of(multiqa("verify", "-", "--json", stdin=lines(rows)), 0)["equal"] == 1_400


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_sigterm_ends_a_run_that_waits_for_standard_input(test_model: Path, tmp_path: Path) -> None:
    where = ("-c", "manual", "--path", tmp_path, "-m", test_model)
    with started("sync", "-", *where, "--json") as process:
        assert process.stdin is not None
        process.stdin.write(lines(ROWS) + '{"id": 4, "text": "half a li')
        process.stdin.flush()
        wait_for(tmp_path / "manual" / "collection.json", process)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143, process.communicate()
        output, _ = process.communicate()
    report = json.loads(output)
    assert (report["ended"], report["rejected"]) == (False, 0)
    assert "stopped" in report["note"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"timeout": 0.0}, "timeout is 0"),
        ({"wait": -1.0}, "wait is -1"),
        ({"ca": Path("nowhere.pem")}, r"verify \(--ca\) is 'nowhere.pem'"),
        ({"grpc": True}, "needs grpc_port="),
        ({"ca": Path(__file__), "no_verify": True}, "exclude each other"),
        ({"no_verify": True, "grpc": True}, "not possible with gRPC"),
        ({"client_cert": Path("none.pem")}, r"client_certificate \(--client-cert\) is 'none.pem'"),
        ({"client_cert": Path(__file__), "client_key": Path("k.pem")}, "is 'k.pem'"),
        ({"client_key": Path("k.pem")}, "needs --client-cert"),
        ({"header": ["s3cret"]}, "expects NAME=VALUE"),
        ({"header": ["a b=s3cret"]}, "not a valid header name"),
        ({"header": ["Authorization=s3cret\n"]}, "not shown"),
        ({"keepalive": 0.0}, "keepalive is 0"),
        ({"consistency": "most"}, "consistency is 'most'"),
        ({"consistency": "0"}, "consistency is 0"),
        ({"ordering": "any"}, "ordering is 'any'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_flags_of_a_connection_reach_it(flags: dict[str, Any], message: str) -> None:
    options = StoreOptions(url="http://127.1:1234", **flags)
    with pytest.raises(ConfigurationError, match=message) as caught:
        options.open()
    assert "s3cret" not in f"{caught.value} {options}"


def test_flags_become_options_of_the_connection(loopback: LoopbackQdrant) -> None:
    flags: dict[str, Any] = {"keepalive": 5.0, "consistency": "2", "ordering": "strong"}
    headers = ["X-Tenant=a=b", "X-Empty="]
    options = StoreOptions(url=loopback.url, header=headers, **flags)
    assert options.connection == {
        "headers": {"X-Tenant": "a=b", "X-Empty": ""},
        "keepalive": 5.0,
        "consistency": 2,
        "ordering": "strong",
    }
    at = ("--url", loopback.url, "--header", headers[0], "--header", headers[1])
    done = run("collection", "list", *at, "--consistency", "all", "--json")
    assert json.loads(done.stdout) == {"collections": [], "aliases": {}}
    assert {sent["x-tenant"] for sent in loopback.headers} == {"a=b"}


# --- errors in the middle of the work -----------------------------------------------------------


def run(*arguments: object) -> Any:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_an_error_that_ends_a_job_comes_with_what_was_done(
    loopback: LoopbackQdrant, test_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "rows.jsonl"
    source.write_text(lines([*ROWS, BROKEN]), encoding="utf-8")
    where = ("-c", "manual", "--url", loopback.url, "-m", test_model, "--wait", 0)
    loopback.faults.unavailable = 1.0
    done = run("sync", source, *where, "--json")
    assert done.exit_code == 5
    report = json.loads(done.stdout)
    assert (report["records"], report["rejected"], report["ended"]) == (4, 1, False)
    assert "Service Unavailable" in report["error"]
    assert report["error"] in " ".join(done.stderr.split())
    done = run("sync", source, *where)
    assert done.exit_code == 5
    assert "manual: 4 records" in done.stdout
    for command in ("plan", "verify"):
        loopback.faults.away = 1
        done = run(command, source, *where, "--json")
        assert done.exit_code == 5
        assert "502" in json.loads(done.stdout)["error"]
    loopback.faults.unavailable = 0.0
    letters = tmp_path / "manual.dead-letters.jsonl"
    letter = json.loads(letters.read_text(encoding="utf-8").splitlines()[0])
    letters.write_text(json.dumps({**letter, "record": ROWS[0]}) + "\n", encoding="utf-8")
    loopback.faults.unavailable = 1.0
    done = run("replay", letters, *where, "--json")
    assert done.exit_code == 5
    report = json.loads(done.stdout)
    assert (report["entries"], report["stored"], report["left"]) == (1, 0, 1)
    assert "Service Unavailable" in report["error"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_letters_that_could_not_be_written_are_not_pointed_to(
    loopback: LoopbackQdrant, test_model: Path, tmp_path: Path
) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text(lines([BROKEN, *ROWS[:2]]), encoding="utf-8")
    where = ("-c", "manual", "--url", loopback.url, "-m", test_model)
    done = run("sync", source, *where, "--dead-letter", "/dev/full")
    assert done.exit_code == 3, done.stderr
    assert "2 added or changed" in done.stdout
    assert "1 of them without a dead letter" in done.stdout
    assert "multiqa replay" not in done.stdout
    assert "the dead letters in /dev/full cannot be written" in " ".join(done.stderr.split())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_copy_that_waits_for_its_server(
    loopback: LoopbackQdrant, number: signal.Signals, status: int
) -> None:
    with open_store(url=loopback.url) as store:
        Collection.open("docs", encoder=FakeEncoder(), store=store).add(["one", "two"])
    loopback.faults.unavailable = 1.0  # of writes: it waits after it has read
    where = ("--from-url", loopback.url, "--to-url", loopback.url, "--to-name", "new")

    def signal_once_it_waits() -> None:
        while not loopback.seen["unavailable"]:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=signal_once_it_waits, daemon=True).start()
    done = run("copy", "docs", *where, "--json")
    assert done.exit_code == status
    report = json.loads(done.stdout)
    assert (report["target"], report["written"]) == ("new", 0)
    assert report["error"]
