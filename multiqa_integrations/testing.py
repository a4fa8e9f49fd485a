"""A stand-in encoder for tests of code that uses one: no model, no download, no waiting."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from multiqa_integrations.model import MULTI_QA
from multiqa_integrations.similarity import similarity
from multiqa_integrations.texts import check_text, check_texts
from multiqa_integrations.types import SimilarityScore, Vectors

_WINDOW = 256


class FakeEncoder:
    """Encode texts by the words they share; deterministic on every machine.

    It keeps the promises of `MultiQAEncoder`: unit vectors, float32 `(n, 384)`, row i is
    `texts[i]`, the same errors for what is not text. A vector is the normalised sum of one
    pseudo-random vector per word, so texts with words in common are similar and others are
    nearly orthogonal: a search test can ask for a word and expect its text. It knows nothing of
    meaning.

    Examples:
        >>> encoder = FakeEncoder()
        >>> query = encoder.encode_query(["red apples"])
        >>> documents = encoder.encode_document(["apples that are red", "a blue sky"])
        >>> int(encoder.similarity(query, documents).argmax())
        0
    """

    dimension = MULTI_QA.dimension
    max_seq_length = MULTI_QA.max_seq_length

    def __init__(self, seed: int = 0) -> None:
        """Make an encoder.

        Args:
            seed: Encoders of different seeds stand for different models: their vectors are
                not comparable, and their fingerprints differ.
        """
        self.seed = seed

    def __repr__(self) -> str:
        return f"FakeEncoder(seed={self.seed})"

    @property
    def fingerprint(self) -> str:
        """Names the "weights": differs by seed."""
        return f"fake:{self.seed}"

    def encode(self, texts: Sequence[str], *, show_progress: bool = False) -> Vectors:
        """Encode texts; float32 `(n, 384)`. There is no progress to show."""
        checked = check_texts(texts)
        vectors = np.empty((len(checked), self.dimension), np.float32)
        for row, text in enumerate(checked):
            # The empty word gives an empty text a direction too.
            total = self._word("") * 1e-3
            for word, times in Counter(_words(text)).items():
                total = total + times * self._word(word)
            vectors[row] = total / np.linalg.norm(total)
        return vectors

    def encode_query(self, texts: Sequence[str], *, show_progress: bool = False) -> Vectors:
        """Encode queries, as `encode` does."""
        return self.encode(texts)

    def encode_document(self, texts: Sequence[str], *, show_progress: bool = False) -> Vectors:
        """Encode documents, as `encode` does."""
        return self.encode(texts)

    def encode_stream(self, texts: Iterable[str]) -> Iterator[Vectors]:
        """Encode texts as they come, in windows of 256."""
        window: list[str] = []
        for index, text in enumerate(texts):
            window.append(check_text(text, index))
            if len(window) == _WINDOW:
                yield self.encode(window)
                window = []
        if window:
            yield self.encode(window)

    def similarity(self, a: ArrayLike, b: ArrayLike, score: SimilarityScore = "dot") -> Vectors:
        """Score vectors against each other; greater is closer."""
        return similarity(a, b, score)

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Count words, and two more for [CLS] and [SEP]."""
        return np.array([len(_words(text)) + 2 for text in check_texts(texts)], np.int64)

    def _word(self, word: str) -> NDArray[np.float64]:
        return _direction(self.seed, word)


@lru_cache(maxsize=4_096)
def _direction(seed: int, word: str) -> NDArray[np.float64]:
    digest = hashlib.sha256(f"{seed}\0{word}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
    return generator.standard_normal(MULTI_QA.dimension)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
