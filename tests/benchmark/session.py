"""Start worker processes: each implementation in one of its own, in turn, several rounds."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from multiqa_integrations.benchmark.session import WorkerError, run_worker
from multiqa_integrations.checkpoint import Checkpoint, resolve
from tests.benchmark import exports
from tests.benchmark.implementations import EXPORTS, peer, versions, why_absent
from tests.benchmark.settings import Settings

_TOP = Path(__file__).parents[2]


class Session:
    """The surroundings of a run: settings, model files, a folder for texts and vectors.

    Attributes:
        settings: The settings.
        checkpoint: The model that everyone gets.
        folder: A temporary folder; gone when the run ends.
        step: Called with what begins now, how many steps of the measure are done, and how many
            there are; without numbers for what has one step.
        versions: What each peer that took part is made of.
        interrupted: Whether the user stopped the run; results are then those of what was
            finished.
    """

    def __init__(self, settings: Settings, folder: Path, step: Callable[..., None]) -> None:
        self.settings = settings
        # Found, and fetched if need be, before any process starts; peers never use the network.
        self.checkpoint: Checkpoint = resolve(settings.model)
        self.folder = folder
        self.step = step
        self.versions: dict[str, dict[str, str]] = {}
        self.interrupted = False
        self._models: dict[str, str] = {}  # of the implementations that read an export

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
        name = arguments.get("implementation", "multiqa")
        task = {
            "job": f"tests.benchmark.jobs:{job}",
            "model": self._models.get(name, str(self.checkpoint.directory)),
            "limit_tokens": self.settings.limit_tokens,
            **arguments,
        }
        other = self._foreign_python(name)
        path = self._package_folder() if other else str(_TOP)
        environment = {**os.environ, "PYTHONPATH": path}
        return run_worker(other or sys.executable, task, environment)

    def rounds(self, job: str, **arguments: Any) -> list[dict[str, Any]]:
        """Run a job of this package several rounds; returns their results.

        Raises:
            WorkerError: The process failed.
            KeyboardInterrupt: The user stopped it before the first round was finished.
        """
        runs: list[dict[str, Any]] = []
        total = self.settings.rounds
        for number in range(total):
            self.step(f"{_spoken(job)}: round {number + 1} of {total}", number, total)
            try:
                runs.append(self.run(job, **arguments))
            except KeyboardInterrupt:
                if not runs:
                    raise
                self.interrupted = True
                break
        return runs

    def in_turn(
        self, job: str, names: Iterable[str], *, rounds: int | None = None, **arguments: Any
    ) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
        """Run a job for each implementation in turn, several rounds.

        A peer that cannot take part, or fails, does not stop the others. If the user stops it,
        what is finished is returned, and `interrupted` is set.

        Returns:
            The results of each implementation, one a round; and the reason for each one that has
            none.

        Raises:
            WorkerError: This package's own process failed.
            KeyboardInterrupt: The user stopped it before anything was finished.
        """
        absent: dict[str, str] = {}
        results: dict[str, list[dict[str, Any]]] = {}
        for name in names:
            if reason := self.why_absent(name):
                absent[name] = reason
            else:
                results[name] = []
        rounds = rounds or self.settings.rounds
        turns = [(number, name) for number in range(1, rounds + 1) for name in results]
        for done, (number, name) in enumerate(turns):
            if name in absent:  # failed in an earlier round
                continue
            self.step(f"{_spoken(job)}: round {number} of {rounds}, {name}", done, len(turns))
            try:
                results[name].append(self.run(job, implementation=name, **arguments))
            except WorkerError as error:
                if peer(name) is None:
                    raise
                absent[name] = f"failed: {error}"
                del results[name]
            except KeyboardInterrupt:
                if not any(results.values()):
                    raise
                self.interrupted = True
                break
        for name in [name for name, runs in results.items() if not runs]:
            absent[name] = "not measured: interrupted"
            del results[name]
        return results, absent

    def why_absent(self, name: str) -> str | None:
        """Return why an implementation cannot take part; None if it can.

        The export that a peer reads is made here, before any clock runs.
        """
        other = peer(name)
        if other is None:
            return why_absent(name)
        self.step(f"looking for {name}")
        try:
            reason = self._look_up(name)
            if reason is None and other.export:
                reason = self._look_up(other.export)
                if reason:
                    return f"its export {other.export!r} cannot be made: {reason}"
                self._models[name] = str(self._export(other.export))
        except WorkerError as error:
            return f"failed: {error}"
        return reason

    def _export(self, name: str) -> Path:
        folder = self.settings.exports or self.folder / "exports"
        # The fingerprint is of the weights: another checkpoint gets exports of its own.
        target = folder / self.checkpoint.fingerprint.removeprefix("sha256:")[:12] / name

        def export(unfinished: Path) -> None:
            self.step(f"making the {name} export (once)")
            texts = exports.write_calibration(self.folder / "calibration")
            self.run("export", implementation=name, folder=str(unfinished), texts=texts)

        return exports.prepare(target, export)

    def made_of(self, names: Iterable[str]) -> list[str]:
        """Return the packages and versions of each peer among the names, one sentence each."""
        return [
            f"{name}: {', '.join(map(' '.join, self.versions[name].items()))}."
            for name in names
            if name in self.versions
        ]

    def _look_up(self, name: str) -> str | None:
        if self._foreign_python(name):
            found = self.run("look_up", implementation=name)
        else:
            reason = why_absent(name)
            found = {"reason": reason, "versions": {} if reason else versions(name)}
        if found["reason"] is None and name not in EXPORTS:
            self.versions[name] = found["versions"]
        reason_found: str | None = found["reason"]
        return reason_found

    def _foreign_python(self, name: str) -> str | None:
        other = peer(name)
        python = self.settings.pythons.get(other.environment) if other else None
        return str(python) if python else None

    def _package_folder(self) -> str:
        """Return a folder of the package and the laboratory alone, to be put on a peer's path.

        Not the folder where it is installed: the packages beside it would hide the peer's own.
        """
        folder = self.folder / "package"
        if not folder.exists():
            for package in ("multiqa_integrations", "tests/benchmark"):
                shutil.copytree(
                    _TOP / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
                )
        return str(folder)


def _spoken(job: str) -> str:
    return job.replace("_", " ")
