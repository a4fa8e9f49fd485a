"""How fast the processor multiplies matrices, measured: the limit of any encoder on it.

OpenVINO's kernels are used as they come (oneDNN), on all processors at the same time.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.backends.cpu import (
    available_cpus,
    has_native_bfloat16,
    has_native_int8,
)
from multiqa_integrations.backends.openvino_compile import compile_for_cpu
from multiqa_integrations.backends.openvino_import import op, ov

# Near the model's own shapes; the fastest of them is the limit. Activations of two megabytes and
# weights of two stay in the caches.
_SHAPES = ((1024, 512), (2048, 384), (2048, 768), (1024, 1024))
_LAYERS = 4
_SECONDS = 0.5  # for each shape
_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


def measure_peaks() -> dict[str, float]:
    """Measure the most operations per second of matrix products, by arithmetic.

    Returns:
        One figure for float32, and one each for bfloat16 and int8 where the processor computes
        them natively. A product of an `(m, k)` and a `(k, n)` matrix is `2·m·k·n` operations.
    """
    arithmetics = ["float32"]
    arithmetics += ["bfloat16"] * has_native_bfloat16() + ["int8"] * has_native_int8()
    return {name: max(_measure(name, *shape) for shape in _SHAPES) for name in arithmetics}


def _measure(arithmetic: str, rows: int, width: int) -> float:
    streams = available_cpus()
    config: dict[str, Any] = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_NUM_THREADS": streams,
        "NUM_STREAMS": streams,
        "INFERENCE_PRECISION_HINT": _HINTS[arithmetic],
    }
    compiled = compile_for_cpu(_products(arithmetic, rows, width), config)
    requests = [compiled.create_infer_request() for _ in range(streams)]
    for request in requests:
        request.infer([np.ones((rows, width), np.float32)])
    operations = streams * _LAYERS * 2 * rows * width * width
    fastest, end = 0.0, time.perf_counter() + _SECONDS
    while (begin := time.perf_counter()) < end:
        for request in requests:
            request.start_async()
        for request in requests:
            request.wait()
        fastest = max(fastest, operations / (time.perf_counter() - begin))
    return fastest


def _products(arithmetic: str, rows: int, width: int) -> ov.Model:
    generator = np.random.default_rng(0)
    x = parameter = op.parameter([rows, width], np.float32)
    for _ in range(_LAYERS):
        weights = generator.standard_normal((width, width), np.float32) / np.float32(width**0.5)
        if arithmetic == "int8":
            x = op.matmul(_quantized(x), _int8(weights), False, True)
        else:
            x = op.matmul(x, op.constant(weights), False, True)
    return ov.Model([op.result(x)], [parameter], "products")


def _quantized(x: Any) -> Any:
    low, high = op.constant(np.float32(-4)), op.constant(np.float32(4))
    return op.fake_quantize(x, low, high, low, high, 256)


def _int8(weights: NDArray[np.float32]) -> Any:
    scale = np.abs(weights).max(axis=1, keepdims=True) / np.float32(127)
    rounded = np.round(weights / scale).astype(np.int8)
    return op.multiply(op.convert(op.constant(rounded), np.float32), op.constant(scale))
