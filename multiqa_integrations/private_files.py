"""Files that may hold documents: made for their owner alone, whatever the umask is."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def private(path: str, flags: int) -> int:
    """Open a file, as `open(..., opener=private)` does; one that exists keeps its mode."""
    return os.open(path, flags, 0o600)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Write a file anew, atomically: on any error it is what it was.

    One that exists keeps its mode and owner, a link stays one.

    Raises:
        OSError: It cannot be written.
    """
    target = Path(os.path.realpath(path))
    try:
        old = target.stat()
    except FileNotFoundError:
        old = None
    # Nobody can put a link of that name there before.
    partial = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    file = os.open(
        partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600
    )
    try:
        with os.fdopen(file, "wb") as stream:
            if old is not None:
                _give_rights(file, old)
            yield stream
            stream.flush()
            os.fsync(file)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _give_rights(file: int, old: os.stat_result) -> None:
    if sys.platform == "win32":
        return
    mode = stat.S_IMODE(old.st_mode)
    try:
        os.fchown(file, old.st_uid, old.st_gid)
    except PermissionError:  # only root may give files away
        try:
            os.fchown(file, -1, old.st_gid)
        except PermissionError:
            mode &= ~stat.S_IRWXG  # it is another group's now, which had no rights
    os.fchmod(file, mode)
