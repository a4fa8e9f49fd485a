"""Ctrl-C and SIGTERM, in this process and as Docker sends it to a command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from multiqa_integrations.cli import jobs
from multiqa_integrations.cli.signals import Signals
from multiqa_integrations.errors import StoreUnavailableError, SyncError, reporting
from tests.support.retrieval_set import MakeSet

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")


def send(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def test_a_command_is_interrupted_once() -> None:
    with Signals(finishes=False) as signals:
        with pytest.raises(KeyboardInterrupt):
            send()
        send()  # while it cleans up
        send(signal.SIGINT)
        assert signals.stop.is_set()
        assert signals.received == signal.SIGTERM


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_job_finishes_what_it_is_at(
    number: signal.Signals, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(number)

    def job() -> None:
        with Signals() as signals:
            send(number)
            assert signals.stop.is_set()
            raise StoreUnavailableError("stopped")

    with pytest.raises(typer.Exit) as exit:
        job()
    assert exit.value.exit_code == status
    assert signal.getsignal(number) == handler
    assert "finishing the current batch" in capsys.readouterr().err


def test_a_job_that_does_not_finish_is_interrupted_and_reports(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Report:
        def to_dict(self) -> dict[str, int]:
            return {"records": 3}

    def job() -> None:
        with Signals(), jobs.showing_report(print, as_json=True), reporting(Report):
            send()
            send()

    with pytest.raises(typer.Exit) as exit:
        job()
    assert exit.value.exit_code == 143
    assert json.loads(capsys.readouterr().out) == {"records": 3, "error": "interrupted"}


def test_an_error_keeps_the_report_that_it_has() -> None:
    error = SyncError("no")
    error.report = "its own"
    with pytest.raises(SyncError), reporting(lambda: "another"):
        raise error
    assert error.report == "its own"


_SIGNALLED_WHILE_IT_IMPORTS = """
import os, signal, sys, time
from multiqa_integrations.__main__ import main

class Finder:
    def find_spec(self, name, *_):
        if name == "multiqa_integrations.cli":
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)

sys.meta_path.insert(0, Finder())
main()
"""


def test_it_is_handled_before_anything_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SIGNALLED_WHILE_IT_IMPORTS], timeout=60, check=False
    )
    assert done.returncode == 143


# --- every command ------------------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "multiqa_integrations"]
SERVER = "{server}"
WHERE = ["-c", "docs", "--url", SERVER, "-m", "{model}"]
WAITING = [
    ["sync", "{rows}", *WHERE],
    ["plan", "{rows}", *WHERE],
    ["verify", "{rows}", *WHERE],
    ["replay", "{letters}", *WHERE],
    ["search", "docs", "why?", "--url", SERVER, "-m", "{model}"],
    ["copy", "docs", "--from-url", SERVER, "--to-path", "{new}"],
    ["reembed", "docs", "--url", SERVER, "-m", "{model}"],
    ["evaluate", "{set}", "-m", "{model}", "--search", "hnsw", "--url", SERVER, "--json", "{new}"],
    ["bench", "ingest", "-m", "{model}", "--url", SERVER],
    ["download", "--to", "{new}"],
    ["demo"],
    ["collection", "list", "--url", SERVER],
]


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that never answers: whoever asks it is at work until a signal comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(120)
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("arguments", WAITING, ids=lambda arguments: " ".join(arguments[:2]))
def test_sigterm_ends_every_command(
    arguments: list[str], silent: socket.socket, test_model: Path, make_set: MakeSet, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{silent.getsockname()[1]}"
    rows, letters = tmp_path / "rows.jsonl", tmp_path / "letters.jsonl"
    rows.write_text('{"id": 1, "text": "The red button stops it."}\n', encoding="utf-8")
    letter = {"source": "default", "reason": "", "fields": {}, "record": {"id": 1, "text": "one"}}
    letters.write_text(
        json.dumps({**letter, "chunk_size": 250, "chunk_overlap": 0}) + "\n", encoding="utf-8"
    )
    values = {
        "server": url,
        "model": test_model,
        "rows": rows,
        "letters": letters,
        "set": make_set(),
        "new": tmp_path / "new",
    }
    process = subprocess.Popen(
        [*COMMAND, *(argument.format_map(values) for argument in arguments)],
        cwd=tmp_path,
        env={**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "hub")},
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "stopped by SIGTERM" in errors
    assert "Traceback" not in errors


def test_sigterm_ends_the_first_process_of_a_container(test_model: Path, tmp_path: Path) -> None:
    """There the kernel drops signals that nobody handles."""
    unshare = shutil.which("unshare")
    isolated = [unshare or "unshare", "--pid", "--fork", "--kill-child", "--map-root-user"]
    if unshare is None or subprocess.run([*isolated, "true"], check=False).returncode:
        pytest.skip("no new namespace of process ids can be made here")
    with subprocess.Popen(
        [*isolated, *COMMAND, "encode", "-", "-o", tmp_path / "new.npy", "-m", test_model],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    ) as process:
        folder = Path(f"/proc/{process.pid}/task/{process.pid}")
        while not list(tmp_path.iterdir()):  # it has begun, and waits for texts
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        (first,) = (folder / "children").read_text(encoding="ascii").split()
        os.kill(int(first), signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 143, errors
    assert list(tmp_path.iterdir()) == []
