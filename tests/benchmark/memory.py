"""How much memory this process takes. Standard library only: peers run it in their own Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def peak_memory() -> float | None:
    """Return the largest resident size of this process so far, in MB; None where unknown."""
    # Not `ru_maxrss` on Linux: a process started from a larger one inherits its peak.
    high_water = _status("VmHWM")
    if high_water is not None or os.name == "nt":
        return high_water
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def memory() -> float | None:
    """Return the resident size of this process, in MB; None where the system does not say."""
    return _status("VmRSS")


def _status(field: str) -> float | None:
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024 / 1e6
    except (OSError, ValueError):
        pass
    return None
