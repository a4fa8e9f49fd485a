"""Encoding while the program ends: it works, or raises an error of the package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MAKE = """
import asyncio, atexit, sys, threading, time
from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.coroutines import in_thread
from multiqa_integrations.errors import MultiQAError

TEXTS = ["word " * number for number in range(1, 150, 3)]
encoder = MultiQAEncoder(sys.argv[1], backend="openvino")
"""
AT_EXIT = """
def late():
    for vectors in (
        encoder.encode_query(["a query"]),
        encoder.encode_document(TEXTS),
        *encoder.encode_stream(TEXTS),
        asyncio.run(in_thread(encoder.encode, TEXTS)),
    ):
        print(vectors.shape)
    print(encoder.count_tokens(["word " * 5_000] * 60).sum())  # several calls of the tokenizer

atexit.register(late)
"""
EXPECTED = ["(1, 384)", "(50, 384)", "(50, 384)", "(50, 384)", "300120"]
IN_THREADS = """
encoder.encode(TEXTS)
errors = []

def work(texts):
    try:
        while True:
            encoder.encode(texts)
            encoder.count_tokens(["word " * 5_000] * 15)
    except BaseException as error:
        errors.append(error)

for texts in (["a"], ["word " * 100], TEXTS, TEXTS):
    threading.Thread(target=work, args=(texts,), daemon=True).start()
time.sleep(0.2)
"""
# Registered before the package is imported, and so called after everything else.
LAST = """
import atexit, time

@atexit.register
def last():
    time.sleep(0.2)
    assert encoder.encode(TEXTS).shape == (50, 384)  # the main thread still can
    print(*{type(error).__name__ for error in errors if not isinstance(error, MultiQAError)})
"""

# The program ends in the middle of it.
LOADING = """
from multiqa_integrations import backends

began = threading.Event()
load = backends.load

def slow(*args, **options):
    began.set()
    time.sleep(0.2)
    loaded = load(*args, **options)
    print("loaded", flush=True)
    return loaded

backends.load = slow
threading.Thread(target=encoder.encode, args=(["a"],), daemon=True).start()
began.wait()
"""


def run(script: str, directory: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script, str(directory)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-3000:])
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("warm", ["", "encoder.encode(TEXTS)\n"], ids=["cold", "warm"])
def test_in_a_function_that_is_called_at_exit(test_model: Path, warm: str) -> None:
    assert run(MAKE + warm + AT_EXIT, test_model) == EXPECTED


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.soak) for n in (1, 2))])
def test_in_daemon_threads(test_model: Path, number: int) -> None:
    """A thread that came back from OpenVINO or the tokenizer at the wrong time aborted all."""
    assert run(LAST + MAKE + IN_THREADS, test_model) == [""]


def test_while_a_daemon_thread_loads_the_model(test_model: Path) -> None:
    """OpenVINO aborted the process, and the weights file was closed while it was read."""
    assert run(MAKE + LOADING, test_model) == ["loaded"]


@pytest.mark.slow
def test_in_daemon_threads_of_a_program_that_raises(test_model: Path) -> None:
    script = MAKE + IN_THREADS + "sys.exit(7)\n"
    done = subprocess.run(
        [sys.executable, "-c", script, str(test_model)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 7, done.stderr[-3000:]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signal to itself")
def test_a_signal_after_models_have_gone(test_model: Path) -> None:
    """OpenVINO left the address of a stack for signals that had gone, and Ctrl-C was a crash."""
    script = """
import os, signal, sys, time
from multiqa_integrations import MultiQAEncoder

def used(dtype):
    encoder = MultiQAEncoder(sys.argv[1], backend="openvino", dtype=dtype)
    encoder.encode_query(["a"])
    return encoder

first, second, third = used("float32"), used("int8"), used("auto")
del second
MultiQAEncoder(sys.argv[1], backend="openvino", dtype="float32")  # the latest is kept
del third
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)
except KeyboardInterrupt:
    print(first.encode_query(["a"]).shape)
"""
    assert run(script, test_model) == ["(1, 384)"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_waits_for_calls_under_way_and_holds_up_others() -> None:
    """Else there would always be one under way where several threads encode."""
    script = (
        "import os, threading, time\n"
        "from multiqa_integrations.native import native_call\n"
        "inside, stop = [], threading.Event()\n"
        "def work():\n"
        "    while not stop.is_set():\n"
        "        with native_call:\n"
        "            inside.append(1)\n"
        "            time.sleep(0.002)\n"
        "            inside.pop()\n"
        "threads = [threading.Thread(target=work) for _ in range(8)]\n"
        "def fork():\n"
        "    for _ in range(10):\n"
        "        pid = os.fork()\n"
        "        if not pid:\n"
        "            with native_call:\n"
        "                os._exit(len(inside))\n"
        "        codes.append(os.waitpid(pid, 0)[1])\n"
        "codes = []\n"
        "forking = [threading.Thread(target=fork) for _ in range(3)]\n"
        "for thread in (*threads, *forking):\n"
        "    thread.start()\n"
        "for thread in forking:\n"
        "    thread.join()\n"
        "stop.set()\n"
        "print(codes)\n"
    )
    assert run(script, Path()) == [str([0] * 30)]
