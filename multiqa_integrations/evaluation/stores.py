"""Search through a store: temporary collections, filled with a retrieval set's vectors."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from multiqa_integrations.evaluation.configuration import Configuration
from multiqa_integrations.evaluation.dataset import Dataset
from multiqa_integrations.evaluation.encoding import Encoded, Progress
from multiqa_integrations.evaluation.retrieval import Hits
from multiqa_integrations.qdrant import (
    CollectionSchema,
    Point,
    PointQuery,
    Store,
    Uploader,
    open_store,
)
from multiqa_integrations.qdrant.documents import name_vectors
from multiqa_integrations.qdrant.edge import bm25
from multiqa_integrations.qdrant.schema import SPARSE_NAME
from multiqa_integrations.qdrant.settings import Quantization, quantization_config

_BATCH = 256  # points that are made at a time
_QUERIES = 64  # queries of a request
_POLL_SECONDS = 0.5


class TemporaryCollections:
    """The collections of one retrieval set; gone at the end of the `with` block.

    Configurations that differ in how they ask share a collection.
    """

    def __init__(self, dataset: Dataset, store: Store | None, progress: Progress) -> None:
        """Prepare; nothing is opened yet.

        Args:
            dataset: What is searched.
            store: Where the collections are made; None for embedded ones in a temporary
                directory.
            progress: Called with what is done.
        """
        self._dataset = dataset
        self._given = store
        self._progress = progress
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._opened: Store | None = None
        self._names: dict[tuple[object, ...], str] = {}

    def __enter__(self) -> TemporaryCollections:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._given is not None:
            for name in self._names.values():
                self._given.drop(name)
        if self._opened is not None:
            self._opened.close()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def _store(self) -> Store:
        if self._given is not None:
            return self._given
        if self._opened is None:
            self._folder = tempfile.TemporaryDirectory(prefix="multiqa-evaluate-")
            self._opened = open_store(path=Path(self._folder.name))
        return self._opened

    def search(
        self, configuration: Configuration, encoded: Encoded | None, limit: int
    ) -> tuple[Hits, list[str]]:
        """Search with all queries, in a collection that is made for it if there is none yet.

        Returns:
            The hits, and what is to be known about the collection.
        """
        name = self._collection(configuration, encoded)
        texts = list(self._dataset.queries.values())
        hits = Hits.none(len(texts), min(limit, len(self._dataset.document_ids)))
        words = [None] * len(texts)
        if configuration.mode != "dense":
            words = bm25.encode_queries(texts)  # type: ignore[assignment]
        wanted = hits.rows.shape[1]
        fused = max(50, 5 * wanted) if configuration.mode == "hybrid" else None
        settings: dict[str, Any] = {
            "sparse_name": SPARSE_NAME,
            "limit": wanted,
            "candidates": configuration.candidates or fused,
            "exact": configuration.search == "exact",
            "hnsw_ef": configuration.hnsw_ef,
            "rescore": configuration.rescore,
            "oversampling": configuration.oversampled,
            "with_payload": False,
        }
        for start in range(0, len(texts), _QUERIES):
            rows = range(start, min(start + _QUERIES, len(texts)))
            answers = self._store.query_batch(
                name,
                [
                    PointQuery(
                        vector=None if encoded is None else encoded.queries[row],
                        sparse=words[row],
                        **settings,
                    )
                    for row in rows
                ],
            )
            for row, points in zip(rows, answers, strict=True):
                hits.rows[row, : len(points)] = [int(point.id) for point in points]
                hits.scores[row, : len(points)] = [point.score for point in points]
            self._progress(f"{self._dataset.name}: searching", rows.stop, len(texts))
        return hits, self._remarks(name) if configuration.search == "hnsw" else []

    def _collection(self, configuration: Configuration, encoded: Encoded | None) -> str:
        graph = configuration.search == "hnsw"
        sparse = configuration.mode != "dense"
        kind: Quantization = (configuration.quantization or "int8") if graph else "none"
        key = (id(encoded), sparse, graph, kind)
        if key in self._names:
            return self._names[key]
        store, name = self._store, f"multiqa-evaluate-{uuid.uuid4().hex[:12]}"
        fingerprint = "bm25" if encoded is None else configuration.encoder.fingerprint
        store.ensure(
            name,
            CollectionSchema(fingerprint=fingerprint, sparse_name=SPARSE_NAME if sparse else None),
            quantization_config=quantization_config(kind),
        )
        self._names[key] = name  # dropped at the end, whatever happens next
        total = len(self._dataset.document_ids)
        what, done = f"{self._dataset.name}: filling a collection", 0

        def written(points: int) -> None:
            nonlocal done
            done += points
            self._progress(what, done, total)

        with Uploader(store, name, progress=written, optimize=False) as uploader:
            for points in self._points(encoded, sparse):
                uploader.add(points)
        if graph:
            self._progress(f"{self._dataset.name}: building the graph", 0, total)
            store.optimize(name)
            self._wait_for_graph(name)
        return name

    def _points(self, encoded: Encoded | None, sparse: bool) -> Iterator[list[Point]]:
        texts, row = self._dataset.texts(), 0
        total = len(self._dataset.document_ids)
        while row < total:
            rows = range(row, min(row + _BATCH, total))
            named = name_vectors(
                None if encoded is None else encoded.documents[row : rows.stop],
                list(islice(texts, len(rows))),
                vector_name="",
                sparse_name=SPARSE_NAME if sparse else None,
            )
            yield [Point(id, vectors) for id, vectors in zip(rows, named, strict=True)]
            row = rows.stop

    def _wait_for_graph(self, name: str) -> None:
        """Wait for a server, which builds its graph in the background."""
        quiet = 0
        while quiet < 2:
            info = self._store.info(name)
            status = None if info is None else info.details.get("status")
            if status is None:  # this process built it
                return
            quiet = quiet + 1 if status == "green" else 0
            time.sleep(_POLL_SECONDS)

    def _remarks(self, name: str) -> list[str]:
        info = self._store.info(name)
        indexed = None if info is None else info.details.get("in_graph", info.indexed_vectors)
        if indexed is None:
            return ["The store has no graph: it compared every document."]
        if indexed < len(self._dataset.document_ids):
            return [
                f"{indexed:,} of {len(self._dataset.document_ids):,} documents are in the graph; "
                "the others were compared one by one, as the store does with small collections."
            ]
        return []
