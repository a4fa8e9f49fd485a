"""Read a source, the first of three steps: its records become documents, or are rejected."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from multiqa_integrations.errors import SourceError
from multiqa_integrations.etl.changes import Rejection
from multiqa_integrations.etl.documents import RecordError, SourceDocument, to_document
from multiqa_integrations.etl.job import Job
from multiqa_integrations.etl.records import BadRecord, Record, Unread
from multiqa_integrations.etl.seen import Seen


def read(job: Job, seen: Seen) -> Iterator[SourceDocument | Rejection | Unread]:
    """Yield the documents of a source, of the job's shard only.

    A source that breaks off yields `Unread` as its last item.

    Args:
        job: The job.
        seen: Ids that the source has had; those that are read are added.
    """
    try:
        for item in islice(job.source, job.options.limit):
            if job.stop.is_set():
                return  # a record that a signal has cut short is not a bad one
            result = item if isinstance(item, Unread) else _document(job, seen, item)
            if result is not None:
                yield result
    except SourceError as error:
        yield Unread(error.line, str(error).rstrip("."))


def _document(job: Job, seen: Seen, item: Record | BadRecord) -> SourceDocument | Rejection | None:
    """Make a document of a record; None if it belongs to another shard."""
    try:
        if isinstance(item, BadRecord):
            raise RecordError(item.reason, item.id)
        document = to_document(item, job.options.fields, max_characters=job.options.max_characters)
    except RecordError as error:
        record = item.raw if isinstance(item, BadRecord) else item.value
        rejection = Rejection(item.line, error.id, str(error), record)
        if error.id is None:
            return rejection
        if not job.has(error.id):
            return None
        seen.add(error.id, item.line)  # what is stored of it stays
        return rejection
    if not job.has(document.id):
        return None
    earlier = seen.add(document.id, document.line)
    if earlier is None:
        return document
    reason = f"its id was that of line {earlier:,} already"
    return Rejection(document.line, document.id, reason, document.record, duplicate=True)
