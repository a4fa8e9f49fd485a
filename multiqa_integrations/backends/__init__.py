"""Where the computing is done, and how that is chosen."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from multiqa_integrations._optional import is_installed, require
from multiqa_integrations.backends.base import Backend, BackendName, DType
from multiqa_integrations.backends.cpu import (
    arithmetic_of,
    fastest_dtype,
    has_native_bfloat16,
    has_tiles,
    has_wide_vectors,
)
from multiqa_integrations.checkpoint import Checkpoint
from multiqa_integrations.errors import ConfigurationError, PerformanceWarning
from multiqa_integrations.weights import Weights

__all__ = [
    "Backend",
    "BackendName",
    "Compute",
    "DType",
    "check",
    "choose",
    "load",
    "note_fork",
    "warn_of_slowness",
]

_DTYPES: dict[str, tuple[str, ...]] = {
    "openvino": ("float32", "bfloat16", "int8"),
    "torch": ("float32", "bfloat16", "float16"),
    "sentence-transformers": ("float32", "bfloat16", "float16"),
}
_NAMES = "'auto', 'openvino', 'torch' or 'sentence-transformers'"

_torch_is_inherited = False


@dataclass(frozen=True, slots=True)
class Compute:
    """What computes the vectors.

    Attributes:
        backend: "openvino", "torch" or "sentence-transformers".
        dtype: "float32", "bfloat16", "float16" or "int8".
        device: "cpu", or a torch device.
        reason: Why, in words for a person.
    """

    backend: BackendName
    dtype: DType
    device: str
    reason: str

    @property
    def on_accelerator(self) -> bool:
        """Whether the model runs on something other than the CPU."""
        return self.device.partition(":")[0] != "cpu"

    @property
    def batch_tokens(self) -> int:
        """A good size of a batch, in word pieces with padding."""
        if self.on_accelerator:
            return 65_536
        # Without AVX-512 larger batches spill out of the caches and gain nothing.
        return 2048 if has_wide_vectors() else 512

    @property
    def batch_texts(self) -> int:
        """Most texts in a batch."""
        return 1024 if self.on_accelerator else 64

    @property
    def query_step(self) -> int:
        """What the length of a text that is computed alone is padded to a multiple of.

        Queries differ in length from one to the next, and OpenVINO takes 0.4 to 1 ms to change
        its shapes, where a query takes 2 to 3 ms. In bfloat16 and int8 the padding takes less
        time than that, in float32 as much.
        """
        is_float32 = self.backend != "openvino" or arithmetic_of(self.dtype) == "float32"
        return 1 if is_float32 else 8


def check(backend: BackendName, dtype: DType, device: str) -> None:
    """Refuse settings that can be honoured nowhere, without looking at this machine.

    Raises:
        ConfigurationError: An unknown name, or settings that exclude each other.
    """
    if backend not in ("auto", *_DTYPES):
        raise ConfigurationError(f"backend is {backend!r}, expected {_NAMES}.")
    known = ("auto", "float32", "bfloat16", "float16", "int8")
    if dtype not in known:
        raise ConfigurationError(f"dtype is {dtype!r}, expected one of {', '.join(known)}.")
    if not isinstance(device, str) or not device:
        raise ConfigurationError(
            f"device is {device!r}, expected 'auto', 'cpu', or a torch device such as 'cuda:0'."
        )
    if backend == "openvino" and device not in ("auto", "cpu"):
        raise ConfigurationError(
            f"backend='openvino' computes on the CPU, device is {device!r}. "
            "Use backend='torch' for accelerators."
        )
    if dtype != "auto" and backend != "auto" and dtype not in _DTYPES[backend]:
        raise ConfigurationError(
            f"backend={backend!r} does not compute in {dtype}; it offers "
            f"{', '.join(_DTYPES[backend])}."
        )
    if dtype == "int8" and device not in ("auto", "cpu"):
        raise ConfigurationError(f"int8 is computed on the CPU only, device is {device!r}.")
    if dtype == "float16" and device == "cpu":
        raise ConfigurationError(
            "float16 is computed on accelerators only; use dtype='auto' on the CPU."
        )


def choose(backend: BackendName = "auto", dtype: DType = "auto", device: str = "auto") -> Compute:
    """Choose what computes the vectors on this machine.

    torch is imported only where the driver of an accelerator answers, or where an accelerator
    was asked for.

    Raises:
        ConfigurationError: The settings cannot be honoured here.
        MissingDependencyError: They need the extra `torch`.
    """
    check(backend, dtype, device)
    reason = f"backend={backend!r} was asked for"
    if backend == "auto":
        backend, device, reason = _choose_backend(dtype, device)
    elif device == "auto":
        accelerator = _accelerator() if backend != "openvino" else None
        device = accelerator or "cpu"
    if backend != "openvino":
        return Compute(backend, _torch_dtype(backend, dtype, device), device, reason)
    if dtype == "auto":
        dtype = "bfloat16" if has_native_bfloat16() else "float32"
    elif dtype == "bfloat16" and not has_native_bfloat16():
        raise ConfigurationError(
            "dtype is 'bfloat16', which this processor does not compute natively (it has "
            "neither avx512_bf16 nor amx_bf16). Use dtype='auto'."
        )
    return Compute(backend, dtype, "cpu", reason)


def load(
    checkpoint: Checkpoint,
    weights: Weights,
    compute: Compute,
    *,
    threads: int | None,
    one_batch: bool = False,
) -> Backend:
    """Load a checkpoint where `compute` says.

    Args:
        checkpoint: The checkpoint.
        weights: Its weights, opened.
        compute: What computes.
        threads: Processors to use on the CPU.
        one_batch: For one batch at a time, as soon as possible; OpenVINO only.
    """
    if compute.backend == "torch":
        from multiqa_integrations.backends.torch import TorchBackend

        return TorchBackend(
            weights,
            checkpoint.spec,
            compute.dtype,
            device=compute.device,
            threads=threads,
            forked=_torch_is_inherited,
        )
    if compute.backend == "sentence-transformers":
        from multiqa_integrations.backends.sentence_transformers import SentenceTransformersBackend

        return SentenceTransformersBackend(
            checkpoint,
            weights,
            compute.dtype,
            device=compute.device,
            threads=threads,
            forked=_torch_is_inherited,
        )
    from multiqa_integrations.backends.openvino import OpenVINOBackend

    return OpenVINOBackend(
        weights, checkpoint.spec, compute.dtype, threads=threads, one_batch=one_batch
    )


def warn_of_slowness(compute: Compute) -> None:
    """Warn of a setting that is honoured, but is no faster on this machine."""
    if compute.dtype != "int8" or (fastest := fastest_dtype()) == "int8":
        return
    lacking = "with AMX" if has_tiles() else "without 8-bit dot products (VNNI)"
    warnings.warn(
        f"dtype='int8' on a processor {lacking}: the weights are 8-bit, the products are "
        f"{arithmetic_of('int8')}. It saves memory, not time: the fastest here is "
        f"dtype={fastest!r}, which dtype='auto' chooses.",
        PerformanceWarning,
        stacklevel=2,
    )


def note_fork() -> None:
    """Record, in a forked child, whether the parent had torch loaded."""
    global _torch_is_inherited
    _torch_is_inherited = "torch" in sys.modules


def _choose_backend(dtype: DType, device: str) -> tuple[BackendName, str, str]:
    if dtype == "int8":
        return "openvino", "cpu", "int8 was asked for, which OpenVINO computes"
    if device == "cpu":
        return "openvino", "cpu", "device='cpu' was asked for"
    if device != "auto":
        return "torch", device, f"device={device!r} was asked for"
    if accelerator := _accelerator():
        return "torch", accelerator, f"torch can use {accelerator}"
    if dtype == "float16":
        raise ConfigurationError(
            "float16 is computed on accelerators only, and none can be used here. Use dtype='auto'."
        )
    return "openvino", "cpu", "no accelerator that torch can use"


def _torch_dtype(backend: BackendName, dtype: DType, device: str) -> DType:
    """Choose the dtype of a backend on torch.

    Raises:
        ConfigurationError: It is float16 and the device is the CPU.
        MissingDependencyError: The backend is not installed.
    """
    module = {"torch": "torch", "sentence-transformers": "sentence_transformers"}[backend]
    require(module, purpose=f"backend={backend!r}")
    kind = device.partition(":")[0]
    if dtype == "float16" and kind == "cpu":
        raise ConfigurationError(
            "float16 is computed on accelerators only, and none can be used here. Use dtype='auto'."
        )
    if dtype != "auto":
        return dtype
    if kind != "cuda":
        return "float32"
    # bfloat16 keeps float32's range, so that no activation overflows.
    return "bfloat16" if _computes_bfloat16(device) else "float16"


def _computes_bfloat16(device: str) -> bool:
    """Check whether a GPU has bfloat16; on NVIDIA's before 2020 torch only emulates it."""
    torch = require("torch", purpose="an accelerator")
    if torch.version.hip is not None or not torch.cuda.is_available():
        return True
    try:
        return bool(torch.cuda.get_device_capability(device) >= (8, 0))
    except (RuntimeError, AssertionError):  # e.g. no such device; loading will report it
        return True


def _accelerator() -> str | None:
    """Name an accelerator that torch can really use; None if there is none."""
    if not is_installed("torch"):
        return None
    if not (_has_nvidia_gpu() or _has_amd_gpu() or _is_apple_silicon()):
        return None
    torch = require("torch", purpose="an accelerator")
    if torch.cuda.is_available():  # ROCm answers here too
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    return None


def _has_nvidia_gpu() -> bool:
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return (
        driver.cuInit(0) == 0
        and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        and count.value > 0
    )


def _has_amd_gpu() -> bool:
    return Path("/dev/kfd").exists()


def _is_apple_silicon() -> bool:
    return sys.platform == "darwin" and platform.machine() == "arm64"
