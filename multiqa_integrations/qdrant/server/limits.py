"""How much a server takes and gives at a time; what was learnt of a collection is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from multiqa_integrations.errors import StoreError, StoreLimitError
from multiqa_integrations.qdrant.dual import Steps
from multiqa_integrations.qdrant.failures import TooLargeError
from multiqa_integrations.qdrant.points import PointId, PointQuery
from multiqa_integrations.qdrant.server import replicas
from multiqa_integrations.qdrant.server.calls import Call, Connected

T = TypeVar("T")


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
