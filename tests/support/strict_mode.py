"""What a server's strict mode refuses, in its words: for the stand-in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qdrant_client import models

Refused = Iterator[str]
"""Why a request is refused; the first reason is what is answered."""

_ANY_KIND = (
    "bool, datetime, float, geo, integer, keyword, text, text (with phrase_matching: true), uuid"
)


def refusal(
    strict: models.StrictModeConfig,
    act: str,
    body: dict[str, Any],
    indexes: Mapping[str, str] | None = None,
) -> str | None:
    """Return why a request is refused; None if it is not.

    Args:
        strict: The collection's strict mode.
        act: The kind of request.
        body: The request.
        indexes: The collection's payload indexes and their kinds.
    """
    for reason in _reasons(strict, act, body, indexes or {}):
        return f"Bad request: {reason}"
    return None


def _reasons(
    strict: models.StrictModeConfig, act: str, body: dict[str, Any], indexes: Mapping[str, str]
) -> Refused:
    queries = body["searches"] if act == "query_batch" else [body] if act == "query" else []
    prefetches = [prefetch for query in queries for prefetch in query.get("prefetch") or ()]
    yield from _above(
        "search batch size", [len(body["searches"])] if act == "query_batch" else [],
        strict.search_max_batchsize,
    )  # fmt: skip
    yield from _above(
        "upsert limit", [len(body.get("points", []))] if act == "upsert" else [],
        strict.upsert_max_batchsize,
    )  # fmt: skip
    asked = [query.get("limit") or 10 for query in [*queries, *prefetches]]
    if act in ("scroll", "facet") and body.get("limit"):
        asked.append(body["limit"])
    yield from _above("limit", asked, strict.max_query_limit)
    for params in (query.get("params") or {} for query in queries):
        yield from _above("hnsw_ef", [params.get("hnsw_ef") or 0], strict.search_max_hnsw_ef)
        oversampling = (params.get("quantization") or {}).get("oversampling") or 0
        yield from _above("oversampling", [oversampling], strict.search_max_oversampling)
    exact = act == "count" and body.get("exact", True)
    exact = exact or any((query.get("params") or {}).get("exact") for query in queries)
    if strict.search_allow_exact is False and exact:
        yield "Exact search disabled!. Help: Set exact=false."
    most_indexes = strict.max_payload_index_count
    if act == "index" and most_indexes is not None and len(indexes) >= most_indexes:
        yield (
            f"Collection already has the maximum number of payload indices ({most_indexes}). "
            "Help: Please delete an existing index before creating a new one."
        )
    allowed = (
        strict.unindexed_filtering_update
        if act in ("delete", "set_payload")
        else strict.unindexed_filtering_retrieve
    )
    for filter in (one.get("filter") for one in [body, *queries, *prefetches]):
        yield from _of_filter(strict, filter, indexes, allowed is not False)


def _above(name: str, values: list[float], limit: float | None) -> Refused:
    if limit is not None and max(values, default=0) > limit:
        yield (
            f'Limit exceeded {max(values):g} > {limit:g} for "{name}". Help: Reduce the "{name}" '
            f"parameter to or below {limit:g}."
        )


def _of_filter(
    strict: models.StrictModeConfig, filter: Any, indexes: Mapping[str, str], unindexed: bool
) -> Refused:
    conditions = list(_conditions(filter))
    if not unindexed:
        for key, condition in conditions:
            kinds = _kinds(condition)
            if key is not None and kinds and indexes.get(key, "none") not in kinds:
                yield (
                    f'Index required but not found for "{key}" of one of the following types: '
                    f"[{kinds}]. Help: Create an index for this key or use a different filter."
                )
    most = strict.filter_max_conditions
    if most is not None and len(conditions) > most:
        yield (
            f"Filter condition limit reached ({len(conditions)} > {most}). Help: Reduce the "
            "amount of conditions of your filter."
        )
    size = max((_size(condition) for _, condition in conditions), default=0)
    if strict.condition_max_size is not None and size > strict.condition_max_size:
        yield (
            f"Condition size limit reached ({size} > {strict.condition_max_size}). Help: Reduce "
            "the size of your condition."
        )


def _conditions(filter: Any, within: str = "") -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Yield the conditions of a filter that are none themselves, each with its field's path."""
    if not isinstance(filter, dict):
        return
    min_should = (filter.get("min_should") or {}).get("conditions")
    for clause in (filter.get("must"), filter.get("should"), filter.get("must_not"), min_should):
        for condition in clause if isinstance(clause, list) else [clause] if clause else []:
            if "nested" in condition:
                nested = condition["nested"]
                inner = f"{within}{nested['key'].removesuffix('[]')}[]."
                yield from _conditions(nested["filter"], inner)
            elif condition.keys() & {"must", "should", "must_not", "min_should"}:
                yield from _conditions(condition, within)
            else:
                key = condition.get("key")
                for name in ("is_empty", "is_null"):
                    if isinstance(condition.get(name), dict):
                        key = condition[name]["key"]
                yield None if key is None else f"{within}{key}", condition


def _kinds(condition: dict[str, Any]) -> str:
    """Return the kinds of index that a condition can be answered by."""
    match, range = condition.get("match"), condition.get("range")
    if match is not None:
        values = match.get("value", match.get("any", match.get("except")))
        value = values[0] if isinstance(values, list) and values else values
        if "value" not in match and not isinstance(values, list):
            return "text"
        return (
            "bool"
            if isinstance(value, bool)
            else "integer"
            if isinstance(value, int)
            else "keyword"
        )
    if range is not None:
        dates = any(isinstance(bound, str) for bound in range.values())
        return "datetime" if dates else "float, integer"
    if any(name.startswith("geo") for name in condition):
        return "geo"
    empty = condition.get("is_empty") is not None or condition.get("is_null") is not None
    return _ANY_KIND if empty else ""


def _size(condition: dict[str, Any]) -> int:
    """Return how many values a condition has."""
    match = condition.get("match") or {}
    values = match.get("any") or match.get("except") or condition.get("has_id") or []
    return len(values) if isinstance(values, list) else 0
