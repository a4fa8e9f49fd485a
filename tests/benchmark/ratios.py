"""How many times as fast one implementation is as another."""

from __future__ import annotations

from collections.abc import Sequence


def speed_ratios(seconds: Sequence[float], baseline: Sequence[float] | None) -> list[float]:
    """Return how many times as fast as the baseline each round was; no values without one.

    Rounds are compared with their own round: what disturbs the machine for minutes disturbs
    both. A round that one of the two did not finish is left out.
    """
    if baseline is None:
        return []
    return [theirs / ours for ours, theirs in zip(seconds, baseline, strict=False)]
