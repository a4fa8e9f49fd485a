"""What the worker of `search` does: fill an embedded collection, optimise it, ask it."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.benchmark.jobs import memory

_BATCH = 256
_LIMIT = 10
_GROUPS = 10  # the filter of the filtered search keeps one point in so many
_HNSW_EFS = (64, 128, 256)


def search(
    *,
    model: str,
    limit_tokens: int,
    vectors: str,
    queries: str,
    file: str | None,
    field: str,
    tuned: bool,
) -> dict[str, Any]:
    """Fill, optimise and ask one embedded collection.

    Args:
        model: Unused: the vectors are there already.
        limit_tokens: Unused: nothing is encoded.
        vectors: A .npy file of unit vectors, row i of text i.
        queries: A .npy file of those of the queries.
        file: The texts, which are the payload.
        field: The field of their records.
        tuned: Whether the collection is made as this package makes it, with 8-bit vectors in
            the graph, or by the engine's own defaults.
    """
    import qdrant_edge as edge
    from qdrant_client import models

    from multiqa_integrations.benchmark.texts import read_texts
    from multiqa_integrations.qdrant import CollectionSchema, EdgeStore, PointQuery

    stored = np.load(vectors, mmap_mode="r")
    total = len(stored)
    asked = np.load(queries)
    texts = islice(read_texts(Path(file) if file else None, field), len(stored))
    truth = _least_scores(stored, asked)
    rows = np.flatnonzero(np.arange(len(stored)) % _GROUPS == 3)
    truth_in_group = _least_scores(stored[rows], asked)
    schema = CollectionSchema(
        fingerprint="benchmark", payload_indexes={"metadata.group": "integer"}
    )
    options: dict[str, Any] = (
        {} if tuned else {"hnsw_config": edge.HnswIndexConfig(16, 100, 10_000)}
    )
    only = models.FieldCondition(key="metadata.group", match=models.MatchValue(value=3))
    in_group = models.Filter(must=[only])
    with tempfile.TemporaryDirectory(prefix="multiqa-bench-") as folder, EdgeStore(folder) as store:
        store.ensure("bench", schema, **options)
        begin = time.perf_counter()
        for batch in _points(stored, texts):
            store.upsert("bench", batch)
        insert_s = time.perf_counter() - begin

        def ask(name: str, right: NDArray[np.float32], *, among: int, **how: Any) -> dict[str, Any]:
            wanted = [PointQuery(vector=vector, limit=_LIMIT, **how) for vector in asked]
            for query in wanted:  # once before the clock: what is first read from disk
                store.query("bench", query)
            latencies, found = [], []
            for query in wanted:
                start = time.perf_counter()
                points = store.query("bench", query)
                latencies.append(time.perf_counter() - start)
                found.append([int(point.id) for point in points])
            # Texts that occur twice tie: whatever is as close as the tenth is right.
            hits = [
                int((stored[ids] @ query >= least - 1e-6).sum())
                for ids, query, least in zip(found, asked, right, strict=True)
            ]
            recall = sum(hits) / (len(asked) * min(_LIMIT, among))
            return {"name": name, "latencies": latencies, "recall": recall}

        answers = [ask("every point, before optimising", truth, among=total)]
        begin = time.perf_counter()
        pause_ms, waits = _meanwhile(
            lambda: store.optimize("bench"),
            lambda number: store.query(
                "bench", PointQuery(vector=asked[number % len(asked)], limit=_LIMIT)
            ),
        )
        optimize_s = time.perf_counter() - begin
        answers.append(ask("graph, as it comes", truth, among=total))
        answers += [ask(f"graph, hnsw_ef={ef}", truth, among=total, hnsw_ef=ef) for ef in _HNSW_EFS]
        if tuned:
            answers.append(ask("graph, rescore=False", truth, among=total, rescore=False))
        answers.append(
            ask("graph, 1 of 10 by a filter", truth_in_group, among=len(rows), filter=in_group)
        )
        answers.append(ask("every point, exact=True", truth, among=total, exact=True))
        size = sum(one.stat().st_blocks * 512 for one in Path(folder).rglob("*") if one.is_file())
        resident_mb = memory()
    return {
        "points": len(stored),
        "insert_s": insert_s,
        "optimize_s": optimize_s,
        "pause_ms": pause_ms,
        "meanwhile": waits,
        "answers": answers,
        "disk_mb": size / 1e6,
        "resident_mb": resident_mb,
    }


def _points(stored: NDArray[np.float32], texts: Iterator[str]) -> Iterator[Sequence[Any]]:
    from multiqa_integrations.qdrant import Point

    for start in range(0, len(stored), _BATCH):
        rows = np.asarray(stored[start : start + _BATCH])
        yield [
            Point(
                start + number,
                {"": row},
                {"page_content": text, "metadata": {"group": (start + number) % _GROUPS}},
            )
            for number, (row, text) in enumerate(zip(rows, texts, strict=False))
        ]


def _least_scores(stored: NDArray[np.float32], asked: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compare with every vector; tell how close the tenth nearest of each query is."""
    limit = min(_LIMIT, len(stored))
    return np.array([np.partition(stored @ query, -limit)[-limit] for query in asked], np.float32)


def _meanwhile(work: Any, ask: Any) -> tuple[float, list[float]]:
    """Work; tell the longest gap of a ticking thread in ms, and how long searches took."""
    done = threading.Event()
    gaps, waits = [0.0], []

    def tick() -> None:
        last = time.perf_counter()
        while not done.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    def search() -> None:
        number = 0
        while not done.is_set():
            start = time.perf_counter()
            ask(number)
            waits.append(time.perf_counter() - start)
            number += 1
            time.sleep(0.2)

    threads = [threading.Thread(target=tick), threading.Thread(target=search)]
    for thread in threads:
        thread.start()
    try:
        work()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    return 1000 * max(gaps), waits
