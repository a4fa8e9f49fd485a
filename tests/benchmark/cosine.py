"""How near vectors are to each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.types import Vectors


def cosine(a: Vectors, b: Vectors) -> NDArray[np.float64]:
    """Compute the cosine of each row of `a` to the same row of `b`.

    In float64 and with the lengths divided out: products of float32 unit vectors are off by
    1e-6 either way, which is what a benchmark wants to see.

    Args:
        a: float32 `(n, 384)`.
        b: float32 `(n, 384)`.

    Returns:
        float64 `(n,)`.
    """
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    cosines: NDArray[np.float64] = (x * y).sum(1) / lengths
    return cosines
