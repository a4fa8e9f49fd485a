"""What a server takes: what is new enough for it, and how much at a time.

A server leaves out what it is too old to know: by gRPC, a condition of a newer client reads as one
that is true of every point, and a delete by it deletes them all. So whatever is newer than the
oldest supported version is checked against the server's before it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel
from qdrant_client import models

from multiqa_integrations.errors import (
    ConfigurationError,
    MultiQAError,
    StoreError,
    StoreLimitError,
    WriteRejectedError,
)
from multiqa_integrations.qdrant.dual import Steps
from multiqa_integrations.qdrant.failures import TooLargeError
from multiqa_integrations.qdrant.points import Point, PointId, PointQuery
from multiqa_integrations.qdrant.server import replicas
from multiqa_integrations.qdrant.server.calls import Call, Connected

T = TypeVar("T")

Version = tuple[int, int]

OLDEST: Version = (1, 10)
"""The oldest version of the server that is supported."""

# Which version brought which condition, by the class of the client; all that are sent are here.
CONDITIONS: Mapping[str, Version] = {
    **dict.fromkeys(
        (
            *("DatetimeRange", "FieldCondition", "Filter", "GeoBoundingBox", "GeoLineString"),
            *("GeoPoint", "GeoPolygon", "GeoRadius", "HasIdCondition", "IsEmptyCondition"),
            *("IsNullCondition", "MatchAny", "MatchExcept", "MatchText", "MatchValue"),
            *("MinShould", "Nested", "NestedCondition", "PayloadField", "Range", "ValuesCount"),
        ),
        OLDEST,
    ),
    "HasVectorCondition": (1, 13),
    "MatchPhrase": (1, 15),
    "MatchTextAny": (1, 16),
    "MatchPrefix": (1, 20),
    "MatchSubstring": (1, 20),
    "Slice": (1, 20),
    "SliceCondition": (1, 20),
}

# Tests of a FieldCondition, by their names there.
TESTS: Mapping[str, Version] = {"is_empty": (1, 14), "is_null": (1, 14)}

# Options of collections and indexes: (class of the client or "", name).
OPTIONS: Mapping[tuple[str, str], Version] = {
    ("", "id_tracker"): (1, 20),
    ("", "payload"): (1, 20),
    ("", "memory"): (1, 20),
    ("", "metadata"): (1, 16),
    ("KeywordIndexParams", "prefix"): (1, 20),
    ("TextIndexParams", "scoring"): (1, 20),
    ("TextIndexParams", "phrase_matching"): (1, 15),
}
_ANYWHERE: Mapping[str, Version] = {"memory": (1, 20), "nested": (1, 20)}


def server_version(self: Connected) -> Steps[Version | None]:
    """Return the server's version, read once; None where it does not tell.

    Raises:
        ConfigurationError: It is older than what is supported.
    """
    if self.local or self.version is not None:
        return self.version
    try:
        answer = yield Call("info", {}, repeat=False)
    except MultiQAError:  # a proxy that forwards collections alone, or no server at all
        return None
    number = re.match(r"(\d+)\.(\d+)", str(answer.version))
    if number is None:
        return None
    version = int(number[1]), int(number[2])
    if version < OLDEST:
        raise ConfigurationError(
            f"the server is Qdrant {answer.version}, and this package needs {_shown(OLDEST)} or "
            "newer. Upgrade it, one minor version at a time."
        )
    self.version = version
    return version


def check_filter_is_known(self: Connected, filter: models.Filter | None) -> Steps[None]:
    """Refuse a filter with a condition, or a test in one, that the server does not know.

    Raises:
        ConfigurationError: There is one.
    """
    if filter is None or self.local:
        return
    needed, what = OLDEST, ""
    for model in _models(filter):
        kind = type(model).__name__
        if kind not in CONDITIONS:
            raise ConfigurationError(
                f"the filter has a {kind}, which this package does not know: it cannot tell "
                "whether the server does. Write it with other conditions."
            )
        tests = model.model_fields_set & TESTS.keys() if kind == "FieldCondition" else ()
        for since, name in [
            (CONDITIONS[kind], kind),
            *((TESTS[test], test) for test in tests if getattr(model, test) is not None),
        ]:
            if since > needed:
                needed, what = since, name
    yield from _check_version(self, needed, f"the filter has a {what}")


def check_options_are_known(self: Connected, options: Mapping[str, Any]) -> Steps[None]:
    """Refuse options of a collection or index that the server does not know.

    Raises:
        ConfigurationError: There is one.
    """
    if self.local:
        return
    needed, what = OLDEST, ""
    found = [("", name) for name, value in options.items() if value is not None]
    for value in options.values():
        for model in _models(value):
            kind = type(model).__name__
            found += [(kind, name) for name in model.model_fields_set if getattr(model, name)]
    for kind, name in found:
        since = OPTIONS.get((kind, name)) or (_ANYWHERE.get(name, OLDEST) if kind else OLDEST)
        if since > needed:
            needed, what = since, f"{kind}.{name}" if kind else name
    yield from _check_version(self, needed, f"the option {what} is given")


def _check_version(self: Connected, needed: Version, reason: str) -> Steps[None]:
    if needed <= OLDEST:
        return
    version = yield from server_version(self)
    if version is None and self.grpc:
        raise ConfigurationError(
            f"{reason}, which came with Qdrant {_shown(needed)}, and the server does not tell its "
            "version. By gRPC it would be left out silently where the server is older: use REST."
        )
    if version is not None and version < needed:
        raise ConfigurationError(
            f"{reason}, which came with Qdrant {_shown(needed)}, and the server is "
            f"{_shown(version)}: it would leave it out. Leave it out, or upgrade the server."
        )


def _models(value: Any) -> Iterator[BaseModel]:
    """Yield the client's models in a value, itself among them."""
    if isinstance(value, BaseModel):
        yield value
        for name in value.model_fields_set:
            yield from _models(getattr(value, name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _models(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _models(item)


def _shown(version: Version) -> str:
    return ".".join(map(str, version))


# --- how much at a time -------------------------------------------------------------------------


def in_parts(
    self: Connected, collection: str, items: Sequence[T], most: int, make: Callable[[Any], Call]
) -> Steps[list[Any]]:
    """Make a call for some items at a time, and for fewer where the server takes no more.

    What was learnt of a collection is kept.

    Args:
        self: The store.
        collection: The collection.
        items: What the call is about.
        most: How many at a time at first.
        make: Makes the call about some of them.

    Returns:
        The answers.
    """
    answers: list[Any] = []
    start = 0
    while start < len(items):
        method = make([]).method
        size = min(most, self.sizes.get((collection, method), most))
        part = items[start : start + size]
        try:
            answers.append((yield from replicas.send(self, collection, make(part))))
        except TooLargeError as error:
            if len(part) == 1:
                raise
            self.sizes[collection, method] = _fewer(len(part), error)
        else:
            start += len(part)
    return answers


def page(
    self: Connected, collection: str, limit: int, make: Callable[[int], Call]
) -> Steps[tuple[list[Any], PointId | None]]:
    """Read a page, of fewer points where the server gives no more at a time."""
    size = min(limit, self.sizes.get((collection, "page"), limit))
    while True:
        try:
            result: tuple[list[Any], PointId | None] = yield make(size)
        except TooLargeError as error:
            if size == 1 or "Condition size" in str(error):
                raise
            size = self.sizes[collection, "page"] = _fewer(size, error)
        else:
            return result


def _fewer(size: int, error: TooLargeError) -> int:
    half = max(1, size // 2)
    return error.most if error.most is not None and 0 < error.most < size else half


def query_limit(info: Any) -> int | None:
    """Return how many hits a query of a collection may ask for; None if as many as one likes."""
    strict = getattr(info.config, "strict_mode_config", None)
    return strict.max_query_limit if strict is not None and strict.enabled else None


def fit_query(query: PointQuery, most: int | None, collection: str) -> PointQuery:
    """Return a query that asks for no more hits than allowed, if it still means the same.

    Several requests would not: with an offset the graph is followed in another way, and of equal
    scores any may come first.

    Raises:
        StoreLimitError: It would not.
    """
    # Fusion takes the offset off the limit, and for MMR this package does.
    skips = query.fused or query.diversity is not None
    reach = query.limit + query.offset if skips else query.limit
    if most is None or (reach <= most and not query.fused):
        return query
    for name, value in (("limit", reach), ("candidates", query.candidates or 0)):
        if value > most and (name == "limit" or query.fused):
            also = " with the offset" if name == "limit" and reach > query.limit else ""
            raise StoreLimitError(
                f"{name} is {value}{also}, and a query of {collection!r} may ask for {most} "
                "(max_query_limit of its strict mode). Ask for fewer, or raise that."
            )
    # How many hits each list brings was left to us.
    return query if query.candidate_limit <= most else replace(query, candidates=most)


def check_order(ids: Sequence[PointId], offset: PointId | None, following: PointId | None) -> None:
    """Make sure that pages move on.

    Raises:
        StoreError: They do not, so that reading would never end.
    """
    places = [_place(point) for point in (*ids[:1], *ids[-1:], following) if point is not None]
    begins = offset is None or not places or _place(offset) <= places[0]
    moves = following is None or (bool(ids) and places[-2] < places[-1])
    if not begins or not moves:
        raise StoreError(
            f"the server's pages do not move on: after one that began at {offset!r} comes one that "
            f"begins at {following!r}. Look at what is there: a proxy that caches?"
        )


def _place(point: PointId) -> tuple[int, int]:
    return (0, point) if isinstance(point, int) else (1, UUID(point).int)


# --- payloads -----------------------------------------------------------------------------------

# Of the 100 levels that protobuf reads, a dict takes three and a list two.
_GRPC_LEVELS = 90


def check_payloads(points: Sequence[Point], *, grpc: bool) -> None:
    """Refuse payloads that would be changed on the way, or could not be read again.

    Raises:
        WriteRejectedError: There are some.
    """
    largest = 2**63 - 1 if grpc else 2**64 - 1
    reasons: dict[str, str] = {}
    for point in points:
        levels, number = _extremes(point.payload)
        if grpc and levels > _GRPC_LEVELS:
            reasons[str(point.id)] = (
                "its payload is nested too deeply for gRPC, which reads 30 dicts or 45 lists in "
                "one another. Use REST, or flatten it."
            )
        elif number is not None and not -(2**63) <= number <= largest:
            reasons[str(point.id)] = (
                f"its payload has the whole number {number}, and whole numbers have 64 bits"
                + (", by gRPC one of them for the sign. Use REST, or s" if grpc else ". S")
                + "tore it as text."
            )
    if reasons:
        first, reason = next(iter(reasons.items()))
        raise WriteRejectedError(f"point {first}: {reason}", reasons=reasons)


def has_rounded(payload: Mapping[str, Any] | None) -> bool:
    """Return whether a payload read by gRPC has a float that may be a whole number, rounded."""
    waiting: list[Any] = [payload]
    while waiting:
        value = waiting.pop()
        if isinstance(value, float):
            if 2**63 <= value <= 2**64:
                return True
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


def _extremes(payload: Mapping[str, Any]) -> tuple[int, int | None]:
    """Return how deep a payload is, in protobuf's levels, and its whole number farthest from 0."""
    deepest, farthest = 0, None
    waiting: list[tuple[Any, int]] = [(value, 0) for value in payload.values()]
    while waiting:
        value, levels = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(item, levels + 3) for item in value.values()]
            deepest = max(deepest, levels + 3)
        elif isinstance(value, list | tuple):
            waiting += [(item, levels + 2) for item in value]
            deepest = max(deepest, levels + 2)
        elif isinstance(value, int) and (farthest is None or abs(value) > abs(farthest)):
            farthest = value
    return deepest, farthest
