"""Take up the records of a dead-letter file again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from multiqa_integrations.etl.job import Job, JobOptions, open_job
from multiqa_integrations.etl.lease import Lease
from multiqa_integrations.etl.ledger import Ledger
from multiqa_integrations.etl.reports import Progress, ReplayReport
from multiqa_integrations.etl.seen import Seen
from multiqa_integrations.etl.sync import Run

# Recorded in the file. Those of parts would skip entries, which replay would then drop.
_OF_THE_FILE = ("source_name", "fields", "chunk_size", "chunk_overlap", "format", "glob")
_OF_PARTS = ("shard", "limit")


def replay(
    dead_letter: str | Path,
    collection: str,
    *,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    options: JobOptions | None = None,
    **settings: Any,
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
        options: What jobs take alike: where the collection is, the encoder, `max_characters`. What
            a source is called and how it is split, is in the file.
        settings: The same as keywords: those of `JobOptions`.

    Raises:
        SourceError: There is no such file, or it is none of dead letters.
        SyncIncompleteError: It was stopped; the file is as it was.
        ConfigurationError: An argument is wrong.
        LeaseError: A sync of that source is at work.
        StoreError: The store failed for good; the file is as it was.
    """
    options = (options or JobOptions()).updated(settings)
    defaults = JobOptions()
    for name in (*_OF_THE_FILE, *_OF_PARTS):
        if getattr(options, name) != getattr(defaults, name):
            why = "it is in the file" if name in _OF_THE_FILE else "it takes up all entries"
            raise ConfigurationError(f"replay does not go with {name}: {why}.")
    file = Path(dead_letter)
    entries = read_entries(file)
    report = ReplayReport(entries=len(entries))
    latest = list({entry.key: entry for entry in entries}.values())
    report.outdated += len(entries) - len(latest)
    left: dict[int, Entry] = {}
    for settings_of_sync in dict.fromkeys(entry.settings for entry in latest):
        group = [entry for entry in latest if entry.settings == settings_of_sync]
        source_name, names, chunk_size, chunk_overlap = settings_of_sync
        job_options = replace(
            options,
            source_name=source_name,
            fields=Fields(**json.loads(names)),
            chunk_size=chunk_size,
            chunk_overlap=chunk_overlap,
        )
        with open_job(Entries(group, str(file)), collection, job_options, stop) as job:
            current = _current(job, group)
            report.outdated += len(group) - len(current)
            failed = _try_again(job, current, progress)
            report.stored += len(current) - len(failed)
            left |= failed
    for line in sorted(left):
        value = left[line].value
        report.leave(Rejection(line, value["id"], value["reason"]))
    write_entries(file, [left[line] for line in sorted(left)])
    return report


def _try_again(
    job: Job, entries: list[Entry], progress: Callable[[Progress], None] | None
) -> dict[int, Entry]:
    """Store entries; returns those that still fail, with the new reasons, by their lines."""
    by_line = {entry.line: entry for entry in entries}
    failed: dict[int, Entry] = {}
    with Seen() as seen:
        again = replace(job, source=Entries(entries, job.source.name))
        run = Run(again, seen, progress, max_errors=len(entries))
        sparse_vector = job.ensure()
        with Lease(job) as lease:
            with closing(run.store(lease, sparse_vector)) as outcomes:
                for outcome in outcomes:
                    if isinstance(outcome, Rejection):
                        entry = by_line[outcome.line]
                        tried = entry_of(outcome, job)
                        news = {name: tried[name] for name in ("time", "reason", "known")}
                        failed[entry.line] = Entry(entry.line, {**entry.value, **news})
            run.optimize()
        run.raise_if_incomplete()
    return failed


def _current(job: Job, entries: list[Entry]) -> list[Entry]:
    """Leave out the entries whose documents the collection has in another version by now."""
    there = None if job.info() is None else job.collection
    ledger = Ledger(job.store, there, job.options.source_name, job.stop)
    stored = ledger.look_up([entry.value["id"] for entry in entries if entry.value["id"]])
    current = []
    for entry in entries:
        found = stored.get(entry.value["id"] or "")
        known = entry.value.get("known")
        if not found or any(chunk.hash == known for chunk in found):
            current.append(entry)
    return current
