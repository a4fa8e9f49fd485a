"""The reference: the model as sentence-transformers runs it, on torch."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import threading
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from multiqa_integrations.backends.base import DType
from multiqa_integrations.backends.tensors import read_tensors
from multiqa_integrations.backends.torch_device import DTYPES, open_device
from multiqa_integrations.checkpoint import Checkpoint
from multiqa_integrations.errors import ModelIntegrityError
from multiqa_integrations.types import Vectors
from multiqa_integrations.weights import Weights


class SentenceTransformersBackend:
    """The model on any device that torch knows. See `base.Backend`."""

    parallelism = 1

    def __init__(
        self,
        checkpoint: Checkpoint,
        weights: Weights,
        dtype: DType,
        *,
        device: str,
        threads: int | None = None,
        forked: bool = False,
    ) -> None:
        """Load the model.

        Args:
            checkpoint: Where the files are.
            weights: Its weights, which must still lie there: torch reads the file anew.
            dtype: "float32", "bfloat16" or "float16".
            device: A torch device, such as "cpu", "cuda:1" or "mps".
            threads: Processors to use on "cpu"; torch keeps this for the whole process.
            forked: This process was forked from one that had torch loaded.

        Raises:
            ConfigurationError: torch cannot use that device here.
            ModelContractError: A tensor is missing or of another shape than the contract says.
            ModelIntegrityError: The checkpoint is damaged, or its weights were replaced.
        """
        self._device = open_device(device, threads=threads, forked=forked)
        read_tensors(weights, checkpoint.spec)  # finds what is missing or not finite
        self.device = device
        self._lock = threading.Lock()
        weights.check_current()
        try:
            with _quiet():
                self._model = SentenceTransformer(
                    str(checkpoint.directory),
                    device=device,
                    local_files_only=True,
                    trust_remote_code=False,
                    model_kwargs={
                        "torch_dtype": DTYPES[dtype],
                        "use_safetensors": True,
                        # Else the checkpoint may name one, which is code from the hub.
                        "attn_implementation": "sdpa",
                    },
                ).eval()
        except Exception as error:
            raise ModelIntegrityError(
                f"sentence-transformers cannot load {checkpoint.directory}: {error} "
                "Fetch the checkpoint again."
            ) from error
        # torch maps the file: who writes into it would change the model that runs.
        for tensor in (*self._model.parameters(), *self._model.buffers()):
            tensor.data = tensor.data.clone()
        weights.check_current()

    def embed(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        """Compute unit vectors, float32 `(b, 384)`."""
        with self._lock, torch.inference_mode():
            input_ids = torch.from_numpy(ids).to(self._device)
            features = {
                "input_ids": input_ids,
                "attention_mask": torch.from_numpy(mask).to(self._device),
                "token_type_ids": torch.zeros_like(input_ids),
            }
            vectors = self._model(features)["sentence_embedding"]
            # Half-precision normalisation is off by up to 1e-3: once more, in float32.
            unit = torch.nn.functional.normalize(vectors.float(), dim=1)
            return np.array(unit.cpu().numpy())

    def abandon(self) -> None:
        """Keep torch's objects of the parent process from ever being freed in this one."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._model))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' own progress bars and notes on loading to themselves."""
    logger = logging.getLogger("sentence_transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logger.setLevel(level)
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
