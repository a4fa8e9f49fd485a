"""Check the tensors of a weights file, for every backend alike.

transformers fills in a missing tensor with random numbers, and only logs that it did.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from multiqa_integrations.errors import ModelContractError, ModelIntegrityError
from multiqa_integrations.model import ModelSpec

TOKEN_TYPES = "embeddings.token_type_embeddings.weight"


def tensor_shapes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Name the tensors that the model computes with, and their shapes.

    `TOKEN_TYPES` is left out: it has as many rows as the checkpoint likes.
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


def check_tensors(weights: Path, spec: ModelSpec) -> str:
    """Check that every tensor is there and has the shape that the configuration says.

    Args:
        weights: The checkpoint's `model.safetensors`.
        spec: Its contract.

    Returns:
        What stands before every name: nothing, or "bert." where the file was saved from a
        model with a head, such as BertForMaskedLM.

    Raises:
        ModelIntegrityError: The file is damaged.
        ModelContractError: A tensor is missing or of another shape.
    """
    needed = tensor_shapes(spec)
    try:
        with safe_open(weights, framework="np") as tensors:
            names = set(tensors.keys())
            prefix = "bert." if f"bert.{TOKEN_TYPES}" in names else ""
            missing = [n for n in (*needed, TOKEN_TYPES) if prefix + n not in names]
            if missing:
                raise ModelContractError(
                    f"{weights} lacks {len(missing)} tensors of a BERT with {spec.layers} layers, "
                    f"{missing[0]!r} among them. It is no checkpoint of this architecture."
                )
            found = {
                n: tuple(tensors.get_slice(prefix + n).get_shape()) for n in (*needed, TOKEN_TYPES)
            }
    except (SafetensorError, OSError) as error:
        raise ModelIntegrityError(
            f"{weights} cannot be read ({error}). Fetch the checkpoint again."
        ) from error
    needed[TOKEN_TYPES] = (max(found[TOKEN_TYPES][0], 1), spec.dimension)
    for name, shape in needed.items():
        if found[name] != shape:
            raise ModelContractError(
                f"{name} in {weights} has shape {found[name]}, the configuration says "
                f"{shape}. The files are not of one checkpoint; fetch it again."
            )
    return prefix
