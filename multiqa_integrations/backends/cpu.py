"""What the processor can do, found out without importing anything heavy."""

from __future__ import annotations

import functools
import os
from pathlib import Path

_NATIVE_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})
_NATIVE_INT8 = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


@functools.cache
def cpu_features() -> frozenset[str]:
    """Name the processor's instruction sets as Linux does; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    # x86 calls the line "flags", ARM "Features".
    return frozenset(
        next((line.split(":")[1].split() for line in lines if line[:5] in ("flags", "Featu")), ())
    )


def has_native_bfloat16() -> bool:
    """Check whether bfloat16 matrix products are faster here than float32 ones."""
    return bool(cpu_features() & _NATIVE_BFLOAT16)


def has_wide_vectors() -> bool:
    """Check whether the processor computes with vectors of 512 bits."""
    return "avx512f" in cpu_features()


def has_native_int8() -> bool:
    """Check whether the processor has 8-bit dot products (VNNI or AMX)."""
    return bool(cpu_features() & _NATIVE_INT8)


def has_tiles() -> bool:
    """Check whether the processor multiplies tiles of bfloat16 (AMX)."""
    return "amx_bf16" in cpu_features()


def arithmetic_of(dtype: str) -> str:
    """Return what the matrix products of a dtype are computed in on this processor.

    8-bit weights go with whatever activations are fastest. Tiles multiply bfloat16 faster than
    activations can be quantised; dot products of bytes are worth that; without either, activations
    stay float32.
    """
    if dtype != "int8":
        return dtype
    if has_tiles():
        return "bfloat16"
    return "int8" if has_native_int8() else "float32"


def fastest_dtype() -> str:
    """Return the dtype that is fastest on this processor.

    Where it is int8 and the processor computes bfloat16 too, single queries take a third less time;
    in bulk the two are within a tenth of each other (docs/benchmarks.md).
    """
    if has_native_int8() and not has_tiles():
        return "int8"
    return "bfloat16" if has_native_bfloat16() else "float32"


def available_cpus() -> int:
    """Count the processors this process may use: affinity and container quota respected.

    A container limited to two processors on a large machine sees all of them; using as many
    threads as it sees makes it slower, not faster.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, min(cpus, round(quota))) if quota else cpus


def _cgroup_quota() -> float | None:
    """Read the container's processor quota; None if there is none."""
    try:  # cgroup 2: "max 100000" or "200000 100000"
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:  # cgroup 1: -1 means no quota
        folder = Path("/sys/fs/cgroup/cpu")
        limit = int((folder / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        return limit / int((folder / "cpu.cfs_period_us").read_text("ascii")) if limit > 0 else None
    except (OSError, ValueError):
        return None
