"""The model in LlamaIndex: an embedding model, a node parser, a vector store.

from llama_index.core import Settings
from multiqa_integrations.llama_index import MultiQAEmbedding

Settings.embed_model = MultiQAEmbedding()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from multiqa_integrations._optional import require

if TYPE_CHECKING:
    from multiqa_integrations.llama_index.embedding import MultiQAEmbedding
    from multiqa_integrations.llama_index.node_parser import WordPieceNodeParser
    from multiqa_integrations.llama_index.vectorstore import MultiQALlamaStore, MultiQAVectorStore

_HOMES = {
    "MultiQAEmbedding": "embedding",
    "MultiQALlamaStore": "vectorstore",
    "MultiQAVectorStore": "vectorstore",
    "WordPieceNodeParser": "node_parser",
}

__all__ = ["MultiQAEmbedding", "MultiQALlamaStore", "MultiQAVectorStore", "WordPieceNodeParser"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("llama_index.core", purpose=f"{__name__}.{name}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # the next mention costs nothing
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
