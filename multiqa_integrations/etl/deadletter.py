"""The dead-letter file: what could not be stored, why, and enough to try again.

A JSON object a line:

    {"time": …, "source": …, "line": 17, "id": …, "reason": …, "known": …,
     "fields": {…}, "chunk_size": 250, "chunk_overlap": 0,
     "record": {…}}           or "raw": "…", or "raw_base64": "…" where that is not UTF-8

`known` is the hash of what the collection had of the document, so that `replay` does not put an
older version over a newer one.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from multiqa_integrations.errors import SourceError
from multiqa_integrations.etl.changes import Rejection
from multiqa_integrations.etl.documents import Fields
from multiqa_integrations.etl.files import parse_json
from multiqa_integrations.etl.job import Job
from multiqa_integrations.etl.records import BadRecord, Record, SourceItem
from multiqa_integrations.types import Document


class DeadLetters:
    """Writes what was rejected to the end of a file, line by line; it is made with the first."""

    def __init__(self, file: Path | None, job: Job) -> None:
        """Begin; without a file, nothing is written."""
        self._file, self._job = file, job
        self._stream: IO[str] | None = None

    def write(self, rejection: Rejection) -> None:
        """Write a line; it is on disk on return, but for a power cut.

        Raises:
            SourceError: The file cannot be written.
        """
        if self._file is None:
            return
        try:
            if self._stream is None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._stream = self._file.open("a", encoding="utf-8")
            self._stream.write(dump(entry_of(rejection, self._job)) + "\n")
            self._stream.flush()
        except OSError as error:
            raise SourceError(
                f"the dead letters cannot be written to {self._file} ({error}). Make room, or give "
                "another file.",
                source=str(self._file),
            ) from error

    def __enter__(self) -> DeadLetters:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            self._stream.close()


def entry_of(rejection: Rejection, job: Job) -> dict[str, Any]:
    """Make the line of a rejection."""
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "source": job.options.source_name,
        "line": rejection.line,
        "id": rejection.id,
        "reason": rejection.reason,
        "known": rejection.stored_hash,
        "fields": job.options.fields.to_dict(),
        "chunk_size": job.options.chunk_size,
        "chunk_overlap": job.options.chunk_overlap,
        **_content(rejection.record),
    }


def dump(entry: Mapping[str, Any]) -> str:
    """Write an entry as one line of ASCII, which holds lone surrogates too."""
    return json.dumps(entry)


def _content(record: object) -> dict[str, Any]:
    if record is None:
        return {}
    if isinstance(record, bytes):
        try:
            return {"raw": record.decode("utf-8")}
        except UnicodeDecodeError:
            return {"raw_base64": base64.b64encode(record).decode("ascii")}
    if isinstance(record, str):
        return {"raw": record}
    name, value = "record", record
    if isinstance(record, Document):
        about = record.metadata
        about = dict(about) if isinstance(about, Mapping) else about
        name, value = "document", {"text": record.text, "id": record.id, "metadata": about}
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return {"repr": repr(value)[:10_000]}  # cannot be taken up again, but looked at
    return {name: value}


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a dead-letter file.

    Attributes:
        line: Its line, from 1.
        value: What it says.
    """

    line: int
    value: dict[str, Any]

    @property
    def key(self) -> tuple[str, str | int]:
        """Names the document: of several entries about it, the last one counts."""
        return self.value["source"], self.value["id"] or self.line

    @property
    def settings(self) -> tuple[str, str, int, int]:
        """How it is to be stored; entries of the same settings are stored in one job."""
        fields = json.dumps(self.value["fields"], sort_keys=True)
        return self.value["source"], fields, self.value["chunk_size"], self.value["chunk_overlap"]

    def item(self) -> SourceItem:
        """Give the record, to be tried again."""
        value = self.value
        if "document" in value:
            return Record(self.line, Document(**value["document"]))
        if "record" in value:
            return Record(self.line, value["record"])
        if "raw" in value:
            raw = value["raw"].encode("utf-8", "surrogatepass")
        else:
            raw = base64.b64decode(value.get("raw_base64", ""))
        item = parse_json(self.line, raw)
        if isinstance(item, Record):
            return item
        # It is no JSON, but a row of CSV perhaps: the reason is still the one that it had.
        return BadRecord(self.line, value["reason"], raw, value["id"])


def read_entries(file: Path) -> list[Entry]:
    """Read a dead-letter file.

    Raises:
        SourceError: It cannot be read, or is something else.
    """
    entries = []
    number = 0
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    entries.append(Entry(number, _checked(json.loads(line))))
    except OSError as error:
        raise SourceError(f"{file} cannot be read ({error}).", source=str(file)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"line {number} of {file} is no dead letter ({error!r}). Give a file that sync wrote.",
            source=str(file),
            line=number,
        ) from error
    return entries


def _checked(value: Any) -> dict[str, Any]:
    Fields(**value["fields"])
    for name in ("source", "id", "reason", "chunk_size", "chunk_overlap"):
        value[name]
    return dict(value)


def write_entries(file: Path, entries: Sequence[Entry]) -> None:
    """Let a file have these entries and no others, from one moment to the next; or be gone."""
    if not entries:
        file.unlink(missing_ok=True)
        return
    partial = file.with_name(f".{file.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            stream.writelines(dump(entry.value) + "\n" for entry in entries)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


class Entries:
    """Entries of a dead-letter file as a source."""

    def __init__(self, entries: Sequence[Entry], name: str) -> None:
        """Take entries."""
        self.name = name
        self.total: int | None = len(entries)
        self._entries = entries
        self._read = 0

    def __iter__(self) -> Iterator[SourceItem]:
        """Read them from the first."""
        for number, entry in enumerate(self._entries, start=1):
            self._read = number
            yield entry.item()

    def fraction(self) -> float | None:
        """Tell how many have been read."""
        return self._read / self.total if self.total else None
