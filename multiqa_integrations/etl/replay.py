"""Take up the records of a dead-letter file again."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from multiqa_integrations.arguments import check_path
from multiqa_integrations.errors import ConfigurationError, MultiQAError, SourceError, reporting
from multiqa_integrations.etl.changes import Rejection
from multiqa_integrations.etl.documents import Fields, RecordError, to_document
from multiqa_integrations.etl.job import Job, JobOptions, check_hooks, open_job
from multiqa_integrations.etl.ledger import Ledger
from multiqa_integrations.etl.letter_file import LetterFile
from multiqa_integrations.etl.letter_format import dump
from multiqa_integrations.etl.letters import Letter, Letters, read_letters
from multiqa_integrations.etl.records import BadRecord
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
    dropped as outdated where the collection has another version of its document than at that time;
    a duplicate, where the collection has its document. Of several letters about one document the
    last one counts; those of other collections stay. The lines may be edited before, and others
    may be added meanwhile.

    Args:
        dead_letter: The file that `sync` wrote. It is gone at the end if nothing is left.
        collection: The collection.
        progress: Called now and then.
        stop: See `sync`.
        options: What jobs take alike: where the collection is, the encoder, `max_characters`. What
            a source is called and how it is split, is in the file.
        settings: The same as keywords: those of `JobOptions`.

    Raises:
        SourceError: There is no such file, it is not a dead-letter file, or cannot be written.
        SyncIncompleteError: It was stopped; the file is as it was, and `.report` has what was
            stored before, as that of every error that ends the work.
        ConfigurationError: An argument is wrong.
        LeaseError: A sync of that source is at work.
        StoreError: The store failed for good; the file is as it was.
    """
    check_hooks(progress, stop)
    options = JobOptions.of(options, settings)
    defaults = JobOptions()
    for name in (*_OF_THE_FILE, *_OF_PARTS):
        if getattr(options, name) != getattr(defaults, name):
            why = "it is in the file" if name in _OF_THE_FILE else "it takes up all entries"
            raise ConfigurationError(f"replay does not go with {name}: {why}.")
    path = check_path("dead_letter", dead_letter)
    file = LetterFile(path)
    if not file.exists():
        raise SourceError(f"there is no dead-letter file {str(path)!r}.", source=str(path))
    file.check_writable()
    entries, left_alone = read_letters(file)
    report = ReplayReport(entries=len(entries) + len(left_alone))
    letters = []
    for letter in entries:
        of = letter.value.get("collection", collection)
        if of == collection:
            letters.append(letter)
        else:
            left_alone[letter.line] = (
                f"it was rejected by the collection {of!r}, and this is {collection!r}. Replay it "
                "there, or change its 'collection'"
            )
    latest = {letter.key: letter for letter in letters}.values()
    left: dict[int, bytes] = {}
    # A duplicate has its turn once it is known what became of the first record of its id.
    first = [letter for letter in latest if not letter.duplicate]
    duplicates = [letter for letter in latest if letter.duplicate]
    try:
        for group in [*_by_settings(first), *_by_settings(duplicates)]:
            waiting = {letter.key for letter in first if letter.line in left}
            with _open(group, path, collection, options, stop) as job:
                current, refused = _sort(job, group, waiting)
                failed = _try_again(job, current, progress)
            report.stored += len(current) - len(failed)
            left |= refused | failed
    except (MultiQAError, KeyboardInterrupt) as error:
        of_group = getattr(error, "report", None)
        if of_group is not None:
            report.stored += of_group.documents.total()
        report.left = report.entries - report.stored
        error.report = report  # type: ignore[union-attr]  # any exception takes attributes
        raise
    report.outdated = len(letters) - report.stored - len(left)
    for line, reason in left_alone.items():
        report.leave(Rejection(line, None, reason))
    for line, raw in sorted(left.items()):
        value = json.loads(raw)
        report.leave(Rejection(line, value.get("id"), value["reason"]))
    with reporting(lambda: report):
        file.rewrite(lambda lines: _after(lines, letters, left))
    return report


