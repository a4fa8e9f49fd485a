"""The model in torch's own operations, built straight from its safetensors file.

BERT (Devlin et al., 2018, https://arxiv.org/abs/1810.04805), as in `openvino_graph`. Written out
rather than taken from a library of models: nothing but torch is imported, which takes seconds less,
the three projections of attention are one product, and nothing in it waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from multiqa_integrations.backends.tensors import TOKEN_TYPES, read_tensors
from multiqa_integrations.model import ModelSpec
from multiqa_integrations.weights import Weights


class _Linear(NamedTuple):
    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


class _Norm(NamedTuple):
    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class _Layer:
    heads: int
    projections: _Linear  # query, key and value, stacked
    attended: _Linear
    attended_norm: _Norm
    wide: _Linear
    narrow: _Linear
    norm: _Norm

    def __call__(self, x: Tensor, keys: Tensor | None) -> Tensor:
        batch, length, width = x.shape
        parts = self.projections(x).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (b, heads, l, 32)
        joined = functional.scaled_dot_product_attention(query, key, value, attn_mask=keys)
        joined = joined.transpose(1, 2).reshape(batch, length, width)
        x = self.attended_norm(x + self.attended(joined))
        return self.norm(x + self.narrow(functional.gelu(self.wide(x))))


class TorchModel:
    """The model on a device."""

    def __init__(
        self,
        weights: Weights,
        spec: ModelSpec,
        put: Callable[[NDArray[np.float32]], Tensor],
    ) -> None:
        """Read the weights.

        Args:
            weights: The checkpoint's weights.
            spec: Its contract.
            put: Makes an array a tensor of the device, in the dtype that is computed in.

        Raises:
            ModelContractError: A tensor is missing or of another shape than the contract says.
            ModelIntegrityError: The file is damaged or was written into.
        """
        tensors = read_tensors(weights, spec)

        def linear(*names: str) -> _Linear:
            parts = [
                np.concatenate([tensors[f"{name}.{part}"] for name in names])
                for part in ("weight", "bias")
            ]
            return _Linear(*map(put, parts))

        def norm(name: str) -> _Norm:
            return _Norm(
                put(tensors[f"{name}.weight"]), put(tensors[f"{name}.bias"]), spec.layer_norm_eps
            )

        def layer(name: str) -> _Layer:
            queries = f"{name}.attention.self"
            return _Layer(
                spec.heads,
                linear(f"{queries}.query", f"{queries}.key", f"{queries}.value"),
                linear(f"{name}.attention.output.dense"),
                norm(f"{name}.attention.output.LayerNorm"),
                linear(f"{name}.intermediate.dense"),
                linear(f"{name}.output.dense"),
                norm(f"{name}.output.LayerNorm"),
            )

        self._words = put(tensors["embeddings.word_embeddings.weight"])
        # Every token of a single text has type 0, so its row is added to the positions once.
        positions = tensors["embeddings.position_embeddings.weight"] + tensors[TOKEN_TYPES][0]
        self._positions = put(positions)
        self._norm = norm("embeddings.LayerNorm")
        self._layers = [layer(f"encoder.layer.{number}") for number in range(spec.layers)]

    def __call__(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """Compute unit vectors.

        Args:
            ids: Word-piece ids, `(b, length)`.
            mask: True for a word piece, False for padding, `(b, length)`; None where there is no
                padding.

        Returns:
            float32 `(b, 384)`, on the device.
        """
        x = functional.embedding(ids, self._words) + self._positions[: ids.shape[1]]
        x = self._norm(x)  # (b, l, 384)
        keys = None if mask is None else mask[:, None, None, :]  # (b, heads, queries, keys)
        for layer in self._layers:
            x = layer(x, keys)
        if mask is not None:
            x = x * mask.unsqueeze(2)
        # The sum has the direction of the mean. In float32: in half precision neither would be
        # exact, nor would the length be 1.
        return functional.normalize(x.sum(1, dtype=torch.float32), dim=1)
