"""The sparse vectors of hybrid search: BM25, for every engine by the same code."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from multiqa_integrations._optional import require
from multiqa_integrations.qdrant.points import SparseVector
from multiqa_integrations.texts import repair_surrogates

if TYPE_CHECKING:
    from qdrant_edge import Bm25


def encode_documents(texts: Sequence[str]) -> list[SparseVector]:
    """Weigh the words of documents by BM25; how rare a word is, the engine adds (IDF).

    English stems and stop words; k = 1.2, b = 0.75, average length 256. Source: Robertson and
    Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009.
    """
    model = _model()
    return [_sparse(model.embed_document(repair_surrogates(text))) for text in texts]


def encode_queries(texts: Sequence[str]) -> list[SparseVector]:
    """Weigh each different word of a query by 1."""
    model = _model()
    return [_sparse(model.embed_query(repair_surrogates(text))) for text in texts]


@lru_cache(maxsize=1)
def _model() -> Bm25:
    edge = require("qdrant_edge", purpose="hybrid search")
    model: Bm25 = edge.Bm25()
    return model


def _sparse(vector: object) -> SparseVector:
    return SparseVector(
        np.asarray(vector.indices, np.uint32),  # type: ignore[attr-defined]
        np.asarray(vector.values, np.float32),  # type: ignore[attr-defined]
    )
