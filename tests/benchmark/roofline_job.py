"""What the worker of the machine's limit does: matrix products, and nothing else."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Shapes that the model has too, more or less: the fastest of them is the limit. Activations of
# two megabytes and weights of two stay in the caches.
_SHAPES = ((1024, 512), (2048, 384), (2048, 768), (1024, 1024))
_LAYERS = 4
_SECONDS = 0.5  # for each shape
_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


def roofline(*, model: str, limit_tokens: int) -> dict[str, Any]:
    """Measure the most floating-point operations a second that matrix products reach here.

    OpenVINO's kernels are used as they come (oneDNN), on all processors at the same time, for
    every arithmetic that the processor computes natively.

    Args:
        model: Unused: the matrices are random.
        limit_tokens: Unused, as well.
    """
    from multiqa_integrations.backends.cpu import has_native_bfloat16, has_native_int8

    arithmetics = ["float32"]
    arithmetics += ["bfloat16"] * has_native_bfloat16() + ["int8"] * has_native_int8()
    return {
        name: max(_operations_per_second(name, *shape) for shape in _SHAPES) for name in arithmetics
    }


def _operations_per_second(arithmetic: str, rows: int, width: int) -> float:
    import openvino as ov

    from multiqa_integrations.backends.cpu import available_cpus

    streams = available_cpus()
    config: dict[str, Any] = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_NUM_THREADS": streams,
        "NUM_STREAMS": streams,
        "INFERENCE_PRECISION_HINT": _HINTS[arithmetic],
    }
    compiled = ov.Core().compile_model(_products(arithmetic, rows, width), "CPU", config)
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


def _products(arithmetic: str, rows: int, width: int) -> Any:
    import openvino as ov
    from openvino import opset13 as op

    generator = np.random.default_rng(0)
    x = parameter = op.parameter([rows, width], np.float32)
    for _ in range(_LAYERS):
        weights = generator.standard_normal((width, width), np.float32) / np.float32(width**0.5)
        if arithmetic == "int8":
            x = op.matmul(_quantised(x), _int8(weights), False, True)
        else:
            x = op.matmul(x, op.constant(weights), False, True)
    return ov.Model([op.result(x)], [parameter], "products")


def _quantised(x: Any) -> Any:
    from openvino import opset13 as op

    low, high = op.constant(np.float32(-4)), op.constant(np.float32(4))
    return op.fake_quantize(x, low, high, low, high, 256)


def _int8(weights: NDArray[np.float32]) -> Any:
    from openvino import opset13 as op

    scale = np.abs(weights).max(axis=1, keepdims=True) / np.float32(127)
    rounded = np.round(weights / scale).astype(np.int8)
    return op.multiply(op.convert(op.constant(rounded), np.float32), op.constant(scale))
