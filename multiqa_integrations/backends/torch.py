"""The backend for accelerators: torch, on CUDA, ROCm, MPS or the CPU."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from multiqa_integrations.backends.base import DType
from multiqa_integrations.backends.torch_device import DTYPES, first_sentence, open_device
from multiqa_integrations.backends.torch_model import TorchModel
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.model import ModelSpec
from multiqa_integrations.types import Vectors
from multiqa_integrations.weights import Weights

_LENGTH_STEP = 8  # tensor cores want dimensions that are multiples of it
_PATIENCE = 100  # batches after which a larger one is tried again
_choosing = threading.Lock()  # what `sdpa_kernel` sets is the whole process's


class TorchBackend:
    """The model on a torch device. See `base.Backend`."""

    def __init__(
        self,
        weights: Weights,
        spec: ModelSpec,
        dtype: DType,
        *,
        device: str,
        threads: int | None = None,
        forked: bool = False,
    ) -> None:
        """Load the model.

        Args:
            weights: The checkpoint's weights.
            spec: Its contract.
            dtype: "float32", "bfloat16" or "float16".
            device: A torch device, such as "cpu", "cuda:1" or "mps".
            threads: Processors to use on "cpu"; torch keeps this for the whole process.
            forked: This process was forked from one that had torch loaded.

        Raises:
            ConfigurationError: torch cannot use that device here.
            ModelContractError: A tensor is missing or of another shape than the contract says.
            ModelIntegrityError: The file is damaged or was written into.
        """
        self._device = open_device(device, threads=threads, forked=forked)
        self._dtype = DTYPES[dtype]
        self.device = device
        self._is_cuda = self._device.type == "cuda"
        # On a GPU the next batch is submitted while one is computed.
        self.parallelism = 2 if self._is_cuda else 1
        self._longest = spec.max_positions
        self._room = sys.maxsize  # word pieces that fit in device memory, as far as is known
        self._computed = 0
        self._submitting = threading.Lock()
        try:
            self._model = TorchModel(weights, spec, self._put)
        except torch.cuda.OutOfMemoryError as error:
            raise self._no_room_error("the model", error) from error

    def embed(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        """Compute unit vectors, float32 `(b, 384)`.

        A batch that does not fit in the memory of a GPU is split, and so are later ones at once.

        Raises:
            ConfigurationError: Not even a single text fits.
        """
        if ids.size <= self._room or len(ids) == 1:
            try:
                vectors = self._embed(ids, mask)
            except torch.cuda.OutOfMemoryError as error:
                if len(ids) == 1:
                    raise self._no_room_error(f"a text of {ids.shape[1]} tokens", error) from error
                self._room = max(ids.size // 2, self._longest)
            else:
                self._computed += 1
                if self._computed % _PATIENCE == 0:  # others may have freed theirs
                    self._room = min(2 * self._room, sys.maxsize)
                return vectors
        # Not in the handler, whose traceback keeps the tensors alive.
        half = len(ids) // 2
        parts = [self.embed(ids[:half], mask[:half]), self.embed(ids[half:], mask[half:])]
        return np.concatenate(parts)

    def abandon(self) -> None:
        """Keep torch's objects of the parent process from ever being freed in this one."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._model))

    def _embed(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        if self._is_cuda:
            padding = min(-ids.shape[1] % _LENGTH_STEP, self._longest - ids.shape[1])
            ids, mask = (np.pad(part, ((0, 0), (0, padding))) for part in (ids, mask))
        sent = self._send(torch.from_numpy(ids))
        keep = None if mask.all() else self._send(torch.from_numpy(mask).bool())
        with self._submitting, torch.inference_mode(), self._attention():
            vectors = self._model(sent, keep)
            if not self._is_cuda:
                return np.array(vectors.cpu().numpy())
            received = torch.empty(vectors.shape, dtype=vectors.dtype, pin_memory=True)
            received.copy_(vectors, non_blocking=True)
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record(torch.cuda.current_stream(self._device))
        # With neither this lock nor the interpreter's held, so that the next batch is submitted.
        # The thread sleeps; by default it would keep a processor busy that the tokenizer needs.
        done.synchronize()
        return np.array(received.numpy())

    def _attention(self) -> AbstractContextManager[None]:
        return _without_cudnn() if self._is_cuda else nullcontext()

    def _put(self, array: NDArray[np.float32]) -> Tensor:
        # A copy: models that are loaded from the same file share the array.
        return torch.tensor(array, dtype=self._dtype, device=self._device)

    def _send(self, tensor: Tensor) -> Tensor:
        # From pinned memory, or this thread would wait until the batch before is computed.
        pinned = tensor.pin_memory() if self._is_cuda else tensor
        return pinned.to(self._device, non_blocking=True)

    def _no_room_error(self, what: str, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"the device {self.device!r} has too little free memory for {what}: "
            f"{first_sentence(error)} Free some of it, or use device='cpu' (--device)."
        )


@contextmanager
def _without_cudnn() -> Iterator[None]:
    """Leave attention to torch's own kernels.

    Recent GPUs get cuDNN's by default, which spends 25 ms planning for each new shape, once per
    thread, where a batch takes 7 ms.
    """
    own = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    with _choosing, sdpa_kernel(own):
        yield
