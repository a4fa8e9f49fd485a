"""A file of lines that several processes append to and rewrite, and that may hold private data."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from multiqa_integrations.errors import SourceError
from multiqa_integrations.private_files import private, replacing

if sys.platform != "win32":
    import fcntl


class LetterFile:
    """Lines in a file, which is made with the first of them and removed with the last.

    It is made for its owner alone. A file that exists keeps its mode and owner, a link stays one.

    Attributes:
        path: The file as it was named.
    """

    def __init__(self, path: Path) -> None:
        """Take a path; nothing is opened yet.

        Raises:
            SourceError: It cannot be one.
        """
        self.path = path
        try:
            self._target = Path(os.path.realpath(path))
        except ValueError as error:  # of a path with NUL
            raise SourceError(f"{str(path)!r} is no path ({error}).", source=str(path)) from error

    def exists(self) -> bool:
        """Return whether there is such a file.

        Raises:
            SourceError: That cannot be looked at.
        """
        try:
            return self._target.exists()
        except OSError as error:
            raise self._error("looked at", error) from error

    def lines(self) -> Iterator[bytes]:
        """Read its lines, without their ends; none if there is no such file, or it is a device.

        Raises:
            SourceError: It cannot be read.
        """
        try:
            if self._is_device():
                return
            with self._target.open("rb") as file:
                for line in file:
                    yield line.rstrip(b"\r\n")
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._error("read", error) from error

    def check_writable(self) -> None:
        """Make sure that it can be written, by trying: rights alone do not tell on every disk.

        Raises:
            SourceError: It cannot, or would lose what is written: it is a pipe or a socket.
        """
        self._is_device()
        folder = self._target.parent
        # Path.exists would raise without permission for the folder.
        while not os.path.exists(folder) and folder != folder.parent:  # noqa: PTH110
            folder = folder.parent
        try:
            try:
                os.close(os.open(self._target, os.O_RDWR | os.O_APPEND))
            except FileNotFoundError:
                tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise self._error("written", error) from error

    def append(self, line: bytes) -> None:
        """Add a line at the end; all of it or, if that fails, nothing.

        Raises:
            SourceError: It cannot be written.
        """
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            with self._locked(create=True) as file:
                size = os.fstat(file).st_size
                if size:
                    os.lseek(file, size - 1, os.SEEK_SET)
                    if os.read(file, 1) != b"\n":
                        line = b"\n" + line  # after a line that a killed run has half written
                try:
                    _write(file, line + b"\n")
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(file, size)
                    raise
        except OSError as error:
            raise self._error("written", error) from error

    def rewrite(self, change: Callable[[Sequence[bytes]], Sequence[bytes]]) -> None:
        """Replace its lines atomically; nobody else can write meanwhile.

        Args:
            change: Makes the new lines of the old ones.

        Raises:
            SourceError: It cannot be written; it is as it was.
        """
        if self._is_device():
            return
        try:
            with self._locked(create=False):
                lines = change(list(self.lines()))
                if lines:
                    with replacing(self._target) as new:
                        new.writelines(line + b"\n" for line in lines)
                else:
                    self._target.unlink()
        except FileNotFoundError:
            return  # whoever removed it, removed its lines
        except OSError as error:
            raise self._error("written", error) from error

    @contextmanager
    def _locked(self, *, create: bool) -> Iterator[int]:
        """Open the file, alone: not even one that has just replaced it is in other hands."""
        flags = os.O_RDWR | os.O_APPEND | (os.O_CREAT if create else 0)
        while True:
            file = private(str(self._target), flags)
            try:
                if sys.platform != "win32":
                    fcntl.flock(file, fcntl.LOCK_EX)
                opened = os.fstat(file)
                try:
                    current = self._target.stat()
                except FileNotFoundError:
                    current = None
                if current is not None and os.path.samestat(opened, current):
                    yield file
                    return
            finally:
                os.close(file)

    def _is_device(self) -> bool:
        """Return whether it is a device such as /dev/null, which has no lines, or no end.

        Raises:
            SourceError: It is a pipe or a socket, which does not keep what is written.
        """
        try:
            mode = self._target.stat().st_mode
        except OSError:  # whoever opens it says why
            return False
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            raise SourceError(
                f"{self.path} is a pipe or a socket, and dead letters are read and rewritten. Give "
                "a file.",
                source=str(self.path),
            )
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))

    def _error(self, what: str, error: OSError) -> SourceError:
        return SourceError(
            f"the dead letters in {self.path} cannot be {what} ({error}). Make room, or give "
            "another file.",
            source=str(self.path),
        )


def _write(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]
