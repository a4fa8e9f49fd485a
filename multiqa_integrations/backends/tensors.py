"""Read and check the tensors of a weights file, for every backend alike.

transformers fills in a missing tensor with random numbers, and only logs that it did.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.errors import ModelContractError
from multiqa_integrations.model import ModelSpec
from multiqa_integrations.weights import Weights

TOKEN_TYPES = "embeddings.token_type_embeddings.weight"


def tensor_shapes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors that the model computes with, by name.

    `TOKEN_TYPES` is left out: its number of rows is free.
    """
    h, f = spec.dimension, spec.intermediate
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (spec.vocabulary, h),
        "embeddings.position_embeddings.weight": (spec.max_positions, h),
        "embeddings.LayerNorm.weight": (h,),
        "embeddings.LayerNorm.bias": (h,),
    }
    for i in range(spec.layers):
        for name, shape in {
            "attention.self.query": (h, h),
            "attention.self.key": (h, h),
            "attention.self.value": (h, h),
            "attention.output.dense": (h, h),
            "attention.output.LayerNorm": (h,),
            "intermediate.dense": (f, h),
            "output.dense": (h, f),
            "output.LayerNorm": (h,),
        }.items():
            shapes[f"encoder.layer.{i}.{name}.weight"] = shape
            shapes[f"encoder.layer.{i}.{name}.bias"] = shape[:1]
    return shapes


def read_tensors(weights: Weights, spec: ModelSpec) -> dict[str, NDArray[np.float32]]:
    """Read every tensor that the model computes with, `TOKEN_TYPES` included.

    Returns:
        Each by its name in `tensor_shapes`, whatever prefix it has in the file: "bert." where
        it was saved from a model with a head, such as BertForMaskedLM. Do not write into them.

    Raises:
        ModelContractError: A tensor is missing or of another shape than the configuration says,
            or there are more layers.
        ModelIntegrityError: The file is damaged or was written into, or a tensor holds NaN or
            infinity.
    """
    shapes = tensor_shapes(spec)
    names = (*shapes, TOKEN_TYPES)
    prefix = "bert." if f"bert.{TOKEN_TYPES}" in weights.tensors else ""
    missing = [name for name in names if prefix + name not in weights.tensors]
    if missing:
        raise ModelContractError(
            f"{weights.path} lacks {len(missing)} tensors of a BERT with {spec.layers} layers, "
            f"{missing[0]!r} among them. It is not a checkpoint of this architecture."
        )
    if (more := f"{prefix}encoder.layer.{spec.layers}.output.dense.weight") in weights.tensors:
        raise ModelContractError(
            f"{weights.path} has more than the {spec.layers} layers that the configuration says: "
            f"{more!r} is there. The files are not of one checkpoint; fetch it again."
        )
    rows = weights.tensors[prefix + TOKEN_TYPES].shape[0]
    shapes[TOKEN_TYPES] = (max(rows, 1), spec.dimension)
    for name in names:
        found = weights.tensors[prefix + name].shape
        if found != shapes[name]:
            raise ModelContractError(
                f"{name} in {weights.path} has shape {found}, the configuration says "
                f"{shapes[name]}. The files are not of one checkpoint; fetch it again."
            )
    return {name: weights.read(prefix + name) for name in names}
