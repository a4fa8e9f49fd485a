"""Dead letters, read to be tried again."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from multiqa_integrations.errors import SourceError
from multiqa_integrations.etl.changes import Rejection
from multiqa_integrations.etl.files import parse_json
from multiqa_integrations.etl.job import Job
from multiqa_integrations.etl.letter_file import LetterFile
from multiqa_integrations.etl.letter_format import dump, letter_key, letter_value, parse, problem
from multiqa_integrations.etl.records import BadRecord, Record, SourceItem
from multiqa_integrations.types import Document


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
            value = parse(raw)
        except (ValueError, RecursionError) as error:
            torn[number] = f"this is not JSON: {error}"
            continue
        if (reason := problem(value)) is not None:
            raise _not_a_letter_error(file, number, reason)
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
