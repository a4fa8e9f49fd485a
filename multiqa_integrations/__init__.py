"""The best way to use `multi-qa-MiniLM-L6-cos-v1` where people use it.

    >>> from multiqa_integrations import MultiQAEncoder
    >>> encoder = MultiQAEncoder()
    >>> encoder.dimension
    384

Nothing heavy is imported until it is used: a name below loads its module at its first mention.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiqa_integrations.chunking import Chunk, chunk
    from multiqa_integrations.encoder import MultiQAEncoder
    from multiqa_integrations.langchain import MultiQAEmbeddings
    from multiqa_integrations.model import MULTI_QA, ModelSpec
    from multiqa_integrations.types import Document, Encoder, Hit

__version__ = "0.1.0"

_HOMES = {
    "Chunk": "chunking",
    "Document": "types",
    "Encoder": "types",
    "Hit": "types",
    "MULTI_QA": "model",
    "ModelSpec": "model",
    "MultiQAEmbeddings": "langchain",
    "MultiQAEncoder": "encoder",
    "chunk": "chunking",
}

__all__ = [
    "MULTI_QA",
    "Chunk",
    "Document",
    "Encoder",
    "Hit",
    "ModelSpec",
    "MultiQAEmbeddings",
    "MultiQAEncoder",
    "__version__",
    "chunk",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # the next mention costs nothing
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
