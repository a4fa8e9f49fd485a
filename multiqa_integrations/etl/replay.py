"""Take up the records of a dead-letter file again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.etl.changes import Rejection
from multiqa_integrations.etl.deadletter import (
    Entries,
    Entry,
    entry_of,
    read_entries,
    write_entries,
)
from multiqa_integrations.etl.documents import Fields
from multiqa_integrations.etl.job import Job, JobOptions, opened
from multiqa_integrations.etl.ledger import Ledger, Seen
from multiqa_integrations.etl.reports import Progress, ReplayReport
from multiqa_integrations.etl.sync import Run

if TYPE_CHECKING:
    from typing_extensions import Unpack

# They are in the file; or would leave out entries, which then would be gone.
_OF_THE_FILE = ("source_name", "fields", "chunk_size", "chunk_overlap", "format", "glob")
_OF_PARTS = ("shard", "limit")


def replay(
    dead_letter: str | Path,
    collection: str,
    *,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    **options: Unpack[JobOptions],
) -> ReplayReport:
    """Try the records of a dead-letter file again, with the settings of their sync.

    What is stored leaves the file, what still fails stays in it with the new reason. A record is
    dropped as outdated where the collection has another version of its document than at that time.
    Of several entries about one document the last one counts. The lines may be edited before.

    Args:
        dead_letter: The file that `sync` wrote. It is gone at the end if nothing is left.
        collection: The collection.
        progress: Called now and then.
        stop: See `sync`.
        options: See `JobOptions`: where the collection is, the encoder, `max_characters`. What a
            source is called and how it is cut, is in the file.

    Raises:
        SourceError: There is no such file, or it is none of dead letters.
        SyncIncompleteError: It was stopped; the file is as it was.
        ConfigurationError: An argument is wrong.
        LeaseError: A sync of that source is at work.
        StoreError: The store failed for good; the file is as it was.
    """
    for name in _OF_THE_FILE:
        if options.get(name) is not None:
            raise ConfigurationError(f"replay does not go with {name}: it is in the file.")
    for name in _OF_PARTS:
        if options.get(name) is not None:
            raise ConfigurationError(f"replay does not go with {name}: it takes up all entries.")
    file = Path(dead_letter)
    entries = read_entries(file)
    report = ReplayReport(entries=len(entries))
    latest = list({entry.key: entry for entry in entries}.values())
    report.outdated += len(entries) - len(latest)
    left: dict[int, Entry] = {}
    stop = stop or threading.Event()
    for settings in dict.fromkeys(entry.settings for entry in latest):
        some = [entry for entry in latest if entry.settings == settings]
        source_name, fields, chunk_size, chunk_overlap = settings
        job_options: JobOptions = {
            **options,
            "source_name": source_name,
            "fields": Fields(**json.loads(fields)),
            "chunk_size": chunk_size,
            "chunk_overlap": chunk_overlap,
        }
        with opened(Entries(some, str(file)), collection, job_options, stop) as job:
            current = _current(job, some)
            report.outdated += len(some) - len(current)
            _try_again(job, current, left, progress)
            report.stored += len(current) - sum(entry.line in left for entry in current)
    for line in sorted(left):
        value = left[line].value
        report.leave(Rejection(line, value["id"], value["reason"]))
    write_entries(file, [left[line] for line in sorted(left)])
    return report


def _try_again(
    job: Job,
    entries: list[Entry],
    left: dict[int, Entry],
    progress: Callable[[Progress], None] | None,
) -> None:
    by_line = {entry.line: entry for entry in entries}

    def rejected(rejection: Rejection) -> None:
        entry = by_line[rejection.line]
        tried = entry_of(rejection, job)
        news = {name: tried[name] for name in ("time", "reason", "known")}
        left[entry.line] = Entry(entry.line, {**entry.value, **news})

    with Seen() as seen:
        again = replace(job, source=Entries(entries, job.source.name))
        Run(again, seen, len(entries), rejected, progress).to_the_end()


def _current(job: Job, entries: list[Entry]) -> list[Entry]:
    """Leave out the entries whose documents the collection has in another version by now."""
    there = None if job.info() is None else job.collection
    ledger = Ledger(job.store, there, job.source_name, job.stop)
    stored = ledger.look_up([entry.value["id"] for entry in entries if entry.value["id"]])
    current = []
    for entry in entries:
        found = stored.get(entry.value["id"] or "")
        known = entry.value.get("known")
        if not found or any(chunk.hash == known for chunk in found):
            current.append(entry)
    return current
