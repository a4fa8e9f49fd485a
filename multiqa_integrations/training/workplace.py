"""The folder beside the output where a training keeps what it needs to go on.

It holds training text and pickled optimiser states, so it is made for its owner alone, and is gone
at the end. What is written there is a run's own: `run.json` says of which.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multiqa_integrations.errors import ConfigurationError, TrainingError
from multiqa_integrations.training.room import cure

if sys.platform != "win32":
    import fcntl

_RUN_FILE = "run.json"


class Workplace:
    """The folder of a run that is to end in a directory. Use it with `with`.

    Attributes:
        out: Where the model will be.
        folder: The folder beside it.
        plan: What an earlier start of the run has planned; None for a new run.
    """

    def __init__(self, out: Path, *, resume: bool) -> None:
        """Look at what is there; nothing is written yet.

        Raises:
            ConfigurationError: The output exists, the folder is somebody else's, or there is a run
                to resume and that was not asked for, or the other way round.
        """
        self.out = Path(os.path.abspath(out.expanduser()))  # noqa: PTH100  (a link stays one)
        self.folder = _folder_of(self.out)
        self._lock: int | None = None
        self._published = False
        try:
            self._require_own()
            taken = self.out.is_symlink() or (
                self.out.exists() and not (self.out.is_dir() and not any(self.out.iterdir()))
            )
            begun = self._run_file.exists()
            is_mounted = self.out.is_mount()
        except OSError as error:
            raise ConfigurationError(
                f"{str(error.filename or out)!r} cannot be looked at ({error.strerror}). Let this "
                "user look there, or name another directory."
            ) from error
        if taken:
            left = (
                f" {str(self.folder)!r} is left of a training to it that did not come to its "
                "end, and holds training text: remove it too."
                if self.folder.exists()
                else ""
            )
            raise ConfigurationError(
                f"{str(out)!r} exists already. Name another directory for the model, or remove it."
                f"{left}"
            )
        if is_mounted:
            raise ConfigurationError(
                f"{str(out)!r} is where a file system is mounted, and a model cannot take its "
                f"place at the end. Name a directory in it, such as {str(self.out / 'model')!r}."
            )
        if begun and not resume:
            raise ConfigurationError(
                f"a training to {str(out)!r} was begun and is not finished. Pass resume=True "
                f"(--resume) to go on, or remove {str(self.folder)!r}."
            )
        if resume and not begun:
            raise ConfigurationError(
                f"there is no training to {str(out)!r} to resume: nothing was kept in "
                f"{str(self.folder)!r}. Leave resume (--resume) out to begin one."
            )
        self.plan = self._read_plan() if begun else None

    @property
    def checkpoints(self) -> Path:
        """Where the trainer writes its checkpoints."""
        return self.folder / "checkpoints"

    @property
    def sets(self) -> Path:
        """Where the retrieval sets are."""
        return self.folder / "sets"

    @property
    def results(self) -> Path:
        """Where checkpoints are made that may become the output."""
        return self.folder / "results"

    def check_same(self, asked: Mapping[str, Any]) -> None:
        """Make sure that what is asked for is what the run was begun with.

        Raises:
            ConfigurationError: It is not; says what differs.
        """
        begun: Mapping[str, Any] = (self.plan or {}).get("asked", {})
        differing = [name for name in {**asked, **begun} if asked.get(name) != begun.get(name)]
        if differing:
            told = "; ".join(
                f"{name} was {_short(begun.get(name))} and is {_short(asked.get(name))}"
                for name in differing
            )
            raise ConfigurationError(
                f"the training to {str(self.out)!r} cannot be resumed: {told}. Pass what it was "
                f"begun with, or remove {str(self.folder)!r} to begin anew."
            )

    def keep_plan(self, plan: Mapping[str, Any]) -> None:
        """Write what was planned; from then on the run can be resumed."""
        partial = self._run_file.with_suffix(".partial")
        partial.write_text(json.dumps(plan), encoding="utf-8")
        partial.replace(self._run_file)
        self.plan = dict(plan)

    def last_checkpoint(self) -> Path | None:
        """Return the last checkpoint that is complete, and remove those that are not."""
        last: tuple[int, Path] | None = None
        for folder in self.checkpoints.glob("checkpoint-*"):
            step = folder.name.rpartition("-")[2]
            try:  # the trainer writes it last
                json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
            except (OSError, ValueError):
                shutil.rmtree(folder, ignore_errors=True)
                continue
            if last is None or int(step) > last[0]:
                last = int(step), folder
        return None if last is None else last[1]

    def publish(self, result: Path) -> None:
        """Make a finished directory the output, all of it at once, and clean up."""
        try:
            result.replace(self.out)
        except OSError as error:
            raise TrainingError(
                f"the model cannot be put to {str(self.out)!r} ({error.strerror}). It is complete "
                f"in {str(result)!r}: move it from there, and remove {str(self.folder)!r}."
            ) from error
        self._published = True
        _remove(self.folder)

    def __enter__(self) -> Workplace:
        """Take the folder.

        Raises:
            TrainingError: Another process has it, or it cannot be written.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self._require_own()
            self.folder.chmod(0o700)
            self._lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
            if sys.platform != "win32":
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for folder in (self.sets, self.results):  # they are made anew from the checkpoints
                shutil.rmtree(folder, ignore_errors=True)
            if self.plan is None:
                shutil.rmtree(self.checkpoints, ignore_errors=True)
            self.results.mkdir()
        except BlockingIOError as error:
            self._release()
            raise TrainingError(
                f"another process is training to {str(self.out)!r}. Wait for it, or name another "
                "directory."
            ) from error
        except OSError as error:
            self._release()
            raise TrainingError(
                f"{str(self.folder)!r} cannot be written ({error.strerror}), and that is where "
                f"checkpoints are kept. {cure(error.errno)}, or name a directory elsewhere."
            ) from error
        return self

    def __exit__(self, *exception: object) -> None:
        if self.plan is None or self._published:  # nothing that could be resumed
            _remove(self.folder)
        else:
            _remove(self.sets)  # text is not kept longer than needed
        self._release()

    def _require_own(self) -> None:
        """Write nowhere, and load nothing, that somebody else has prepared."""
        try:
            status = self.folder.lstat()
        except FileNotFoundError:
            return
        is_foreign = sys.platform != "win32" and status.st_uid != os.geteuid()
        if stat.S_ISLNK(status.st_mode) or is_foreign:
            what = "is a link" if stat.S_ISLNK(status.st_mode) else "belongs to another user"
            raise ConfigurationError(
                f"{str(self.folder)!r} {what}, and checkpoints are kept there. Name another "
                "directory for the model, or have that removed."
            )

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _run_file(self) -> Path:
        return self.folder / _RUN_FILE

    def _read_plan(self) -> dict[str, Any]:
        try:
            plan = json.loads(self._run_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{self._run_file} cannot be read ({error}): the training cannot be resumed. "
                f"Remove {str(self.folder)!r} to begin anew."
            ) from error
        if not isinstance(plan, dict) or not isinstance(plan.get("asked"), dict):
            raise ConfigurationError(
                f"{self._run_file} is not what a training has written. Remove "
                f"{str(self.folder)!r} to begin anew."
            )
        return plan


def is_resumable(out: Path) -> bool:
    """Return whether a training to that directory was begun that can be gone on with."""
    out = Path(os.path.abspath(out.expanduser()))  # noqa: PTH100  (a link stays one)
    try:
        return (_folder_of(out) / _RUN_FILE).exists() and not out.exists()
    except OSError:
        return False


def _folder_of(out: Path) -> Path:
    return out.with_name(f".{out.name}.training")


def _remove(folder: Path) -> None:
    """Remove a folder, to its end also where Ctrl-C comes meanwhile: it holds text."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
