"""Encode a retrieval set once for each encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.evaluation.dataset import Dataset
from multiqa_integrations.types import Encoder, Vectors

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

_WINDOW = 2048  # texts that are in memory at a time


@dataclass(frozen=True, slots=True, eq=False)
class Lengths:
    """How long the texts of a retrieval set are, and how many of them are cut.

    Attributes:
        documents: Word pieces of each document before any cut, int64 `(n,)`.
        queries: Those of each query, int64 `(q,)`.
        limit: Word pieces after which the encoder cuts.
    """

    documents: NDArray[np.int64]
    queries: NDArray[np.int64]
    limit: int

    @property
    def cut_documents(self) -> int:
        """How many documents lost their end."""
        return int((self.documents > self.limit).sum())

    @property
    def cut_queries(self) -> int:
        """How many queries lost their end."""
        return int((self.queries > self.limit).sum())

    @property
    def remark(self) -> str:
        """How many are cut, in a sentence; "" if none is."""
        if not self.cut_documents and not self.cut_queries:
            return ""
        return (
            f"{self.cut_documents:,} of {len(self.documents):,} documents "
            f"({self.cut_documents / len(self.documents):.1%}) and {self.cut_queries:,} queries "
            f"are cut at {self.limit} word pieces."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """The vectors of a retrieval set.

    Attributes:
        documents: float32 `(n, 384)`, in the order of the corpus.
        queries: float32 `(q, 384)`, in the order of the queries.
        lengths: Of the texts.
    """

    documents: Vectors
    queries: Vectors
    lengths: Lengths


def encode(dataset: Dataset, encoder: Encoder, progress: Progress) -> Encoded:
    """Encode the documents as documents and the queries as queries.

    The texts are read as they are needed: the vectors are what takes memory.
    """
    total = len(dataset.document_ids)
    documents = np.empty((total, encoder.dimension), np.float32)
    tokens = np.empty(total, np.int64)

    def texts() -> Iterator[str]:
        read, stream = 0, dataset.texts()
        while window := list(islice(stream, _WINDOW)):
            tokens[read : read + len(window)] = encoder.count_tokens(window)
            read += len(window)
            yield from window

    what, done = f"{dataset.name}: encoding documents", 0
    progress(what, 0, total)
    for vectors in encoder.encode_stream(texts()):
        documents[done : done + len(vectors)] = vectors
        done += len(vectors)
        progress(what, done, total)
    asked = list(dataset.queries.values())
    queries = np.empty((len(asked), encoder.dimension), np.float32)
    what = f"{dataset.name}: encoding queries"
    for start in range(0, len(asked), _WINDOW):
        progress(what, start, len(asked))
        queries[start : start + _WINDOW] = encoder.encode_query(asked[start : start + _WINDOW])
    lengths = Lengths(tokens, encoder.count_tokens(asked), encoder.max_seq_length)
    return Encoded(documents, queries, lengths)
