"""What a search found, and the exact search in numpy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.evaluation.dataset import Dataset
from multiqa_integrations.evaluation.encoding import Progress
from multiqa_integrations.types import Vectors

_QUERIES = 256
_DOCUMENTS = 32_768  # with so many queries, 32 MB of scores at a time


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """The hits of all queries of a retrieval set, best first.

    Attributes:
        rows: Which documents, int32 `(q, limit)`; -1 where there was no further hit.
        scores: Their scores, float32 `(q, limit)`; -inf there.
    """

    rows: NDArray[np.int32]
    scores: NDArray[np.float32]

    @classmethod
    def none(cls, queries: int, limit: int) -> Hits:
        """Return an empty table for the hits of so many queries."""
        return cls(
            np.full((queries, limit), -1, np.int32), np.full((queries, limit), -np.inf, np.float32)
        )

    def by_query(self, dataset: Dataset) -> Iterator[tuple[str, dict[str, float]]]:
        """Yield the scores of the hits by document id, query by query."""
        ids = dataset.document_ids
        for query, rows, scores in zip(dataset.queries, self.rows, self.scores, strict=True):
            hit = rows >= 0
            yield (
                query,
                {
                    ids[row]: score
                    for row, score in zip(rows[hit], scores[hit].tolist(), strict=True)
                },
            )

    def without_identical(self, dataset: Dataset) -> Hits:
        """Drop every document that has the id of its query, and the last place."""
        limit = self.rows.shape[1] - 1
        kept = Hits.none(len(self.rows), limit)
        row_of = {document: row for row, document in enumerate(dataset.document_ids)}
        for number, query in enumerate(dataset.queries):
            others = np.flatnonzero(self.rows[number] != row_of.get(query, -2))[:limit]
            kept.rows[number, : len(others)] = self.rows[number, others]
            kept.scores[number, : len(others)] = self.scores[number, others]
        return kept


def search_exactly(
    queries: Vectors, documents: Vectors, limit: int, progress: Progress, name: str = ""
) -> Hits:
    """Compare every query with every document, block by block.

    Args:
        queries: Unit vectors, float32 `(q, 384)`.
        documents: Unit vectors, float32 `(n, 384)`.
        limit: Hits of each query.
        progress: Called with what is done.
        name: Of the retrieval set, for `progress`.

    Examples:
        >>> import numpy as np
        >>> documents = np.eye(3, 384, dtype=np.float32)
        >>> search_exactly(documents[[2]], documents, 1, lambda *_: None).rows
        array([[2]], dtype=int32)
    """
    hits = Hits.none(len(queries), min(limit, len(documents)))
    for start in range(0, len(queries), _QUERIES):
        block = slice(start, start + _QUERIES)
        for first in range(0, len(documents), _DOCUMENTS):
            scores = queries[block] @ documents[first : first + _DOCUMENTS].T
            rows = np.arange(first, first + scores.shape[1], dtype=np.int32)
            _keep_best(hits, block, np.broadcast_to(rows, scores.shape), scores)
        progress(f"{name}: searching", min(start + _QUERIES, len(queries)), len(queries))
    return hits


def _keep_best(
    hits: Hits, block: slice, rows: NDArray[np.int32], scores: NDArray[np.float32]
) -> None:
    """Put the best of the hits so far and of new ones in their place."""
    limit = hits.rows.shape[1]
    all_scores = np.concatenate([hits.scores[block], scores], axis=1)
    all_rows = np.concatenate([hits.rows[block], rows], axis=1)
    best = np.argpartition(all_scores, -limit, axis=1)[:, -limit:]
    order = np.argsort(-np.take_along_axis(all_scores, best, axis=1), axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    hits.scores[block] = np.take_along_axis(all_scores, best, axis=1)
    hits.rows[block] = np.take_along_axis(all_rows, best, axis=1)
