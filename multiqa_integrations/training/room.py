"""How much room a training needs on the disk."""

from __future__ import annotations

import shutil
from pathlib import Path

# At most two checkpoints, each the weights and the two moments of the optimiser; later one of them
# and three blends.
_TIMES = 6


def room(folder: Path, weights: int) -> str:
    """Say what a training needs beside its output, and what there is.

    Args:
        folder: Where it writes.
        weights: Bytes of the model's weights.
    """
    needed = f"A training needs up to {_TIMES * weights / 1e6:,.0f} MB there"
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:  # the message is of another error
        return f"{needed}."
    return f"{needed} in all, and {free / 1e6:,.0f} MB are free now."
