"""The dead-letter file: what could not be stored, why, and enough to try again.

One JSON object per line:

    {"time": …, "collection": …, "source": …, "line": 17, "id": …, "duplicate": false,
     "reason": …, "known": …, "fields": {…}, "chunk_size": 250, "chunk_overlap": 0,
     "record": {…}}           or "raw": "…", or "raw_base64": "…" where that is not UTF-8

`known` is the hash of what the collection had of the document, so that `replay` does not put an
older version over a newer one. A record is one letter, however many runs reject it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from multiqa_integrations.errors import ConfigurationError, SourceError
from multiqa_integrations.etl.changes import Rejection
from multiqa_integrations.etl.documents import Fields
from multiqa_integrations.etl.files import parse_json
from multiqa_integrations.etl.job import MAX_CHUNK_SIZE, MIN_CHUNK_SIZE, Job
from multiqa_integrations.etl.letter_file import LetterFile
from multiqa_integrations.etl.records import BadRecord, Record, SourceItem
from multiqa_integrations.texts import repair_surrogates
from multiqa_integrations.types import Document
from multiqa_integrations.values import json_value

_REQUIRED = {
    "source": (str, "a string"),
    "reason": (str, "a string"),
    "fields": (dict, "an object"),
    "chunk_size": (int, "a whole number"),
    "chunk_overlap": (int, "a whole number"),
}
_OPTIONAL = {
    "collection": (str, "a string"),
    "id": (str, "a string or null"),
    "known": (str, "a string or null"),
    "duplicate": (bool, "true or false"),
    "record": (dict, "an object"),
    "document": (dict, "an object"),
    "raw": (str, "a string"),
    "raw_base64": (str, "a string"),
}

# How deep a letter may be nested: Python reads some 990 levels, and writes a few less.
_MAX_LEVELS = 500


@dataclass(frozen=True, slots=True)
class Letter:
    """A line of a dead-letter file.

    Attributes:
        line: Its line, from 1.
        raw: The line as it is in the file.
        value: What it says.
    """

    line: int
    raw: bytes
    value: dict[str, Any]

    @property
    def id(self) -> str | None:
        """The document's id when it was rejected, where it was known."""
        id: str | None = self.value.get("id")
        return id

    @property
    def duplicate(self) -> bool:
        """Whether it was rejected because an earlier record had its id."""
        return bool(self.value.get("duplicate"))

    @property
    def key(self) -> tuple[str, ...]:
        """Names the record: of several letters about it, the last one counts."""
        return letter_key(self.value)

    @property
    def settings(self) -> tuple[str, str, int, int]:
        """How it is to be stored; letters of the same settings are stored in one job."""
        fields = json.dumps(self.value["fields"], sort_keys=True)
        return self.value["source"], fields, self.value["chunk_size"], self.value["chunk_overlap"]

    def item(self) -> Record | BadRecord:
        """Return the record, to be tried again."""
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
        # It is not JSON, but a row of CSV perhaps: the reason is still the one that it had.
        return BadRecord(self.line, value["reason"], raw, self.id)

    def tried(self, rejection: Rejection, job: Job) -> bytes:
        """Return its line after it was rejected again."""
        news = letter_value(rejection, job)
        return dump({**self.value, **{name: news[name] for name in ("time", "reason", "known")}})


