"""Start worker processes: each contestant in one of its own, in turn, several rounds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from multiqa_integrations.benchmark.contestants import PEERS, why_absent
from multiqa_integrations.benchmark.settings import Settings
from multiqa_integrations.checkpoint import Checkpoint, resolve
from multiqa_integrations.errors import MultiQAError


class WorkerError(MultiQAError):
    """A benchmark process failed."""


class Session:
    """The surroundings of a run: settings, model files, a folder for texts and vectors.

    Attributes:
        settings: The settings.
        checkpoint: The model that everyone gets.
        folder: A temporary folder; gone when the run ends.
        report: Called with what is going on.
    """

    def __init__(self, settings: Settings, folder: Path, report: Callable[[str], None]) -> None:
        self.settings = settings
        # Found, and fetched if need be, before any process starts; peers never use the network.
        self.checkpoint: Checkpoint = resolve(settings.model)
        self.folder = folder
        self.report = report

    def write(self, name: str, texts: Sequence[str]) -> str:
        """Write texts for the workers; returns the file's name."""
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(list(texts)), encoding="utf-8")
        return str(file)

    def subfolder(self, name: str) -> Path:
        """Make a folder for the vectors of a measure."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def run(self, job: str, **arguments: Any) -> dict[str, Any]:
        """Run a job of `jobs` in a process of its own.

        Returns:
            The job's result, and the life of the whole process as `wall_s`.

        Raises:
            WorkerError: The process failed.
        """
        task = {
            "job": job,
            "model": str(self.checkpoint.directory),
            "limit_tokens": self.settings.limit_tokens,
            **arguments,
        }
        command = [sys.executable, "-m", "multiqa_integrations.benchmark.worker"]
        begin = time.perf_counter()
        output = start(command, json.dumps(task), arguments.get("contestant", "multiqa"))
        wall_s = time.perf_counter() - begin
        result: dict[str, Any] = json.loads(output)
        return result | {"wall_s": wall_s}

    def in_turn(
        self, job: str, names: Iterable[str], **arguments: Any
    ) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
        """Run a job for each contestant in turn, several rounds.

        A peer that cannot take part, or fails, does not stop the others.

        Returns:
            The results of each contestant, one a round; and the reason for each one that has
            none.

        Raises:
            WorkerError: This package's own process failed.
        """
        absent: dict[str, str] = {}
        results: dict[str, list[dict[str, Any]]] = {}
        for name in names:
            if reason := why_absent(name):
                absent[name] = reason
            else:
                results[name] = []
        for number in range(1, self.settings.rounds + 1):
            for name in list(results):
                self.report(f"{job}: round {number} of {self.settings.rounds}, {name}")
                try:
                    results[name].append(self.run(job, contestant=name, **arguments))
                except WorkerError as error:
                    if name not in PEERS:
                        raise
                    absent[name] = f"failed: {error}"
                    del results[name]
        return results, absent


def start(command: list[str], task: str, name: str) -> str:
    """Run a command that reads a task; returns what it writes.

    Raises:
        WorkerError: It failed.
    """
    # The command is this interpreter with a module or a line of code of this package.
    done = subprocess.run(  # noqa: S603
        command, input=task, capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it wrote nothing"])[-1]
        raise WorkerError(
            f"the benchmark process of {name} ended with status {done.returncode}: {last}"
        )
    return done.stdout
