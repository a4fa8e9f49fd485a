"""Compare a collection with its source, document by document; nothing is written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.etl.changes import ChangeKind, Rejection
from multiqa_integrations.etl.job import JobOptions, opened
from multiqa_integrations.etl.ledger import Ledger, Seen, stored_chunk
from multiqa_integrations.etl.reports import Progress, VerifyReport
from multiqa_integrations.qdrant.points import SparseVector
from multiqa_integrations.qdrant.schema import collection_not_found_error

if TYPE_CHECKING:
    from typing_extensions import Unpack

_NORM_TOLERANCE = 1e-3


def verify(
    source: object,
    collection: str,
    *,
    progress: Callable[[Progress], None] | None = None,
    **options: Unpack[JobOptions],
) -> VerifyReport:
    """Compare a collection with its source; nothing is encoded or written.

    Texts are compared by their hashes. Every point of the source is read with its vector.

    Args:
        source: See `open_source`.
        collection: Its name.
        progress: Called now and then.
        options: See `JobOptions`; not `limit`.

    Raises:
        CollectionMismatchError: The collection does not fit at all.
        StoreError: There is none, or the store failed.
        SourceError: The source cannot be read to its end.
        ConfigurationError: An argument is wrong.

    Example:
        >>> from multiqa_integrations.etl import sync
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> from qdrant_client import QdrantClient
        >>> where = {"client": QdrantClient(":memory:"), "encoder": FakeEncoder()}
        >>> rows = [{"id": 1, "text": "The red button stops it."}]
        >>> report = sync(rows, "manual", **where)
        >>> verify([*rows, {"id": 2, "text": "Oil it."}], "manual", **where).missing
        1
    """
    if options.get("limit") is not None:
        raise ConfigurationError(
            "verify does not go with limit: what is left out would look as if it were extra."
        )
    began = time.monotonic()
    told = progress or (lambda _: None)
    with opened(source, collection, options, threading.Event()) as job, Seen() as seen:
        if job.info() is None:
            raise collection_not_found_error(collection)
        report = VerifyReport(collection=collection, source=job.source_name)
        ledger = Ledger(job.store, collection, job.source_name, job.stop)
        for window in job.windows(ledger, seen):
            for one in window:
                report.records += 1
                if isinstance(one, Rejection):
                    report.reject(one)
                elif one.kind is ChangeKind.NEW:
                    report.find("missing", one.document.id)
                elif one.kind is ChangeKind.UNCHANGED and not one.stale:
                    report.equal += 1
                else:
                    report.find("stale", one.document.id)
            told(Progress("reading", report.records, 0, report.rejected, job.source.fraction()))
        extra: set[str] = set()
        for page in ledger.everything(with_vectors=True):
            for point in page:
                chunk = stored_chunk(point)
                if not job.is_mine(chunk.document):
                    continue
                if chunk.document not in seen and chunk.document not in extra:
                    extra.add(chunk.document)
                    report.find("extra", chunk.document)
                if chunk.fingerprint != job.fingerprint:
                    report.find("foreign", str(point.id))
                vector = point.vectors.get(job.vector_name)
                if (
                    vector is None
                    or isinstance(vector, SparseVector)
                    or not abs(float(np.linalg.norm(vector)) - 1) < _NORM_TOLERANCE
                ):
                    report.find("norms", str(point.id))
            told(Progress("comparing", report.records, 0, report.rejected, None))
        report.seconds = time.monotonic() - began
        return report
