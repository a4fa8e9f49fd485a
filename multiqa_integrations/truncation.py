"""Count the texts of a call that are longer than the limit, and report them as asked."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.errors import TruncationError, TruncationWarning
from multiqa_integrations.types import OnTruncation


@dataclass(slots=True)
class Truncation:
    """What one call truncates.

    Attributes:
        on_truncation: What to do about longer texts.
        limit: Most word pieces of a text, [CLS] and [SEP] included, as `count` was told.
        texts: Texts seen so far.
        truncated: How many of them are longer than the limit.
        longest: Word pieces of the longest.
    """

    on_truncation: OnTruncation
    limit: int = 0
    texts: int = 0
    truncated: int = 0
    longest: int = 0

    def count(self, lengths: NDArray[np.int64], limit: int) -> None:
        """Count the next texts of the call.

        Args:
            lengths: Word pieces of each before truncation, shape `(n,)`.
            limit: Most word pieces of a text.

        Raises:
            TruncationError: One is longer than the limit, and `on_truncation` is "error".
        """
        self.limit = limit
        too_long = np.flatnonzero(lengths > limit)
        if len(too_long):
            first = int(too_long[0])
            if self.on_truncation == "error":
                raise TruncationError(
                    index=self.texts + first,
                    tokens=int(lengths[first]),
                    limit=limit,
                    count=len(too_long),
                )
            self.truncated += len(too_long)
            self.longest = max(self.longest, int(lengths.max()))
        self.texts += len(lengths)

    def warn(self, *, stacklevel: int) -> None:
        """Warn of what was truncated, if anything, and if `on_truncation` is "warn"."""
        if self.truncated and self.on_truncation == "warn":
            warnings.warn(
                f"{self.truncated:,} of {self.texts:,} texts are longer than {self.limit} word "
                f"pieces (the longest has {self.longest:,}) and were truncated. Split them with "
                "multiqa_integrations.chunking.chunk(), or pass on_truncation='error' or 'ignore' "
                "(--on-truncation).",
                TruncationWarning,
                stacklevel=stacklevel + 1,
            )
