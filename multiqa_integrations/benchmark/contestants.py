"""Who takes part: this package in each dtype, and its peers, all on the processor."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from multiqa_integrations._optional import is_installed

if TYPE_CHECKING:  # importing these would be counted in a peer's cold start
    from multiqa_integrations.backends import DType
    from multiqa_integrations.encoder import MultiQAEncoder
    from multiqa_integrations.types import Vectors

Encode: TypeAlias = "Callable[[list[str]], Vectors]"

OURS: dict[str, DType] = {
    "multiqa float32": "float32",
    "multiqa auto": "auto",
    "multiqa bfloat16": "bfloat16",
    "multiqa int8": "int8",
}
REFERENCE = "sentence-transformers"
"""The baseline of every ratio and cosine: torch float32, as LangChain and LlamaIndex run it."""
PEERS: dict[str, tuple[str, ...]] = {
    REFERENCE: ("sentence_transformers", "torch"),
    "transformers": ("transformers", "torch"),
}

ADAPTERS: dict[str, tuple[str, ...]] = {
    "MultiQAEmbeddings": ("langchain_core",),
    "HuggingFaceEmbeddings": ("langchain_huggingface", "sentence_transformers", "torch"),
    "MultiQAEmbedding": ("llama_index.core",),
    "HuggingFaceEmbedding": (
        "llama_index.embeddings.huggingface",
        "sentence_transformers",
        "torch",
    ),
}


def why_absent(name: str) -> str | None:
    """Tell why a contestant cannot take part on this machine; None if it can."""
    needed = (PEERS | ADAPTERS).get(name, ())
    missing = [package for package in needed if not is_installed(package)]
    if missing:
        return f"not installed ({', '.join(missing)})"
    if OURS.get(name) == "bfloat16":
        from multiqa_integrations.backends.cpu import has_native_bfloat16

        if not has_native_bfloat16():
            return "this processor does not compute it natively"
    return None


def load(name: str, model: str, limit_tokens: int) -> tuple[Encode, str]:
    """Load a contestant in this process.

    Args:
        name: Its name.
        model: Directory of the checkpoint.
        limit_tokens: Longest text in word pieces.

    Returns:
        A function from texts to vectors, and a remark on what is computed.
    """
    if name in PEERS:
        from multiqa_integrations.benchmark import peers

        return peers.LOADERS[name](model, limit_tokens), "float32"
    encoder = our_encoder(OURS[name], model, limit_tokens)
    return encoder.encode, _remark(encoder.compute.dtype)


def our_encoder(dtype: DType, model: str, limit_tokens: int, **settings: Any) -> MultiQAEncoder:
    """Make an encoder that cuts long texts without a word, as the peers do."""
    from multiqa_integrations.encoder import MultiQAEncoder
    from multiqa_integrations.errors import PerformanceWarning

    warnings.simplefilter("ignore", PerformanceWarning)  # the remark says it
    return MultiQAEncoder(
        model,
        dtype=dtype,
        device="cpu",
        max_seq_length=limit_tokens,
        on_truncation="ignore",
        **settings,
    )


def _remark(dtype: str) -> str:
    from multiqa_integrations.backends.cpu import has_native_int8

    if dtype == "int8" and not has_native_int8():
        return "8-bit weights, float32 activations: no VNNI here"
    return dtype
