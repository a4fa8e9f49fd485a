"""What a backend is: it turns word-piece ids into unit vectors."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.types import Vectors

BackendName: TypeAlias = Literal["auto", "openvino", "torch", "sentence-transformers"]
DType: TypeAlias = Literal["auto", "float32", "bfloat16", "float16", "int8"]


class Backend(Protocol):
    """A loaded model. Any number of threads may call `embed` at the same time.

    Attributes:
        device: Where it computes, as the backend's library names it.
        parallelism: How many calls of `embed` are computed at the same time; further ones
            wait for their turn.
    """

    device: str
    parallelism: int

    def embed(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        """Compute unit vectors.

        Args:
            ids: Word-piece ids, `(b, length)`.
            mask: 1 for a word piece, 0 for padding, `(b, length)`.

        Returns:
            float32 `(b, 384)`, an array of the caller's own.
        """

    def abandon(self) -> None:
        """Abandon the model in a forked child, where it can be neither used nor freed."""
