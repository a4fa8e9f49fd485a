"""Memory that native libraries have freed, and the C library keeps for them."""

from __future__ import annotations

import ctypes
import sys


def return_memory() -> None:
    """Return to the system what is free; does nothing where the C library is not glibc.

    Blocks of ever other sizes leave gaps between them, and glibc keeps these: hundreds of MB after
    some batches of a training, or the building of a search graph.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):  # musl has none
            libc.malloc_trim(0)
