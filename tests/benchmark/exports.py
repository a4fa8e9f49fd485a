"""The forms of the weights that some peers read, made once and kept."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmark.texts import read_texts

if TYPE_CHECKING:
    from tests.benchmark.session import Session

_CALIBRATION_TEXTS = 300  # as many as sentence-transformers takes of its default data set


def prepare(session: Session, name: str) -> Path:
    """Return the directory of an export; made now if it is not there.

    Args:
        session: Settings and surroundings of the run.
        name: A name in `implementations.EXPORTS`.

    Raises:
        WorkerError: It cannot be made.
    """
    folder = session.settings.exports or session.folder / "exports"
    # The fingerprint is of the weights: another checkpoint gets exports of its own.
    target = folder / session.checkpoint.fingerprint.removeprefix("sha256:")[:12] / name
    if target.is_dir():
        return target
    session.step(f"making the {name} export (once)")
    unfinished = target.with_name(f"{name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was stopped
    unfinished.mkdir(parents=True)
    session.run("export", implementation=name, folder=str(unfinished), texts=_calibration(session))
    unfinished.rename(target)
    return target


def _calibration(session: Session) -> str:
    # Not of the texts to be measured: int8 would be calibrated to what its cosine is taken of.
    file = session.folder / "calibration" / "train.jsonl"
    if not file.exists():
        file.parent.mkdir()
        texts = islice(read_texts(None), _CALIBRATION_TEXTS)
        file.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
    return str(file)