class DeadLetters:
    """The letters of one source of a collection: a run adds some, those that it stores go.

    Other runs may write to the same file meanwhile.

    Attributes:
        unwritten: How many letters could not be written.
        error: Why the file could not be written, from the first time on.
    """

    def __init__(self, path: Path | None, job: Job) -> None:
        """Begin; without a path, nothing is written."""
        self._file = None if path is None else LetterFile(path)
        self._job = job
        self._written: dict[tuple[str, ...], str] = {}
        self._ids: set[str] = set()  # of documents that have letters from earlier runs
        self._stored: set[str] = set()
        self._rejected: set[tuple[str, ...]] = set()
        self._superseded = False
        self.unwritten = 0
        self.error: SourceError | None = None

    def write(self, rejection: Rejection) -> None:
        """Write a letter, unless the file has it; it is on disk on return, but for a power cut.

        One that cannot be written is counted: it must not cost the records beside it.
        """
        if self._file is None:
            return
        value = letter_value(rejection, self._job)
        key, content = letter_key(value), _content_digest(value)
        self._rejected.add(key)
        if self._written.get(key) != content:
            try:
                self._file.append(dump(value))
            except SourceError as error:
                self.unwritten += 1
                self.error = self.error or error
                return
            self._superseded |= key in self._written
            self._written[key] = content

    @property
    def ids(self) -> Set[str]:
        """Documents that have letters from earlier runs."""
        return self._ids

    def stored(self, id: str) -> None:
        """Note that a document is stored: letters about it are done with."""
        if id in self._ids:
            self._stored.add(id)

    def __enter__(self) -> DeadLetters:
        """Read what letters there are.

        Raises:
            SourceError: The file cannot be read.
        """
        if self._file is not None:
            for raw in self._file.lines():
                value = _value(raw)
                if value is not None and self._is_of_the_job(value):
                    self._written[letter_key(value)] = _content_digest(value)
                    if value.get("id") is not None and not value.get("duplicate"):
                        self._ids.add(value["id"])
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file is None or not (self._stored or self._superseded):
            return
        try:
            self._file.rewrite(self._without_done)
        except SourceError as failure:  # the next run takes them out
            self.error = self.error or failure

    def _without_done(self, lines: Sequence[bytes]) -> list[bytes]:
        last: dict[tuple[str, ...], int] = {}
        done: set[int] = set()
        for number, raw in enumerate(lines):
            value = _value(raw)
            if value is None or not self._is_of_the_job(value):
                continue
            key = letter_key(value)
            # After a record was stored, another of its id may have been rejected by this run.
            is_open = value.get("duplicate") or key in self._rejected
            if value.get("id") in self._stored and not is_open:
                done.add(number)
            earlier = last.setdefault(key, number)
            if earlier != number:
                done.add(earlier)
                last[key] = number
        return [raw for number, raw in enumerate(lines) if number not in done]

    def _is_of_the_job(self, value: Mapping[str, Any]) -> bool:
        job = self._job
        of = value["source"], value.get("collection", job.collection)
        return of == (job.options.source_name, job.collection)


def letter_value(rejection: Rejection, job: Job) -> dict[str, Any]:
    """Return the letter of a rejection."""
    options = job.options
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "collection": job.collection,
        "source": options.source_name,
        **({} if rejection.file is None else {"file": rejection.file}),
        "line": rejection.line,
        "id": rejection.id,
        "duplicate": rejection.duplicate,
        "reason": rejection.reason,
        "known": rejection.stored_hash,
        "fields": options.fields.to_dict(),
        "chunk_size": options.chunk_size,
        "chunk_overlap": options.chunk_overlap,
        **letter_content(rejection.record),
    }


