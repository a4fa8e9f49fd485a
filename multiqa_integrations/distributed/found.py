"""What was found of a source, here and in object stores, and how it is read."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

from multiqa_integrations.distributed.object_stores import access_error, reason
from multiqa_integrations.errors import SourceError, SourceUnavailableError
from multiqa_integrations.etl.folder import Folder, document_of
from multiqa_integrations.etl.records import MAX_RECORD_BYTES, BadRecord, Format, SourceItem

_BUFFER_BYTES = 1 << 20  # that are fetched at a time from an object store


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file as it was found: it is read only as long as it stays so.

    Attributes:
        name: What messages call it.
        path: Where it is: absolute, or in the file system.
        format: What it is.
        size: Its bytes.
        changed: When it was written last, in nanoseconds; None where that is not known.
        filesystem: Of pyarrow; None for files of this machine.
    """

    name: str
    path: str
    format: Format
    size: int
    changed: int | None
    filesystem: Any = field(default=None, compare=False, repr=False)

    @property
    def packed(self) -> bool:
        """Whether it is read from its beginning or not at all."""
        return self.path.lower().endswith(".gz")

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """Open it; raise if it is not, or at the end was not, the file that was found.

        Raises:
            OSError: It is away, or was written since.
        """
        if self.filesystem is not None:
            _let_it_end_in_order()
        self._check_unchanged()
        with self._open() as file:
            yield file
        self._check_unchanged()

    def failure(self, error: Exception) -> SourceError | None:
        """Return what is to be raised where its store is away or refuses; else None.

        Args:
            error: What reading has raised.
        """
        if self.filesystem is None:
            return None
        cause = error.__cause__ if isinstance(error, SourceError) else error
        return access_error(self.name, cause)

    def _open(self) -> IO[bytes]:
        if self.filesystem is None:
            return Path(self.path).open("rb")
        file = self.filesystem.open_input_file(self.path)
        return cast(IO[bytes], io.BufferedReader(file, _BUFFER_BYTES))

    def _check_unchanged(self) -> None:
        if self.filesystem is None:
            status = Path(self.path).stat()
            size, changed = status.st_size, status.st_mtime_ns
        else:
            info = self.filesystem.get_file_info(self.path)
            if not info.is_file:
                raise FileNotFoundError("it is no longer there")
            size, changed = info.size, info.mtime_ns
        if size != self.size:
            raise OSError(f"it had {self.size:,} bytes when it was found, now {size:,}")
        if changed != self.changed:
            raise OSError("it was written after it was found")


class StoredFolder:
    """The documents in a folder of an object store; see `etl.folder.Folder`."""

    def __init__(self, name: str, base: str, filesystem: Any, paths: Sequence[str]) -> None:
        """Take the paths of its documents, from the folder."""
        self.name = name
        self.total: int | None = len(paths)
        self.path, self.filesystem = base, filesystem
        self._paths = paths
        self._before = self._read = 0

    def part(self, start: int, stop: int, *, unread: bool) -> StoredFolder:
        """Return some of its documents as a source; see `Folder.part`."""
        part = StoredFolder(self.name, self.path, self.filesystem, self._paths[start:stop])
        part._before = start
        return part

    def __len__(self) -> int:
        """Count its documents."""
        return len(self._paths)

    def __iter__(self) -> Iterator[SourceItem]:
        """Read it from its beginning.

        Raises:
            SourceUnavailableError: The store is away.
        """
        _let_it_end_in_order()
        for number, path in enumerate(self._paths, start=1):
            self._read = number
            yield self._item(self._before + number, path)

    def fraction(self) -> float | None:
        """Return how much of it has been read."""
        return self._read / len(self._paths) if self._paths else None

    def _item(self, number: int, path: str) -> SourceItem:
        try:
            with self.filesystem.open_input_file(f"{self.path}/{path}") as file:
                content = file.read(MAX_RECORD_BYTES + 1)
        except (OSError, ValueError) as error:  # pyarrow opens no name with two slashes in a row
            failure = access_error(f"{self.name}/{path}", error)
            if isinstance(failure, SourceUnavailableError):  # no other document can be read either
                raise failure from error
            return BadRecord(number, f"{path} cannot be read ({reason(error)})", id=path)
        return document_of(number, path, content)


Found: TypeAlias = FoundFile | Folder | StoredFolder


def _let_it_end_in_order() -> None:
    """Let pyarrow end its client of S3 before the process does.

    Its module does that when it is imported, which pickle leaves out: a worker that got a file
    system from the driver would end with SIGSEGV.
    """
    import pyarrow.fs  # noqa: F401
