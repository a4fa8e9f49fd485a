"""The measure of smaller vectors in the graph: their size, speed, and what they find."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.benchmark.table import Column, Row, Table
from multiqa_integrations.qdrant import (
    CollectionSchema,
    Point,
    PointQuery,
    Store,
    Uploader,
    open_store,
)
from multiqa_integrations.qdrant.settings import Quantization, quantization_config
from tests.benchmark.search import encoded
from tests.benchmark.session import Session

_LIMIT, _HNSW_EF = 10, 128
_BATCH = 256


def quantization(session: Session) -> Iterator[Table]:
    """Build an embedded graph with each kind of vectors, and ask it with and without rescoring."""
    stored, asked = (np.load(file) for file in encoded(session, "quantization"))
    rows = []
    kinds = get_args(Quantization)
    for done, kind in enumerate(kinds):
        session.step(f"quantization: {kind}", done, len(kinds))
        folder = session.subfolder(f"quantization-{kind}")
        with open_store(path=folder) as store:
            schema = CollectionSchema(fingerprint="benchmark")
            store.ensure("bench", schema, quantization_config=quantization_config(kind))
            with Uploader(store, "bench", optimize=False) as uploader:
                for start in range(0, len(stored), _BATCH):
                    batch = stored[start : start + _BATCH]
                    uploader.add([Point(start + n, {"": row}) for n, row in enumerate(batch)])
            begin = time.perf_counter()
            store.optimize("bench")
            built = time.perf_counter() - begin
            size = stored.nbytes if kind == "none" else _bytes(folder)
            for rescore in (True,) if kind == "none" else (True, False):
                latencies, recall = _ask(store, stored, asked, rescore)
                figures = {
                    "bytes/vector": [size / len(stored)],
                    "graph built s": [built],
                    "p50 ms": [1000 * float(np.median(latencies))],
                    "recall@10": [recall],
                }
                rows.append(Row(kind if rescore else f"{kind}, rescore=False", figures))
    yield Table(
        "quantization",
        f"{len(asked)} searches of an embedded collection of {len(stored):,} texts, 10 hits each, "
        f"hnsw_ef={_HNSW_EF}",
        [
            *(Column("bytes/vector"), Column("graph built s", 1)),
            *(Column("p50 ms", 2), Column("recall@10", 4)),
        ],
        rows,
        ["Bytes: of the vectors that the graph is searched with. Encoding is not included."],
    )


def _ask(
    store: Store, stored: NDArray[np.float32], asked: NDArray[np.float32], rescore: bool
) -> tuple[list[float], float]:
    scores = asked @ stored.T
    # Texts that occur twice tie: whatever is as near as the last of the nearest is right.
    hits = min(_LIMIT, len(stored))
    least = np.partition(scores, -hits, axis=1)[:, -hits] - 1e-6
    latencies: list[float] = []
    right = 0
    for counted in (False, True):  # once before the clock: what is first read from disk
        for number, vector in enumerate(asked):
            query = PointQuery(
                vector=vector, limit=_LIMIT, hnsw_ef=_HNSW_EF, rescore=rescore, with_payload=False
            )
            begin = time.perf_counter()
            points = store.query("bench", query)
            if counted:
                latencies.append(time.perf_counter() - begin)
                found = [int(point.id) for point in points]
                right += int((scores[number, found] >= least[number]).sum())
    return latencies, right / (len(asked) * hits)


def _bytes(folder: Path) -> int:
    files = [file for file in folder.rglob("quantized*") if file.is_file()]
    return sum(512 * file.stat().st_blocks for file in files)
