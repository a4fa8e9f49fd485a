"""Types shared by the subpackages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]
"""Unit vectors, float32, shape `(n, 384)`."""

SimilarityScore: TypeAlias = Literal["dot", "cosine", "euclidean"]
OnTruncation: TypeAlias = Literal["warn", "error", "ignore"]


@dataclass(frozen=True, slots=True)
class Document:
    """A text with its identity and metadata.

    Attributes:
        text: What is encoded.
        id: The user's own id; None if there is none.
        metadata: JSON values, kept as they are.
    """

    text: str
    id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result.

    Attributes:
        id: The document's id, as the user gave it.
        score: Similarity to the query; greater is closer.
        text: The stored text.
        metadata: The stored metadata.
        vector: The stored vector, shape `(384,)`, if it was asked for.
    """

    id: str
    score: float
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    vector: Vectors | None = None


@runtime_checkable
class Encoder(Protocol):
    """What stores and jobs need of an encoder.

    `MultiQAEncoder` is the real one, `testing.FakeEncoder` the one for tests.
    """

    @property
    def dimension(self) -> int:
        """Length of a vector: 384."""

    @property
    def max_seq_length(self) -> int:
        """Longest text in word pieces, [CLS] and [SEP] included."""

    @property
    def fingerprint(self) -> str:
        """Names the weights: vectors are comparable where it is equal."""

    def encode(self, texts: Sequence[str], *, show_progress: bool = False) -> Vectors:
        """Encode texts; row i is `texts[i]`."""

    def encode_query(self, texts: Sequence[str], *, show_progress: bool = False) -> Vectors:
        """Encode search queries."""

    def encode_document(self, texts: Sequence[str], *, show_progress: bool = False) -> Vectors:
        """Encode the texts to be found."""

    def encode_stream(self, texts: Iterable[str]) -> Iterator[Vectors]:
        """Encode texts as they come, in input order, in bounded memory."""

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Count word pieces, [CLS] and [SEP] included."""
