"""Annotations of a collection in points of it, for keys that may write points and not metadata.

Writing a collection's metadata takes the right to manage the whole server. For a key without it, an
annotation is a point without vectors, which no search finds. The ids of these points come after all
others, so that they are read in one page; scrolling and counting leave them out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from qdrant_client import models

from multiqa_integrations.qdrant.dual import Steps
from multiqa_integrations.qdrant.payload import RESERVED_KEY
from multiqa_integrations.qdrant.points import PointId
from multiqa_integrations.qdrant.server import limits
from multiqa_integrations.qdrant.server.calls import Call, Connected, call

_PREFIX = "ffffffff-ffff-8000-8000-"  # of no UUID that a program makes: it has version 8
_FIRST = f"{_PREFIX}000000000000"
_FIELD = "annotation"
_PAGE = 256


def is_annotation(id: PointId) -> bool:
    """Return whether a point is one of these."""
    return isinstance(id, str) and id.startswith(_PREFIX)


def annotation_id(key: str) -> PointId:
    """Return the id of the point of a key."""
    return _PREFIX + hashlib.sha256(key.encode()).hexdigest()[:12]


def read(self: Connected, collection: str, *, repeat: bool = True) -> Steps[dict[str, Any]]:
    """Return the annotations that are in points, by their keys."""
    if self.local:
        return {}

    def scroll(size: int) -> Call:
        arguments = {
            "collection_name": collection,
            "limit": size,
            "offset": _FIRST,
            "with_payload": [RESERVED_KEY],
            "with_vectors": False,
        }
        return Call("scroll", arguments, repeat=repeat)

    records, following = yield from limits.page(self, collection, _PAGE, scroll)
    limits.check_order([record.id for record in records], _FIRST, following)
    found: dict[str, Any] = {}
    for record in records:
        ours = (record.payload or {}).get(RESERVED_KEY)
        value = ours.get(_FIELD) if isinstance(ours, Mapping) else None
        if is_annotation(record.id) and isinstance(value, Mapping) and "key" in value:
            found[str(value["key"])] = value.get("value")
    return found


def write(self: Connected, collection: str, key: str, value: Any) -> Steps[None]:
    """Keep an annotation in a point."""
    payload = {RESERVED_KEY: {_FIELD: {"key": key, "value": value}}}
    point = models.PointStruct(id=annotation_id(key), vector={}, payload=payload)
    yield call("upsert", collection_name=collection, points=[point], wait=True)


def delete(self: Connected, collection: str, key: str) -> Steps[None]:
    """Delete the point of an annotation, if there is one."""
    selector = models.PointIdsList(points=[annotation_id(key)])
    yield call("delete", collection_name=collection, points_selector=selector, wait=True)


def without(filter: models.Filter | None, keys: Sequence[str]) -> models.Filter | None:
    """Return a filter that leaves the points of these keys out, too."""
    if not keys:
        return filter
    ids: list[Any] = [annotation_id(key) for key in keys]
    return models.Filter(
        must=None if filter is None else [filter], must_not=[models.HasIdCondition(has_id=ids)]
    )
