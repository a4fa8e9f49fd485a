"""What is asked about points: one generator of calls for each of the store's methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client import models

from multiqa_integrations.errors import StoreError, StoreLimitError
from multiqa_integrations.qdrant.dual import Steps
from multiqa_integrations.qdrant.filters import PayloadEquals, check_selection
from multiqa_integrations.qdrant.points import Point, PointId, check_points, payload_keys
from multiqa_integrations.qdrant.server import limits, payloads, replicas, reserved
from multiqa_integrations.qdrant.server.calls import Call, Connected, call
from multiqa_integrations.qdrant.server.collection_requests import describe
from multiqa_integrations.qdrant.server.filtering import all_match, prepare_filter
from multiqa_integrations.qdrant.server.records import read_point, to_struct

_IDS = 1_000  # of a request


def upsert(self: Connected, collection: str, points: Sequence[Point]) -> Steps[None]:
    """Write points; all are checked before the first is sent."""
    if not points:
        return
    name, known = collection, self.known
    if name not in known:
        known[name] = yield from describe(self, name, brief=True)
    check_points(points, known[name].sizes, known[name].sparse)
    if not self.local:
        payloads.check_payloads(points, grpc=self.grpc)
    answer = yield call(
        "upsert", collection_name=name, points=[to_struct(point) for point in points], wait=True
    )
    _completed(answer, "upsert", name)


def retrieve(
    self: Connected,
    collection: str,
    ids: Sequence[PointId],
    *,
    with_payload: bool | Sequence[str] = True,
    with_vectors: bool = False,
) -> Steps[list[Point]]:
    """Read points by their ids, in the order of the ids; missing ones are left out."""
    if not ids:
        return []

    def read(batch: Sequence[PointId]) -> Call:
        return call(
            "retrieve",
            collection_name=collection,
            ids=list(batch),
            with_payload=payload_keys(with_payload),
            with_vectors=with_vectors,
        )

    pages = yield from limits.in_parts(self, collection, list(dict.fromkeys(ids)), _IDS, read)
    read_records = [record for records in pages for record in records]
    yield from restore_numbers(self, collection, read_records, with_payload)
    found = {record.id: read_point(record) for record in read_records}
    return [found[id] for id in dict.fromkeys(ids) if id in found]


def delete(
    self: Connected,
    collection: str,
    *,
    ids: Sequence[PointId] | None = None,
    filter: models.Filter | None = None,
) -> Steps[None]:
    """Delete points by their ids or by a filter that is not empty."""
    check_selection(ids, filter)
    if ids is not None and not ids:
        return
    filter = yield from prepare_filter(self, collection, filter)

    def remove(selector: Any) -> Call:
        return call("delete", collection_name=collection, points_selector=selector, wait=True)

    if filter is not None:
        answers = [(yield remove(models.FilterSelector(filter=filter)))]
    else:
        answers = yield from limits.in_parts(
            *(self, collection, list(ids or ()), _IDS),
            lambda batch: remove(models.PointIdsList(points=batch)),
        )
    for answer in answers:
        _completed(answer, "delete", collection)


def scroll(
    self: Connected,
    collection: str,
    *,
    filter: models.Filter | PayloadEquals | None = None,
    limit: int = 256,
    offset: PointId | None = None,
    with_payload: bool | Sequence[str] = True,
    with_vectors: bool = False,
) -> Steps[tuple[list[Point], PointId | None]]:
    """Read a page of points in the order of their ids; returns where the next one begins."""
    if isinstance(filter, PayloadEquals):
        filter = all_match(filter)
    filter = yield from prepare_filter(self, collection, filter)
    # One replica names the points, and all of them say what these are.
    by_ids = yield from replicas.agreed(self, collection)

    def read(size: int) -> Call:
        return call(
            "scroll",
            collection_name=collection,
            scroll_filter=filter,
            limit=size,
            offset=offset,
            with_payload=False if by_ids else payload_keys(with_payload),
            with_vectors=with_vectors and not by_ids,
        )

    records, following = yield from limits.page(self, collection, limit, read)
    if self.local:
        return [read_point(record) for record in records], following
    limits.check_order([record.id for record in records], offset, following)
    if following is not None and reserved.is_annotation(following):
        following = None
    records = [record for record in records if not reserved.is_annotation(record.id)]
    if by_ids:
        ids = [record.id for record in records]
        points = yield from retrieve(
            self, collection, ids, with_payload=with_payload, with_vectors=with_vectors
        )
        return points, following
    yield from restore_numbers(self, collection, records, with_payload)
    return [read_point(record) for record in records], following


def restore_numbers(
    self: Connected, collection: str, records: Sequence[Any], with_payload: bool | Sequence[str]
) -> Steps[None]:
    """Read payloads again, by REST, whose whole numbers gRPC may have rounded to floats."""
    rounded = [r for r in records if payloads.has_rounded(r.payload)] if self.grpc else []

    def read(batch: Sequence[PointId]) -> Call:
        request = models.PointRequest(
            ids=list(batch), with_payload=payload_keys(with_payload), with_vector=False
        )
        return Call(
            "http.points_api.get_points", {"collection_name": collection, "point_request": request}
        )

    ids = list(dict.fromkeys(record.id for record in rounded))
    answers = yield from limits.in_parts(self, collection, ids, _IDS, read)
    exact = {record.id: record.payload for answer in answers for record in answer.result}
    for record in rounded:
        record.payload = exact.get(record.id, record.payload)


def count(
    self: Connected, collection: str, *, filter: models.Filter | PayloadEquals | None = None
) -> Steps[int]:
    """Count points exactly."""
    if isinstance(filter, PayloadEquals):
        filter = all_match(filter)
    filter = yield from prepare_filter(self, collection, filter)
    try:
        in_points = yield from reserved.read(self, collection, repeat=False)
    except StoreError:  # the count may be too large by as many, and is better than none
        in_points = {}
    filter = reserved.without(filter, list(in_points))
    try:
        answer = yield call("count", collection_name=collection, count_filter=filter, exact=True)
    except StoreLimitError as error:
        if "Exact" not in str(error):
            raise
        return (yield from _count_pages(self, collection, filter))
    return int(answer.count)


def _count_pages(self: Connected, collection: str, filter: models.Filter | None) -> Steps[int]:
    """Count points page by page, where strict mode forbids exact counts."""
    total, offset = 0, None
    while True:
        points, offset = yield from scroll(
            self, collection, filter=filter, limit=2_000, offset=offset, with_payload=False
        )
        total += len(points)
        if offset is None:
            return total


def _completed(answer: Any, what: str, name: str) -> None:
    if answer.status != models.UpdateStatus.COMPLETED:
        raise StoreError(
            f"the {what} in {name!r} was only {answer.status.value}, not completed: it may be "
            "done later or fail. Repeat it; the same ids overwrite."
        )
