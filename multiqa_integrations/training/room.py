"""What to do where the disk refuses: how much room a training needs, and what else it may be."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

from multiqa_integrations.errors import TrainingError

RESUME = "pass resume=True (--resume) to go on"

# At most two checkpoints, each the weights and the two moments of the optimiser; later one of them
# and three blends.
_TIMES = 6
FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def write_error(
    what: str, error: Exception, folder: Path, weights: int, *, again: str
) -> TrainingError:
    """Return the error of what cannot be written: the reason, and the cure for that reason.

    Args:
        what: Cannot be written; the message begins with it.
        error: Of the system, or of safetensors or torch, which tell its reason in words of theirs.
        folder: Where the training writes.
        weights: Bytes of the model's weights.
        again: What to do once there is room, or the fault is mended.
    """
    number, reason = _told(error)
    needed = f"{room(folder, weights)} " if number in FULL else ""
    return TrainingError(f"{what} ({reason}). {needed}{cure(number)}, and {again}.")


def cure(number: int | None) -> str:
    """Return what a person does about a fault of the disk; the beginning of a sentence."""
    if number in FULL:
        return "Make room"
    return "Let this user write there" if number in _REFUSED else "Put that right"


def room(folder: Path, weights: int) -> str:
    """Say what a training needs beside its output, and what there is.

    Args:
        folder: Where it writes.
        weights: Bytes of the model's weights.
    """
    needed = f"A training needs up to {_TIMES * weights / 1e6:,.0f} MB there"
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:  # the message is of another error
        return f"{needed}."
    return f"{needed} in all, and {free / 1e6:,.0f} MB are free now."


def _told(error: Exception) -> tuple[int | None, str]:
    """Return the number that the system has for a fault, where it can be known, and its words."""
    text = str(error).partition("\n")[0]
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno, os.strerror(error.errno)
    if found := re.search(r"os error (\d+)", text):  # as Rust tells it, so safetensors
        return int(found[1]), os.strerror(int(found[1]))
    if found := re.search(r"strerror: (.+)", text):  # as torch tells it
        numbers = {os.strerror(number): number for number in errno.errorcode}
        return numbers.get(found[1]), found[1]
    if "inline_container" in text:  # torch, of a file that has ended too early
        return errno.ENOSPC, "not all of it was written"
    return None, text or type(error).__name__
