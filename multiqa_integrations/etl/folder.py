"""A folder of documents as a source: each file is a record, its relative path the id."""

from __future__ import annotations

import copy
import os
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from multiqa_integrations._optional import require
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.etl.html import parse_html
from multiqa_integrations.etl.records import (
    MAX_RECORD_BYTES,
    BadRecord,
    Record,
    SourceItem,
    Unread,
)
from multiqa_integrations.texts import repair_surrogates

SUFFIXES = (".txt", ".md", ".html", ".htm", ".rst")
_HTML = (".html", ".htm")


class Folder:
    """The documents in a folder and those below it, in the order of their paths.

    A record has the fields `id` (the path from the folder, with slashes), `text`, `path`, and for
    HTML `title`. Hidden files and folders are left out. What cannot be looked at (a folder without
    permission, a link to a folder, a link whose target is away) is `Unread`; a file that cannot be
    read is a `BadRecord`.
    """

    def __init__(self, folder: Path, glob: str | None = None) -> None:
        """Find the files.

        Raises:
            ConfigurationError: The pattern is not one, or selects files of other kinds.
        """
        self.name = str(folder)
        self._folder = folder
        self._unread: list[str] = []
        files = sorted(self._walk(Path(), None if glob is None else PurePath(glob).parts))
        if glob is None:
            self._paths = [path for path in files if path.suffix.lower() in SUFFIXES]
        else:
            self._paths = self._select(files, glob)
        if any(path.suffix.lower() in _HTML for path in self._paths):
            require("bs4", purpose="reading HTML")
        self.total: int | None = len(self._paths)
        self._before = self._read = 0

    def part(self, start: int, stop: int, *, unread: bool) -> Folder:
        """Return some of its documents as a source, with the numbers that they have in it.

        Args:
            start: The first of them, from 0.
            stop: The one after the last.
            unread: Whether what could not be looked at belongs to it.
        """
        part = copy.copy(self)
        part._paths = self._paths[start:stop]
        part._unread = self._unread if unread else []
        part._before = start
        part.total = len(part._paths)
        return part

    def __len__(self) -> int:
        """Count its documents."""
        return len(self._paths)

    def __iter__(self) -> Iterator[SourceItem]:
        """Read it from its beginning."""
        for reason in self._unread:
            yield Unread(None, reason)
        for number, path in enumerate(self._paths, start=1):
            self._read = number
            yield self._item(self._before + number, path)

    def fraction(self) -> float | None:
        """Return how much of it has been read."""
        return self._read / self.total if self.total else None

    def _walk(self, folder: Path, pattern: Sequence[str] | None) -> Iterator[Path]:
        """Yield the files below a folder of this one; note what cannot be looked at."""
        folders = [folder]  # not by recursion: they may be nested deeper than Python's calls
        while folders:
            yield from self._list(folders.pop(), pattern, folders)

    def _list(
        self, folder: Path, pattern: Sequence[str] | None, folders: list[Path]
    ) -> Iterator[Path]:
        """Yield the files of a folder, and add the folders in it to those that are left."""
        try:
            with os.scandir(self._folder / folder) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            self._note(folder, f"cannot be listed ({error.strerror})")
            return
        for entry in visible:
            path = folder / entry.name
            try:
                is_folder = entry.is_dir()
                if is_folder and not _may_hold(path.parts, pattern):
                    continue
                if is_folder and entry.is_symlink():
                    self._note(path, "is a link to a folder, which is not followed")
                elif is_folder:
                    folders.append(path)
                elif entry.is_file():
                    yield path
                elif entry.is_symlink() and not (self._folder / path).exists():
                    self._note(path, "is a link whose target is away")
                elif path.suffix.lower() in SUFFIXES:
                    self._note(path, "is neither a file nor a folder")
            except OSError as error:
                self._note(path, f"cannot be looked at ({error.strerror})")

    def _select(self, files: Sequence[Path], glob: str) -> list[Path]:
        try:
            selected = {path.relative_to(self._folder) for path in self._folder.glob(glob)}
        except (OSError, ValueError, NotImplementedError) as error:
            raise ConfigurationError(f"glob is {glob!r}: {error}.") from error
        paths = [path for path in files if path in selected]
        for path in paths:
            if path.suffix.lower() not in SUFFIXES:
                raise ConfigurationError(
                    f"{glob!r} selects {path} too, expected {', '.join(SUFFIXES)} only."
                )
        return paths

    def _note(self, path: Path, reason: str) -> None:
        name = self.name if path == Path() else f"{_name(path)} in {self.name}"
        self._unread.append(f"{name} {reason}")

    def _item(self, number: int, path: Path) -> SourceItem:
        name = _name(path)
        try:
            with open(self._folder / path, "rb", opener=_open_at_once) as file:
                before = os.fstat(file.fileno())
                if not stat.S_ISREG(before.st_mode):
                    return BadRecord(number, f"{name} is not a regular file any more", id=name)
                content = file.read(MAX_RECORD_BYTES + 1)
                after = os.fstat(file.fileno())
        except OSError as error:
            return BadRecord(number, f"{name} cannot be read ({error.strerror})", id=name)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            return BadRecord(number, f"{name} was written while it was read", id=name)
        return document_of(number, name, content)


def document_of(number: int, name: str, content: bytes) -> SourceItem:
    """Make a record of a file's content; of one that is too large, its beginning will do."""
    if len(content) > MAX_RECORD_BYTES:
        return BadRecord(number, f"{name} is larger than {MAX_RECORD_BYTES:,} bytes", id=name)
    if name.lower().endswith(_HTML):
        return parse_html(number, name, content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return BadRecord(number, f"line {line} of {name} is not UTF-8", id=name)
    return Record(number, {"id": name, "text": text, "path": name})


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; that of a named pipe would wait for whoever writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _name(path: PurePath) -> str:
    return repair_surrogates(path.as_posix())  # of names that are not UTF-8


def _may_hold(folder: Sequence[str], pattern: Sequence[str] | None) -> bool:
    """Return whether a pattern may select files below a folder."""
    if pattern is None or (not folder and pattern):
        return True
    if len(pattern) < 2:  # the last part selects files
        return pattern == ("**",)
    if pattern[0] == "**":
        return True
    return fnmatchcase(folder[0], pattern[0]) and _may_hold(folder[1:], pattern[1:])
