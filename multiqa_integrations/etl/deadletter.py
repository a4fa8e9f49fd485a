"""Write dead letters as a run rejects records, and remove those that it stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from multiqa_integrations.errors import SourceError
from multiqa_integrations.etl.changes import Rejection
from multiqa_integrations.etl.job import Job
from multiqa_integrations.etl.letter_file import LetterFile
from multiqa_integrations.etl.letter_format import (
    content_digest,
    dump,
    letter_key,
    letter_value,
    parse_letter,
)


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
        key, content = letter_key(value), content_digest(value)
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
                value = parse_letter(raw)
                if value is not None and self._is_of_the_job(value):
                    self._written[letter_key(value)] = content_digest(value)
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
            value = parse_letter(raw)
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
