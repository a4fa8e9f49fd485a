"""Search an embedded collection; hits of equal score always come in the same order.

The engine chooses at random among hits of equal score, so that pages would repeat some and miss
others. Here each list of hits goes on until its score falls, is ordered by score and id, and only
then cut into a page; hybrid lists are fused from such lists. Later pages of a hybrid search need
longer lists, from which other ranks come: what the first lists have given stays where it is, and
the rest of what the longer ones give follows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import qdrant_edge as edge

from multiqa_integrations.qdrant.edge import convert
from multiqa_integrations.qdrant.points import PointQuery, ScoredPoint

_RRF_K = 2  # as servers fuse by default


def search(engine: edge.EdgeShard, queries: Sequence[PointQuery]) -> list[list[ScoredPoint]]:
    """Return the hits of each query, best first."""
    parts = [(query, part) for query in queries for part in _parts(query)]
    # One more than is wanted shows whether the last has the score of the next.
    requests = [convert.query_to_edge(part, _depth(part) + 1) for _, part in parts]
    answers = engine.query_batch(edge.QueryBatchRequest(requests))
    ranked = iter(
        [_ranked(engine, part, hits) for (_, part), hits in zip(parts, answers, strict=True)]
    )
    return [_page(engine, query, [next(ranked) for _ in _parts(query)]) for query in queries]


def _parts(query: PointQuery) -> Iterator[PointQuery]:
    """Yield the queries whose lists make the answer: one, or pairs of two that are fused."""
    if not query.fused:
        # Of later pages, the hits before them are read too: only their scores are needed.
        yield replace(query, with_payload=False, with_vectors=False) if query.offset else query
        return
    plain = replace(query, candidates=None, offset=0, with_payload=False, with_vectors=False)
    for limit in query.candidate_limits:
        yield replace(plain, limit=limit, sparse=None)
        yield replace(plain, limit=limit, vector=None)


def _depth(query: PointQuery) -> int:
    return query.offset + query.limit


def _ranked(engine: edge.EdgeShard, query: PointQuery, hits: list[Any]) -> list[Any]:
    """Order hits by score and id, after reading on to the end of the last score."""
    depth = limit = _depth(query)
    if query.diversity is not None:
        return hits[:depth]  # chosen one after the other: their order is not that of scores
    while len(hits) > limit and hits[depth - 1].score == hits[-1].score:
        limit = 4 * len(hits)
        hits = engine.query(convert.query_to_edge(query, limit + 1))
    scores = [hit.score for hit in hits]
    if len(set(scores)) < len(scores):  # reading an id makes an object of it
        hits = sorted(hits, key=lambda hit: (-hit.score, _order(hit.id)))
    return hits[:depth]


def _order(id: Any) -> tuple[bool, int]:
    """Return a key to sort ids by: numbers first, then UUIDs."""
    return (False, id) if isinstance(id, int) else (True, id.int)


def _page(
    engine: edge.EdgeShard, query: PointQuery, lists: Sequence[Sequence[Any]]
) -> list[ScoredPoint]:
    if not query.fused and not query.offset:
        return [convert.scored_from_edge(hit, query) for hit in lists[0]]
    scores: dict[Any, float] = {}  # by the ids of the engine
    if query.fused:
        for pair in zip(lists[::2], lists[1::2], strict=True):
            _append_fused(scores, pair)
    else:
        scores = {hit.id: hit.score for hit in lists[0]}
    ids = list(scores)[query.offset : _depth(query)]
    records = engine.retrieve(ids, query.with_payload, query.with_vectors)
    points = {record.id: convert.point_from_edge(record) for record in records}
    return [
        ScoredPoint(point.id, point.vectors, point.payload, score=float(scores[id]))
        for id in ids
        if (point := points.get(id)) is not None  # deleted meanwhile
    ]


def _append_fused(found: dict[Any, float], lists: Sequence[Sequence[Any]]) -> None:
    """Fuse lists by reciprocal ranks: Cormack, Clarke and Büttcher, SIGIR 2009.

    What was found in shorter lists stays first, and nothing scores more than it does.
    """
    most = min(found.values(), default=math.inf)
    scores: dict[Any, float] = {}  # by the ids of the engine
    for hits in lists:
        for rank, id in enumerate([hit.id for hit in hits]):
            scores[id] = scores.get(id, 0.0) + 1.0 / (_RRF_K + rank)
    for id, score in sorted(scores.items(), key=lambda item: (-item[1], _order(item[0]))):
        found.setdefault(id, min(score, most))
