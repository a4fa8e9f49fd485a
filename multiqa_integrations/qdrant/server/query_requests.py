"""What is asked for the nearest points: one generator of calls for each of the store's methods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qdrant_client import models

from multiqa_integrations.errors import StoreError, StoreLimitError, StoreUnavailableError
from multiqa_integrations.qdrant.dual import Steps
from multiqa_integrations.qdrant.points import PointQuery, ScoredPoint
from multiqa_integrations.qdrant.server import limits
from multiqa_integrations.qdrant.server.calls import Connected, call
from multiqa_integrations.qdrant.server.collection_requests import describe
from multiqa_integrations.qdrant.server.filtering import prepare_filter
from multiqa_integrations.qdrant.server.point_requests import restore_numbers
from multiqa_integrations.qdrant.server.records import read_vectors, to_vector

_QUERIES = 256  # of a request


def query(self: Connected, collection: str, query: PointQuery) -> Steps[list[ScoredPoint]]:
    """Find points."""
    asked = yield from _arguments(self, collection, query)
    answer = yield call("query_points", collection_name=collection, **asked)
    yield from restore_numbers(self, collection, answer.points, query.with_payload)
    return _scored(answer, query)


def query_batch(
    self: Connected, collection: str, queries: Sequence[PointQuery]
) -> Steps[list[list[ScoredPoint]]]:
    """Find points for several queries in one request."""
    if not queries:
        return []
    requests = []
    for query in queries:
        arguments = yield from _arguments(self, collection, query)
        requests.append(
            models.QueryRequest(
                filter=arguments.pop("query_filter"),
                params=arguments.pop("search_params"),
                with_vector=arguments.pop("with_vectors"),
                **arguments,
            )
        )
    pages = yield from limits.in_parts(
        *(self, collection, requests, _QUERIES),
        lambda batch: call("query_batch_points", collection_name=collection, requests=batch),
    )
    answers = [answer for page in pages for answer in page]
    if not answers:  # a collection that is being made or dropped has no shards that would answer
        yield from describe(self, collection, brief=True)
        raise StoreUnavailableError(
            f"the collection {collection!r} gave no answers: it was just being created or dropped. "
            "Search again; if that goes on, look at what is there: a proxy, or another server."
        )
    if len(answers) != len(queries):
        raise StoreError(
            f"the server gave {len(answers)} answers to {len(queries)} queries. Look at what is "
            "there: a proxy, or another server."
        )
    for answer, query in zip(answers, queries, strict=True):
        yield from restore_numbers(self, collection, answer.points, query.with_payload)
    return [_scored(answer, query) for answer, query in zip(answers, queries, strict=True)]


def _fit(self: Connected, collection: str, query: PointQuery) -> Steps[PointQuery]:
    if self.local:
        return query
    if collection not in self.query_limits:
        yield from describe(self, collection, brief=True)
    try:
        return limits.fit_query(query, self.query_limits[collection], collection)
    except StoreLimitError:  # it may have been raised since it was read
        yield from describe(self, collection, brief=True)
        return limits.fit_query(query, self.query_limits[collection], collection)


def _scored(answer: Any, query: PointQuery) -> list[ScoredPoint]:
    skipped = _skipped_here(query)
    return [_scored_point(point) for point in answer.points[skipped : skipped + query.limit]]


def _scored_point(point: Any) -> ScoredPoint:
    score = float(point.score)
    if not math.isfinite(score):
        raise StoreError(
            f"the server gave the point {point.id!r} the score {score}, which is none: its vector "
            "is broken. Add that document again, or delete it."
        )
    return ScoredPoint(point.id, read_vectors(point.vector), point.payload or {}, score=score)


def _skipped_here(query: PointQuery) -> int:
    """Return how many hits are asked for and dropped: with MMR a server takes offset off limit."""
    return 0 if query.diversity is None else query.offset


def _arguments(self: Connected, collection: str, query: PointQuery) -> Steps[dict[str, Any]]:
    """Return the arguments of `query_points`."""
    filter = yield from prepare_filter(self, collection, query.filter)
    query = yield from _fit(self, collection, query)
    return _query(replace(query, filter=filter), self.local)


def _query(query: PointQuery, local: bool) -> dict[str, Any]:
    params = _params(query, local)
    skipped_here = _skipped_here(query)
    arguments: dict[str, Any] = {
        "limit": query.limit + skipped_here,
        "offset": (query.offset - skipped_here) or None,
        "score_threshold": query.score_threshold,
        "query_filter": query.filter,
        "search_params": params,
        "with_payload": query.with_payload,
        "with_vectors": query.with_vectors,
    }
    dense: Any = None if query.vector is None else query.vector.tolist()
    if query.fused:
        arguments["query"] = models.FusionQuery(fusion=models.Fusion.RRF)
        arguments["prefetch"] = [
            models.Prefetch(
                query=dense,
                using=query.vector_name or None,
                filter=query.filter,
                params=params,
                limit=query.candidate_limit,
            ),
            models.Prefetch(
                query=to_vector(query.sparse),  # type: ignore[arg-type]  # fused has both
                using=query.sparse_name,
                filter=query.filter,
                limit=query.candidate_limit,
            ),
        ]
    elif query.sparse is not None:
        arguments["query"] = to_vector(query.sparse)
        arguments["using"] = query.sparse_name
    else:
        arguments["query"] = (
            dense
            if query.diversity is None
            else models.NearestQuery(
                nearest=dense,
                mmr=models.Mmr(diversity=query.diversity, candidates_limit=query.candidate_limit),
            )
        )
        arguments["using"] = query.vector_name or None
    return arguments


def _params(query: PointQuery, local: bool) -> models.SearchParams | None:
    """Return the search parameters; None where all are the defaults."""
    # Local mode always compares with every point, and warns where one says so.
    exact = query.exact and not local
    quantized = exact or query.rescore is not None or query.oversampling is not None
    if not quantized and query.hnsw_ef is None:
        return None
    return models.SearchParams(
        exact=exact,
        hnsw_ef=query.hnsw_ef,
        quantization=models.QuantizationSearchParams(
            ignore=exact, rescore=query.rescore, oversampling=query.oversampling
        )
        if quantized
        else None,
    )
