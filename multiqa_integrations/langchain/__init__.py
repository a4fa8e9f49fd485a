"""The model in LangChain: embeddings, a vector store and its retriever, a text splitter.

from multiqa_integrations.langchain import MultiQAEmbeddings, MultiQAVectorStore

store = MultiQAVectorStore(embedding=MultiQAEmbeddings(), path="./collections")
retriever = store.as_retriever(k=3)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from multiqa_integrations._optional import require

if TYPE_CHECKING:
    from multiqa_integrations.langchain.embeddings import MultiQAEmbeddings
    from multiqa_integrations.langchain.keys import uuid5_key_encoder
    from multiqa_integrations.langchain.retriever import MultiQARetriever
    from multiqa_integrations.langchain.splitter import WordPieceTextSplitter
    from multiqa_integrations.langchain.vectorstore import MultiQAVectorStore

# Each loads its module at its first mention: embeddings alone need neither a vector store nor a
# splitter.
_HOMES = {
    "MultiQAEmbeddings": "embeddings",
    "MultiQARetriever": "retriever",
    "MultiQAVectorStore": "vectorstore",
    "WordPieceTextSplitter": "splitter",
    "uuid5_key_encoder": "keys",
}

__all__ = [
    "MultiQAEmbeddings",
    "MultiQARetriever",
    "MultiQAVectorStore",
    "WordPieceTextSplitter",
    "uuid5_key_encoder",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    needed = "langchain_text_splitters" if name == "WordPieceTextSplitter" else "langchain_core"
    require(needed, purpose=f"{__name__}.{name}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # the next mention costs nothing
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
