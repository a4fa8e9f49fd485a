"""What a server's strict mode refuses, in its words: for the stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qdrant_client import models


def refusal(strict: models.StrictModeConfig, act: str, body: dict[str, Any]) -> str | None:
    """Return why a request is refused; None if it is not."""
    limits = [
        (_limit(act, body), strict.max_query_limit, "limit"),
        (_count(body, "points", act == "upsert"), strict.upsert_max_batchsize, "upsert limit"),
        (
            _count(body, "searches", act == "query_batch"),
            strict.search_max_batchsize,
            "search batch size",
        ),
    ]
    for value, limit, name in limits:
        if limit is not None and value > limit:
            return (
                f'Bad request: Limit exceeded {value} > {limit} for "{name}". Help: Reduce the '
                f'"{name}" parameter to or below {limit}.'
            )
    size, most = max(_condition_sizes(body.get("filter")), default=0), strict.condition_max_size
    if most is not None and size > most:
        return (
            f"Bad request: Condition size limit reached ({size} > {most}). Help: Reduce the size "
            "of your condition."
        )
    if strict.search_allow_exact is False and act == "count" and body.get("exact", True):
        return "Bad request: Exact search disabled!. Help: Set exact=false."
    return None


def _limit(act: str, body: dict[str, Any]) -> int:
    if act == "retrieve":
        return len(body["ids"])
    queries = body["searches"] if act == "query_batch" else [body] if act == "query" else []
    prefetches = [prefetch for query in queries for prefetch in query.get("prefetch") or ()]
    asked = [body] if act == "scroll" else [*queries, *prefetches]
    return max((int(one.get("limit") or 10) for one in asked), default=0)


def _count(body: dict[str, Any], key: str, asked: bool) -> int:
    return len(body.get(key, [])) if asked else 0


def _condition_sizes(filter: Any) -> Iterator[int]:
    """Yield how many values each condition has."""
    if isinstance(filter, dict):
        for key, value in filter.items():
            if key in ("any", "except", "has_id") and isinstance(value, list):
                yield len(value)
            yield from _condition_sizes(value)
    elif isinstance(filter, list):
        for value in filter:
            yield from _condition_sizes(value)
