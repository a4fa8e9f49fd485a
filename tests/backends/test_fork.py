"""Forked children: what they inherit of a native library hangs them if anything touches it.

Each case runs in a process of its own with a time limit, so that a hang is a failed test.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import fork_cases
from tests.support.installed import needs_torch

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

SCRIPT = Path(fork_cases.__file__)
# Cases of one line share a process: loading takes most of the time, above all torch's.
OPENVINO = [
    "child_exits,child_encodes,child_encodes_much,child_drops_the_encoder,child_makes_an_encoder",
    "child_drops_what_it_loaded,child_forks_again,child_goes_on_with_a_stream,garbage_in_the_parent",
    "while_another_thread_encodes,fork_from_a_thread",
    "while_another_thread_loads",
    "fork_pool,fork_executor,spawn_pool",
]
TORCH = [
    "child_exits,child_encodes,child_drops_the_encoder,while_another_thread_encodes,fork_pool",
    "while_another_thread_loads",
    "torch_is_the_users_own",
]


def run(
    cases: str, backend: str, directory: Path, limit: float, settings: dict[str, str] | None = None
) -> None:
    with subprocess.Popen(
        [sys.executable, "-X", "faulthandler", str(SCRIPT), cases, backend, str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, **(settings or {})},
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the hanging children too
            pytest.fail(f"{cases} hangs with {backend}: {process.communicate()[0]}")
    assert process.returncode == 0, output
    assert output.endswith("done\n")


@pytest.mark.slow
@pytest.mark.parametrize("cases", OPENVINO)
def test_openvino(test_model: Path, cases: str) -> None:
    run(cases, "openvino", test_model, limit=150)


@pytest.mark.slow
@pytest.mark.parametrize(
    "cases", ["child_encodes_much,child_forks_again,fork_pool,while_another_thread_encodes"]
)
@pytest.mark.parametrize("parallelism", ["true", pytest.param("false", marks=pytest.mark.soak)])
def test_the_users_setting_of_the_tokenizer(test_model: Path, cases: str, parallelism: str) -> None:
    """With "true" the library waits in the child for threads that stayed in the parent."""
    run(cases, "openvino", test_model, 100, {"TOKENIZERS_PARALLELISM": parallelism})


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("cases", TORCH)
def test_torch(test_model: Path, cases: str) -> None:
    run(cases, "torch", test_model, limit=280)


@needs_torch
@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("cases", TORCH)
def test_sentence_transformers(test_model: Path, cases: str) -> None:
    run(cases, "sentence-transformers", test_model, limit=280)
