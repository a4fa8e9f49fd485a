"""The backend for plain processors: OpenVINO, without torch."""

from __future__ import annotations

import ctypes
import queue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.backends.base import DType
from multiqa_integrations.backends.cpu import arithmetic_of, available_cpus
from multiqa_integrations.backends.openvino_compile import compile_for_cpu
from multiqa_integrations.backends.openvino_graph import build_graph
from multiqa_integrations.backends.openvino_import import ov
from multiqa_integrations.model import ModelSpec
from multiqa_integrations.types import Vectors
from multiqa_integrations.weights import Weights

# How many neighbouring activations share a scale when int8 quantises them at run time.
# Coarser is faster and less exact; docs/benchmarks.md has the measurements behind the choice.
_INT8_GROUP = 128


class OpenVINOBackend:
    """The model compiled for the processor. See `base.Backend`."""

    device = "cpu"

    def __init__(
        self,
        weights: Weights,
        spec: ModelSpec,
        dtype: DType,
        *,
        threads: int | None = None,
        one_batch: bool = False,
    ) -> None:
        """Compile the model (about 0.3 s).

        Args:
            weights: The checkpoint's weights.
            spec: Its contract.
            dtype: "float32", "bfloat16" or "int8".
            threads: Processors to use; all that this process may use by default.
            one_batch: Put all threads on one batch, for the lowest latency; by default several
                batches are computed at the same time, for the highest throughput.
        """
        threads = threads or available_cpus()
        # A stream computes one batch. One thread each is fastest for bulk work; on large
        # machines that many batches would take much memory, so streams get more threads.
        streams = threads if threads <= 8 else max(8, threads // 4)
        self.parallelism = 1 if one_batch else streams
        arithmetic = arithmetic_of(dtype)
        config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY" if one_batch else "THROUGHPUT",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": self.parallelism,
            # Threads are pinned from the first processor on, by each model and by each process:
            # two workers of one thread each would share one processor and leave the other idle.
            "ENABLE_CPU_PINNING": False,
            # Run-time quantisation of activations works on float32 ones only.
            "INFERENCE_PRECISION_HINT": "bf16" if arithmetic == "bfloat16" else "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": _INT8_GROUP if arithmetic == "int8" else 0,
        }
        graph = build_graph(weights, spec, int8=dtype == "int8")
        self._compiled = compile_for_cpu(graph, config)
        # A request serves one thread at a time: the thread that takes it from the queue.
        self._requests: queue.SimpleQueue[ov.InferRequest] = queue.SimpleQueue()
        self._all_requests = [
            self._compiled.create_infer_request() for _ in range(self.parallelism)
        ]
        for request in self._all_requests:
            self._requests.put(request)

    def embed(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        """Compute unit vectors, float32 `(b, 384)`."""
        request = self._requests.get()
        try:
            request.set_input_tensor(0, ov.Tensor(ids, shared_memory=True))
            request.set_input_tensor(1, ov.Tensor(mask, shared_memory=True))
            request.infer()  # releases the interpreter lock
            return np.array(request.get_output_tensor(0).data)
        finally:
            self._requests.put(request)

    def abandon(self) -> None:
        """Make sure that no destructor of OpenVINO ever runs in this process.

        For a forked child: the library's threads are gone there, and whatever waits for them
        hangs, destructors at exit included. The memory is the parent's anyway.
        """
        for leaked in (self._compiled, *self._all_requests):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(leaked))
