"""Who takes part: this package in each dtype, and its peers, on the processor or a device.

Peers need not be installed beside this package, and some cannot be, since they need other versions
of what it needs too. So they are grouped by environment, and each environment may have a Python of
its own (`multiqa bench --python onnx=/path/to/venv`), which imports this module: nothing but the
standard library and numpy may be needed for that.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from multiqa_integrations._optional import is_installed

if TYPE_CHECKING:  # importing these would be counted in a peer's cold start
    from multiqa_integrations.backends import DType
    from multiqa_integrations.encoder import MultiQAEncoder
    from tests.benchmark.peers import Encode

OURS: dict[str, DType] = {
    "multiqa float32": "float32",
    "multiqa auto": "auto",
    "multiqa bfloat16": "bfloat16",
    "multiqa int8": "int8",
}
OURS_ON_A_DEVICE: dict[str, DType] = {
    "multiqa float32": "float32",
    "multiqa auto": "auto",
    "multiqa float16": "float16",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """Another way to compute the same vectors, or to store them.

    Attributes:
        environment: The group of packages that it belongs to, as `--python` names it.
        modules: What must be installed for it to take part.
        export: The form of the weights that it reads, a name in `EXPORTS`; None for the
            checkpoint's own safetensors.
    """

    environment: str
    modules: tuple[str, ...]
    export: str | None = None


_ONNX = ("sentence_transformers", "torch", "optimum.onnxruntime", "onnxruntime")
_OPENVINO = ("sentence_transformers", "torch", "optimum.intel", "openvino")
_PACKAGES = {"optimum.onnxruntime": "optimum-onnx"}  # others are named after their modules
_ONNX_RUNTIME = ("onnxruntime", "tokenizers")
_LLAMA_INDEX = ("llama_index.embeddings.huggingface", "sentence_transformers", "torch")

REFERENCE = "sentence-transformers"
"""The baseline of every ratio and cosine: torch float32, as LangChain and LlamaIndex run it."""
PEERS: dict[str, Peer] = {
    REFERENCE: Peer("torch", ("sentence_transformers", "torch")),
    "sentence-transformers bfloat16": Peer("torch", ("sentence_transformers", "torch")),
    "sentence-transformers onnx": Peer("onnx", _ONNX, "onnx"),
    "sentence-transformers onnx int8": Peer("onnx", _ONNX, "onnx-int8"),
    "sentence-transformers openvino": Peer("openvino", _OPENVINO, "openvino"),
    "sentence-transformers openvino int8": Peer("openvino", _OPENVINO, "openvino-int8"),
    "onnxruntime, our batches": Peer("onnx", _ONNX_RUNTIME, "onnx"),
    "onnxruntime int8, our batches": Peer("onnx", _ONNX_RUNTIME, "onnx-int8"),
    "fastembed": Peer("fastembed", ("fastembed", "onnxruntime"), "onnx"),
    "transformers": Peer("torch", ("transformers", "torch")),
    "langchain-huggingface": Peer(
        "langchain", ("langchain_huggingface", "sentence_transformers", "torch")
    ),
    "llama-index-embeddings-huggingface": Peer("llama-index", _LLAMA_INDEX),
}
_SENTENCE_TRANSFORMERS = Peer("torch", ("sentence_transformers", "torch"))
PEERS_ON_A_DEVICE: dict[str, Peer] = {
    REFERENCE: _SENTENCE_TRANSFORMERS,
    "sentence-transformers, its best batch": _SENTENCE_TRANSFORMERS,
    "sentence-transformers bfloat16, its best batch": _SENTENCE_TRANSFORMERS,
}
EXPORTS: dict[str, Peer] = {
    "onnx": Peer("onnx", _ONNX),
    "onnx-int8": Peer("onnx", _ONNX),
    "openvino": Peer("openvino", _OPENVINO),
    "openvino-int8": Peer("openvino", (*_OPENVINO, "nncf", "datasets")),
}
"""Who makes the forms of the weights that some peers read."""
INGEST_PEERS: dict[str, Peer] = {
    "LangChain, client local mode": Peer(
        "langchain",
        (
            *("langchain_huggingface", "langchain_qdrant", "langchain_text_splitters"),
            *("qdrant_client", "sentence_transformers", "torch"),
        ),
    ),
    "LlamaIndex, client local mode": Peer(
        "llama-index", ("llama_index.vector_stores.qdrant", "qdrant_client", *_LLAMA_INDEX)
    ),
}
ENVIRONMENTS = tuple(
    dict.fromkeys(peer.environment for peer in (*PEERS.values(), *INGEST_PEERS.values()))
)

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


def peer(name: str) -> Peer | None:
    """Return the peer or export of that name; None for this package itself."""
    for group in (PEERS, PEERS_ON_A_DEVICE, INGEST_PEERS, EXPORTS):
        if name in group:
            return group[name]
    return None


def contestants(device: str, *, in_bulk: bool = False) -> list[str]:
    """Name who encodes on a device, this package first; single texts have no best batch."""
    if device == "cpu":
        return [*OURS, *PEERS]
    return [*OURS_ON_A_DEVICE, *(PEERS_ON_A_DEVICE if in_bulk else [REFERENCE])]


def why_absent(name: str) -> str | None:
    """Return why an implementation cannot take part in this Python; None if it can."""
    other = peer(name)
    needed = other.modules if other else ADAPTERS.get(name, ())
    missing = [module for module in needed if not is_installed(module)]
    if missing:
        return f"not installed ({', '.join(missing)})"
    if OURS.get(name) == "bfloat16":
        from multiqa_integrations.backends.cpu import has_native_bfloat16

        if not has_native_bfloat16():
            return "this processor does not compute it natively"
    return None


def versions(name: str) -> dict[str, str]:
    """Return the versions of what a peer is made of, by the names of its packages."""
    other = peer(name)
    modules = other.modules if other else ()
    packages = [_PACKAGES.get(module, re.sub("[_.]", "-", module)) for module in modules]
    return {package: version(package) for package in packages}


class Loaded(NamedTuple):
    """An implementation, ready.

    Attributes:
        encode: From texts to vectors.
        arithmetic: What the matrix products are computed in: "float32", "bfloat16" or "int8".
        remark: What is to be said about that.
    """

    encode: Encode
    arithmetic: str
    remark: str


def load(name: str, model: str, limit_tokens: int, device: str = "cpu") -> Loaded:
    """Load an implementation in this process.

    Args:
        name: Its name.
        model: Directory of the checkpoint, or of the form of it that a peer reads.
        limit_tokens: Longest text in word pieces.
        device: "cpu", or a torch device.
    """
    if device != "cpu" and name in PEERS_ON_A_DEVICE:
        from tests.benchmark import peers

        best = name.endswith("best batch")
        return Loaded(
            *peers.load_on_a_device(model, limit_tokens, device, "bfloat16" in name, best)
        )
    if name in PEERS:
        from tests.benchmark import peers

        encode, arithmetic = peers.LOADERS[name](model, limit_tokens)
        return Loaded(encode, arithmetic, arithmetic)
    ours = OURS if device == "cpu" else OURS_ON_A_DEVICE
    encoder = our_encoder(ours[name], model, limit_tokens, device=device)
    return Loaded(encoder.encode, *_arithmetic(encoder.compute.dtype))


def our_encoder(
    dtype: DType, model: str, limit_tokens: int, *, device: str = "cpu", **settings: Any
) -> MultiQAEncoder:
    """Make an encoder that cuts long texts silently, as the peers do."""
    from multiqa_integrations.encoder import MultiQAEncoder
    from multiqa_integrations.errors import PerformanceWarning

    warnings.simplefilter("ignore", PerformanceWarning)  # the remark says it
    return MultiQAEncoder(
        model,
        dtype=dtype,
        device=device,
        max_seq_length=limit_tokens,
        on_truncation="ignore",
        **settings,
    )


def _arithmetic(dtype: str) -> tuple[str, str]:
    from multiqa_integrations.backends.cpu import arithmetic_of

    arithmetic = arithmetic_of(dtype)
    return arithmetic, dtype if arithmetic == dtype else f"8-bit weights, {arithmetic} activations"
