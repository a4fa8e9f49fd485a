"""A run of the benchmark: each job in a process of its own, several rounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multiqa_integrations import backends
from multiqa_integrations.checkpoint import resolve
from multiqa_integrations.errors import ConfigurationError, MultiQAError
from multiqa_integrations.model import MULTI_QA, default_model


class WorkerError(MultiQAError):
    """A benchmark process failed."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a run.

    Attributes:
        model: A hub name or a directory.
        texts: Any file that `multiqa sync` reads; None for the documentation of Python.
        text_field: The field of a record that holds its text.
        limit_tokens: Longest text in word pieces, [CLS] and [SEP] included.
        samples: Number of texts.
        rounds: How often each job runs.
        url: A server that documents are stored on, instead of this disk.
        device: "cpu", or an accelerator by torch's name for it; "auto" is whatever an encoder
            takes on this machine.

    Raises:
        ConfigurationError: A number is out of range, or the device cannot be used here.
        MissingDependencyError: The device needs the extra `torch`.
    """

    model: str = field(default_factory=default_model)
    texts: Path | None = None
    text_field: str = "text"
    limit_tokens: int = MULTI_QA.max_seq_length
    samples: int = 800
    rounds: int = 3
    url: str | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("samples", "rounds"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}, expected 1 or more.")
        object.__setattr__(self, "device", _usable_device(self.device))
        if not 3 <= self.limit_tokens <= MULTI_QA.max_positions:
            raise ConfigurationError(
                f"limit_tokens is {self.limit_tokens}, expected 3 to {MULTI_QA.max_positions}."
            )


def _usable_device(device: str) -> str:
    compute = backends.choose(device=device)
    if not compute.on_accelerator:
        return "cpu"
    from multiqa_integrations.backends.torch_device import open_device

    open_device(compute.device, threads=None, forked=False)
    return compute.device


class Session:
    """The settings of a run, the model's files, and a folder for texts and vectors.

    Attributes:
        settings: The settings.
        checkpoint: The model.
        folder: A temporary folder.
        step: Called with what begins now, how many steps of the measure are done, and how many
            there are; without numbers for what has one step.
    """

    def __init__(self, settings: Settings, folder: Path, step: Callable[..., None]) -> None:
        self.settings = settings
        # Found, and fetched if need be, before any process starts: workers never use the network.
        self.checkpoint = resolve(settings.model)
        self.folder = folder
        self.step = step

    def write(self, name: str, texts: Sequence[str]) -> str:
        """Write texts for the workers; returns the file's name."""
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(list(texts)), encoding="utf-8")
        return str(file)

    def run(
        self, job: str, dtypes: Sequence[str] = ("auto",), **arguments: Any
    ) -> dict[str, list[dict[str, Any]]]:
        """Run a function of `jobs` for each dtype in turn, several rounds.

        Returns:
            Its results of each dtype, one per round, and the life of the process as `wall_s`.

        Raises:
            WorkerError: A process failed.
        """
        rounds = self.settings.rounds
        turns = [(number, dtype) for number in range(1, rounds + 1) for dtype in dtypes]
        results: dict[str, list[dict[str, Any]]] = {dtype: [] for dtype in dtypes}
        task = {
            "job": f"multiqa_integrations.benchmark.jobs:{job}",
            "model": str(self.checkpoint.directory),
            "limit_tokens": self.settings.limit_tokens,
            "device": self.settings.device,
            **arguments,
        }
        for done, (number, dtype) in enumerate(turns):
            label = f"{job.replace('_', ' ')}: round {number} of {rounds}, {dtype}"
            self.step(label, done, len(turns))
            results[dtype].append(run_worker(sys.executable, {**task, "dtype": dtype}, os.environ))
        return results


def run_worker(
    python: str, task: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    """Run a task in a process of its own; returns its result and the process's life, `wall_s`.

    Raises:
        WorkerError: It failed.
    """
    begin = time.perf_counter()
    # The command is a Python, this one or one that the user named, with a module of this package.
    done = subprocess.run(  # noqa: S603
        [python, "-m", "multiqa_integrations.benchmark.jobs"],
        input=json.dumps(task),
        capture_output=True,
        encoding="utf-8",
        check=False,
        env=environment,
    )
    wall_s = time.perf_counter() - begin
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it wrote nothing"])[-1]
        raise WorkerError(f"{task['job']} ended with status {done.returncode}: {last}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result | {"wall_s": wall_s}
