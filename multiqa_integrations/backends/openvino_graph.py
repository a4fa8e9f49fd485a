"""The model as an OpenVINO graph, built straight from its safetensors file.

BERT (Devlin et al., 2018, https://arxiv.org/abs/1810.04805): word + position embeddings, then
layers of self-attention and feed-forward, each with a residual and a layer norm; then the mean
over the real tokens and an L2 norm. No ONNX, no conversion step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.backends.openvino_import import op, ov
from multiqa_integrations.backends.tensors import TOKEN_TYPES, read_tensors
from multiqa_integrations.model import ModelSpec
from multiqa_integrations.weights import Weights

_MASKED = np.float32(-1e9)  # added to the attention score of padding; its exponential is 0

Tensors = dict[str, NDArray[np.float32]]


def build_graph(weights: Weights, spec: ModelSpec, *, int8: bool = False) -> ov.Model:
    """Build the model.

    Args:
        weights: The checkpoint's weights.
        spec: Its contract.
        int8: Store the matrices as 8-bit integers with one scale per output channel,
            `w ≈ int8 · max|row| / 127`. A processor with 8-bit dot products then quantises the
            activations at run time too.

    Returns:
        A graph from `input_ids` and `attention_mask`, int64 `(b, length)`, to unit vectors,
        float32 `(b, 384)`.

    Raises:
        ModelIntegrityError: The file is damaged or was written into.
        ModelContractError: A tensor is missing or of another shape than the contract says.
    """
    return _Graph(_read(weights, spec), spec, int8=int8).model()


def _read(weights: Weights, spec: ModelSpec) -> Tensors:
    tensors = read_tensors(weights, spec)
    # Every token of a single text has type 0: its row joins the positions once and for all.
    positions = "embeddings.position_embeddings.weight"
    tensors[positions] = tensors[positions] + tensors.pop(TOKEN_TYPES)[0]
    return tensors


class _Graph:
    def __init__(self, tensors: Tensors, spec: ModelSpec, *, int8: bool) -> None:
        self.tensors = tensors
        self.spec = spec
        self.int8 = int8

    def model(self) -> ov.Model:
        ids = op.parameter([-1, -1], np.int64, "input_ids")
        mask = op.parameter([-1, -1], np.int64, "attention_mask")
        keep = op.convert(mask, np.float32)  # (b, l)
        masked = op.multiply(op.subtract(_c(1.0), op.unsqueeze(keep, _i([1, 2]))), _c(_MASKED))
        x = self._embed(ids)  # (b, l, 384)
        for i in range(self.spec.layers):
            x = self._layer(x, masked, f"encoder.layer.{i}")
        column = op.unsqueeze(keep, _i([2]))  # (b, l, 1)
        total = op.reduce_sum(op.multiply(x, column), _i([1]))
        mean = op.divide(total, op.reduce_sum(column, _i([1])))
        vectors = op.normalize_l2(mean, _i([1]), eps=1e-24, eps_mode="max")  # (b, 384)
        return ov.Model([op.result(vectors)], [ids, mask], "multi-qa-encoder")

    def _embed(self, ids: Any) -> Any:
        length = op.gather(op.shape_of(ids), _i(1), _i(0))
        positions = op.range(_i(0), length, _i(1), "i64")
        words = op.gather(self._constant("embeddings.word_embeddings.weight"), ids, _i(0))
        places = op.gather(
            self._constant("embeddings.position_embeddings.weight"), positions, _i(0)
        )
        return self._norm(op.add(words, places), "embeddings.LayerNorm")

    def _layer(self, x: Any, masked: Any, name: str) -> Any:
        heads = _i([0, 0, self.spec.heads, self.spec.dimension // self.spec.heads])
        swap = _i([0, 2, 1, 3])
        query, key, value = (
            op.transpose(
                op.reshape(
                    self._linear(x, f"{name}.attention.self.{part}"), heads, special_zero=True
                ),
                swap,
            )
            for part in ("query", "key", "value")
        )  # (b, heads, l, 32)
        attended = op.scaled_dot_product_attention(query, key, value, masked)
        joined = op.reshape(op.transpose(attended, swap), _i([0, 0, -1]), special_zero=True)
        x = self._norm(
            op.add(x, self._linear(joined, f"{name}.attention.output.dense")),
            f"{name}.attention.output.LayerNorm",
        )
        wide = op.gelu(self._linear(x, f"{name}.intermediate.dense"), "erf")  # (b, l, 1536)
        return self._norm(
            op.add(x, self._linear(wide, f"{name}.output.dense")), f"{name}.output.LayerNorm"
        )

    def _linear(self, x: Any, name: str) -> Any:
        weight = self.tensors[f"{name}.weight"]
        if self.int8:
            scale = np.abs(weight).max(axis=1, keepdims=True) / np.float32(127)
            scale[scale == 0] = 1
            rounded = np.round(weight / scale).astype(np.int8)
            matrix = op.multiply(op.convert(_c(rounded), np.float32), _c(scale))
        else:
            matrix = _c(weight)
        return op.add(op.matmul(x, matrix, False, True), self._constant(f"{name}.bias"))

    def _norm(self, x: Any, name: str) -> Any:
        eps = self.spec.layer_norm_eps
        unit = op.mvn(x, _i([-1]), normalize_variance=True, eps=eps, eps_mode="inside_sqrt")
        return op.add(
            op.multiply(unit, self._constant(f"{name}.weight")), self._constant(f"{name}.bias")
        )

    def _constant(self, name: str) -> Any:
        return _c(self.tensors[name])


def _c(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return op.constant(value, shared_memory=True)  # which keeps the array
    return op.constant(np.float32(value))


def _i(value: Any) -> Any:
    return op.constant(np.asarray(value, np.int64))