def letter_key(value: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the record of a letter: by its id, or where that says nothing, by what it holds."""
    source, id = value["source"], value.get("id")
    if id is not None and not value.get("duplicate"):
        return source, "id", id
    held = [value.get(name) for name in ("record", "document", "raw", "raw_base64", "repr")]
    if not any(held):
        held = [value.get("line"), value["reason"]]
    return source, "content", id or "", _digest(held)


def dump(value: Mapping[str, Any]) -> bytes:
    """Write a letter as one line of ASCII, which holds lone surrogates too."""
    return json.dumps(value).encode("ascii")


def _content_digest(value: Mapping[str, Any]) -> str:
    return _digest(
        {name: held for name, held in value.items() if name not in ("time", "file", "line")}
    )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("ascii")).hexdigest()


def letter_content(record: object) -> dict[str, Any]:
    """Return what a letter holds of a record, as it was read."""
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
        metadata = record.metadata
        metadata = dict(metadata) if isinstance(metadata, Mapping) else metadata
        name, value = "document", {"text": record.text, "id": record.id, "metadata": metadata}
    try:
        json.dumps(value)
        fits = not _is_deep(value)
    except (TypeError, ValueError, RecursionError):
        fits = False
    if not fits:
        try:
            return {name: json_value(value, "the record")}
        except Exception:  # noqa: BLE001  (of a class of the user's)
            return {"repr": _repr(value)}  # cannot be taken up again, but looked at
    return {name: value}


def _is_deep(value: object) -> bool:
    """Return whether a value of JSON may be nested too deeply for Python to write it."""
    level: list[Any] = [value]
    for _ in range(_MAX_LEVELS):
        objects = [item.values() if isinstance(item, dict) else item for item in level]
        level = [i for items in objects if not isinstance(items, str) for i in items]
        level = [item for item in level if isinstance(item, dict | list | tuple)]
        if not level:
            return False
    return True


def _repr(value: object) -> str:
    try:
        return repr(value)[:10_000]
    except Exception as error:  # noqa: BLE001  (of a class of the user's, or nested too deeply)
        return f"{type(value).__name__}, which cannot be shown ({error})"


def read_letters(file: LetterFile) -> tuple[list[Letter], dict[int, str]]:
    """Read a dead-letter file.

    Returns:
        The letters, and why other lines are not JSON: what a killed run has left, for example.

    Raises:
        SourceError: It cannot be read, or has a line that is something else; `line` says which.
    """
    letters: list[Letter] = []
    torn: dict[int, str] = {}
    for number, raw in enumerate(file.lines(), start=1):
        if not raw.strip():
            continue
        try:
            value = _parse(raw)
        except (ValueError, RecursionError) as error:
            torn[number] = f"this is not JSON: {error}"
            continue
        if (problem := _problem(value)) is not None:
            raise _not_a_letter_error(file, number, problem)
        letters.append(Letter(number, raw, value))
    if torn and not letters:
        raise _not_a_letter_error(file, *next(iter(torn.items())))
    return letters, torn


def _not_a_letter_error(file: LetterFile, line: int, problem: str) -> SourceError:
    return SourceError(
        f"line {line} of {file.path} is not a dead letter: {problem}. Correct or remove the line; "
        "nothing was written.",
        source=str(file.path),
        line=line,
    )


def _parse(raw: bytes) -> Any:
    # Of bytes, json would take a line of UTF-16, which cannot be cut into lines.
    return json.loads(raw.decode("utf-8-sig"))


def _value(raw: bytes) -> dict[str, Any] | None:
    """Return what a line says, if it is a letter."""
    try:
        value = _parse(raw)
    except (ValueError, RecursionError):
        return None
    return value if _problem(value) is None else None


def _problem(value: Any) -> str | None:
    """Return why a value of JSON is not a letter; None if it is one."""
    if not isinstance(value, dict):
        return f"it is {type(value).__name__}, expected an object"
    for name, (kind, expected) in {**_REQUIRED, **_OPTIONAL}.items():
        found = value.get(name)
        if found is None and name in _OPTIONAL:
            if name in value and "or" not in expected:
                return f"{name!r} is null, expected {expected}"
            continue
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            return f"{name!r} is {found!r}"[:200] + f", expected {expected}"
    source, size, overlap = value["source"], value["chunk_size"], value["chunk_overlap"]
    if not source.strip() or source != repair_surrogates(source):
        return f"'source' is {source!r}, expected the name of a source"
    if not MIN_CHUNK_SIZE <= size <= MAX_CHUNK_SIZE or not 0 <= 2 * overlap < size:
        return (
            f"'chunk_size' is {size} and 'chunk_overlap' {overlap}, expected {MIN_CHUNK_SIZE} to "
            f"{MAX_CHUNK_SIZE} and under half of that"
        )
    if _is_deep(value):
        return f"it is nested more than {_MAX_LEVELS} levels deep"
    try:
        Fields(**value["fields"])
    except (ConfigurationError, TypeError) as error:
        return f"its 'fields': {error}"
    document = value.get("document", {"text": "", "id": None, "metadata": {}})
    if document.keys() != {"text", "id", "metadata"}:
        return f"'document' has {list(document)}, expected text, id and metadata"
    try:
        base64.b64decode(value.get("raw_base64", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        return f"'raw_base64': {error}"
    return None


class Letters:
    """Letters as a source."""

    def __init__(self, letters: Sequence[Letter], name: str) -> None:
        """Take letters."""
        self.name = name
        self.total: int | None = len(letters)
        self._letters = letters
        self._read = 0

    def __iter__(self) -> Iterator[SourceItem]:
        """Read them from the first."""
        for number, letter in enumerate(self._letters, start=1):
            self._read = number
            yield letter.item()

    def fraction(self) -> float | None:
        """Return how many have been read."""
        return self._read / self.total if self.total else None
