"""An encoder that asks LangChain's `CacheBackedEmbeddings` first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.langchain.embeddings import MultiQAEmbeddings
from multiqa_integrations.texts import check_texts
from multiqa_integrations.types import Encoder, Vectors

_TEXTS_PER_CALL = 512


class CachedEncoder:
    """Encode through embeddings that keep the vectors of texts they have seen.

    Everything but the vectors comes from the encoder behind them.
    """

    def __init__(self, cache: Embeddings, encoder: Encoder) -> None:
        """Use `cache`, whose vectors are those of `encoder`."""
        self._cache = cache
        self._encoder = encoder

    @property
    def dimension(self) -> int:
        """Length of a vector: 384."""
        return self._encoder.dimension

    @property
    def max_seq_length(self) -> int:
        """Longest text in word pieces, [CLS] and [SEP] included."""
        return self._encoder.max_seq_length

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the weights: vectors are comparable where it is equal."""
        return self._encoder.fingerprint

    def encode(self, texts: Sequence[str], *, show_progress: bool = False) -> Vectors:
        """Encode texts, as documents."""
        return self.encode_document(texts)

    def encode_query(self, texts: Sequence[str], *, show_progress: bool = False) -> Vectors:
        """Encode queries; the cache keeps them if it was made to."""
        return self._vectors([self._cache.embed_query(text) for text in check_texts(texts)])

    def encode_document(self, texts: Sequence[str], *, show_progress: bool = False) -> Vectors:
        """Encode documents that the cache does not have."""
        return self._vectors(self._cache.embed_documents(check_texts(texts)))

    def encode_stream(self, texts: Iterable[str]) -> Iterator[Vectors]:
        """Encode documents as they come, some at a time."""
        texts = iter(texts)
        while batch := list(islice(texts, _TEXTS_PER_CALL)):
            yield self.encode_document(batch)

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Count word pieces, [CLS] and [SEP] included."""
        return self._encoder.count_tokens(texts)

    def _vectors(self, embedded: list[list[float]]) -> Vectors:
        return np.asarray(embedded, np.float32).reshape(len(embedded), -1)


def encoder_of(embedding: Embeddings) -> Encoder:
    """Return the encoder of `MultiQAEmbeddings`, through a cache if they are behind one.

    Raises:
        ConfigurationError: They are other embeddings.
    """
    if isinstance(embedding, MultiQAEmbeddings):
        return embedding.used_encoder
    cached = getattr(embedding, "underlying_embeddings", None)  # of CacheBackedEmbeddings
    if isinstance(cached, MultiQAEmbeddings):
        return CachedEncoder(embedding, cached.used_encoder)
    raise ConfigurationError(
        f"embedding is {type(embedding).__name__}, expected MultiQAEmbeddings: the collection "
        "keeps the fingerprint of its weights. Other embeddings go with langchain-qdrant."
    )