def _by_settings(letters: Iterable[Letter]) -> list[list[Letter]]:
    groups: dict[Any, list[Letter]] = defaultdict(list)
    for letter in letters:
        groups[letter.settings].append(letter)
    return list(groups.values())


def _open(
    letters: Sequence[Letter],
    path: Path,
    collection: str,
    options: JobOptions,
    stop: threading.Event | None,
) -> AbstractContextManager[Job]:
    """Open the job of letters that have the same settings."""
    source_name, names, chunk_size, chunk_overlap = letters[0].settings
    settings = replace(
        options,
        source_name=source_name,
        fields=Fields(**json.loads(names)),
        chunk_size=chunk_size,
        chunk_overlap=chunk_overlap,
    )
    return open_job(Letters(letters, str(path)), collection, settings, stop)


def _sort(
    job: Job, letters: Sequence[Letter], waiting: Set[tuple[str, ...]]
) -> tuple[list[Letter], dict[int, bytes]]:
    """Choose the letters that may be stored; all others but those that stay are outdated.

    Returns:
        Those that may be stored, and the lines of those that stay in the file.
    """
    ids = {letter.line: _document_id(letter, job) for letter in letters}
    collection = None if job.info() is None else job.collection
    ledger = Ledger(job.store, collection, job.options.source_name)
    stored = ledger.look_up([id for id in ids.values() if id is not None])
    current: list[Letter] = []
    stay: dict[int, bytes] = {}
    for letter in letters:
        id = ids[letter.line]
        chunks = stored.get(id or "")
        if letter.duplicate and (job.options.source_name, "id", id) in waiting:
            stay[letter.line] = letter.raw
        elif not chunks:
            current.append(letter)
        elif id != letter.id:
            reason = (
                f"the collection has a document {id!r} already, and the letter was not about it "
                "when it was rejected; give it another id, or remove the letter or the document"
            )
            stay[letter.line] = dump({**letter.value, "reason": reason})
        elif not letter.duplicate and letter.value.get("known") in {c.hash for c in chunks}:
            current.append(letter)
    return current, stay


def _document_id(letter: Letter, job: Job) -> str | None:
    """Return the id that a record has by now: it may have been edited."""
    item = letter.item()
    if isinstance(item, BadRecord):
        return item.id
    try:
        return to_document(item, job.options.fields, max_characters=job.options.max_characters).id
    except RecordError as error:
        return error.id


def _try_again(
    job: Job, letters: Sequence[Letter], progress: Callable[[Progress], None] | None
) -> dict[int, bytes]:
    """Store letters; returns the lines of those that still fail, with the new reasons."""
    if not letters:
        return {}
    by_line = {letter.line: letter for letter in letters}
    failed: dict[int, bytes] = {}
    with Seen(job.options.fields) as seen:
        again = replace(job, source=Letters(letters, job.source.name))
        run = Run(again, seen, progress, max_errors=len(letters))
        with reporting(lambda: run.report):
            sparse_vector = job.ensure()
            with job.lease() as lease:
                with closing(run.store(lease, sparse_vector)) as outcomes:
                    for outcome in outcomes:
                        if isinstance(outcome, Rejection):
                            failed[outcome.line] = by_line[outcome.line].tried(outcome, job)
                run.optimize()
            run.raise_if_incomplete()
    return failed


def _after(
    lines: Sequence[bytes], letters: Iterable[Letter], left: Mapping[int, bytes]
) -> list[bytes]:
    """Return the lines of the file afterwards: what others have written meanwhile stays."""
    outcomes: dict[bytes, list[bytes | None]] = defaultdict(list)
    for letter in letters:
        outcomes[letter.raw].append(left.get(letter.line))
    after = [outcomes[raw].pop(0) if outcomes.get(raw) else raw for raw in lines]
    return [raw for raw in after if raw is not None]
