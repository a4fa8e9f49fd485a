"""The forms of the weights that some peers read, made once and kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from multiqa_integrations.benchmark.texts import read_texts

_CALIBRATION_TEXTS = 300  # as many as sentence-transformers takes of its default data set


def prepare(target: Path, export: Callable[[Path], None]) -> Path:
    """Return the directory of an export; made now if it is not there.

    Args:
        target: The directory.
        export: Fills an empty one.
    """
    if target.is_dir():
        return target
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was stopped
    unfinished.mkdir(parents=True)
    export(unfinished)
    unfinished.rename(target)
    return target


def write_calibration(folder: Path) -> str:
    """Write texts to calibrate int8 with; returns the file's name.

    They are not the texts to be measured: int8 would be calibrated to what its cosine is taken of.
    """
    file = folder / "train.jsonl"
    if not file.exists():
        folder.mkdir()
        texts = islice(read_texts(None), _CALIBRATION_TEXTS)
        file.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
    return str(file)
