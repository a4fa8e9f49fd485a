"""Read a source, the first of three steps: its records become documents, or are rejected."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from multiqa_integrations.errors import (
    SourceError,
    SourcePermissionError,
    SourceUnavailableError,
)
from multiqa_integrations.etl.changes import Rejection
from multiqa_integrations.etl.documents import RecordError, SourceDocument, to_document
from multiqa_integrations.etl.job import Job
from multiqa_integrations.etl.records import BadRecord, Record, Unread
from multiqa_integrations.etl.seen import Ids


def read(job: Job, seen: Ids) -> Iterator[SourceDocument | Rejection | Unread]:
    """Yield the documents of a source, of the job's shard only.

    A source that breaks off yields `Unread` as its last item.

    Args:
        job: The job.
        seen: Ids that the source has had; those that are read are added.

    Raises:
        SourceUnavailableError: What has the source is away, so that no other part can be read.
        SourcePermissionError: It refuses to give it.
    """
    try:
        for item in islice(job.source, job.options.limit):
            if job.stop.is_set():
                return  # a record that a signal has cut short is not a bad one
            result = item if isinstance(item, Unread) else _document(job, seen, item)
            if result is not None:
                yield result
    except (SourceUnavailableError, SourcePermissionError):
        raise
    except SourceError as error:
        yield Unread(error.line, str(error).rstrip("."))


def source_notes(job: Job, seen: Ids) -> list[str]:
    """Return what of a source looks like a mistake, once it has been read."""
    notes: list[str] = list(getattr(job.source, "notes", ()))
    return notes + seen.fields.take_notes("id", "text", "title", "metadata")


def _document(job: Job, seen: Ids, item: Record | BadRecord) -> SourceDocument | Rejection | None:
    """Make a document of a record; None if it belongs to another shard."""
    try:
        if isinstance(item, BadRecord):
            raise RecordError(item.reason, item.id)
        seen.fields.note(item)
        document = to_document(item, job.options.fields, max_characters=job.options.max_characters)
    except RecordError as error:
        return _rejection(job, seen, item, str(error), error.id)
    except Exception as error:  # noqa: BLE001  (whatever a record may hold, it costs itself alone)
        return _rejection(job, seen, item, f"it cannot be read ({type(error).__name__}: {error})")
    if not job.has(document.id):
        return None
    earlier = seen.add(document.id, document.line)
    if earlier is None:
        return document
    reason = f"its id was that of {earlier} already"
    return Rejection(
        document.line, document.id, reason, document.record, duplicate=True, repeated=True
    )


def _rejection(
    job: Job, seen: Ids, item: Record | BadRecord, reason: str, id: str | None = None
) -> Rejection | None:
    repeated = False
    if id is not None:
        if not job.has(id):
            return None
        repeated = seen.add(id, item.line) is not None  # what is stored of it stays
    record = item.raw if isinstance(item, BadRecord) else item.value
    return Rejection(item.line, id, reason, record, repeated=repeated)
