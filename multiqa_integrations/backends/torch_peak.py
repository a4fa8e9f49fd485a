"""How fast a torch device multiplies matrices, measured: the limit of any encoder on it."""

from __future__ import annotations

import time

import torch

from multiqa_integrations.backends.torch_device import DTYPES, open_device

_SIZES = (2048, 4096, 8192)
_SECONDS = 0.3  # for each size
_AT_ONCE = 8  # products between two looks at the clock


def measure_peaks(device: str) -> dict[str, float]:
    """Measure the most operations per second of matrix products, by dtype.

    Returns:
        One figure each for float32, bfloat16 and float16. A product of two `(n, n)` matrices is
        `2·n³` operations.

    Raises:
        ConfigurationError: torch cannot use that device here.
    """
    opened = open_device(device, threads=None, forked=False)
    return {
        name: max(_measure(opened, dtype, size) for size in _SIZES)
        for name, dtype in DTYPES.items()
    }


def _measure(device: torch.device, dtype: torch.dtype, size: int) -> float:
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    fastest = 0.0
    end = time.perf_counter() + _SECONDS
    while fastest == 0 or time.perf_counter() < end:
        begin = time.perf_counter()
        products = [a @ b for _ in range(_AT_ONCE)]
        products[-1][0, 0].item()  # which waits until the device is done
        fastest = max(fastest, _AT_ONCE * 2 * size**3 / (time.perf_counter() - begin))
    return fastest
