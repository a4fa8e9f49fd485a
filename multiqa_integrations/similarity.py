"""Compare vectors: dot product, cosine, Euclidean distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.types import SimilarityScore, Vectors


def similarity(a: ArrayLike, b: ArrayLike, score: SimilarityScore = "dot") -> Vectors:
    """Score every vector of `a` against every vector of `b`; greater is closer.

    Args:
        a: Shape `(n, d)`, or `(d,)` for one vector.
        b: Shape `(m, d)`, or `(d,)`.
        score: "dot"; "cosine", equal to it on unit vectors; "euclidean", the distance with its
            sign turned (as sentence-transformers does), so that greater is closer here too.
            On unit vectors it is −√(2 − 2·dot) and gives the same order.

    Returns:
        float32 `(n, m)`.

    Raises:
        ConfigurationError: Unknown score, or shapes that do not go together.

    Examples:
        >>> similarity([[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])
        array([[1., 0.]], dtype=float32)
    """
    left, right = _matrix(a, "a"), _matrix(b, "b")
    if left.shape[1] != right.shape[1]:
        raise ConfigurationError(
            f"a has vectors of length {left.shape[1]}, b of length {right.shape[1]}: "
            "vectors of different models cannot be compared."
        )
    if score == "cosine":
        left, right = _unit(left), _unit(right)
    elif score not in ("dot", "euclidean"):
        raise ConfigurationError(f"score is {score!r}, expected 'dot', 'cosine' or 'euclidean'.")
    if score == "euclidean":
        # In float64: the root would blow the rounding of float32 up to 3e-4 for near vectors.
        left64, right64 = left.astype(np.float64), right.astype(np.float64)
        squares = (left64**2).sum(1)[:, None] + (right64**2).sum(1) - 2 * (left64 @ right64.T)
        # Rounding can leave a tiny negative square between equal vectors.
        return np.asarray(-np.sqrt(np.maximum(squares, 0)), np.float32)
    return np.asarray(left @ right.T, np.float32)


def _matrix(vectors: ArrayLike, name: str) -> NDArray[np.float32]:
    try:
        matrix = np.atleast_2d(np.asarray(vectors, np.float32))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{name} is not an array of numbers ({error}).") from error
    if matrix.ndim != 2:
        raise ConfigurationError(f"{name} has shape {matrix.shape}, expected (n, d) or (d,).")
    return matrix


def _unit(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.where(lengths == 0, 1, lengths), np.float32)
