"""The model in LangChain: embeddings, a vector store and its retriever, a text splitter.

Examples:
    >>> from multiqa_integrations.langchain import MultiQAEmbeddings, MultiQAVectorStore
    >>> store = MultiQAVectorStore(  # doctest: +SKIP
    ...     embedding=MultiQAEmbeddings(), path="./collections"
    ... )
    >>> retriever = store.as_retriever(k=3)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiqa_integrations import _lazy

# The embeddings alone need neither a vector store nor a splitter.
if TYPE_CHECKING:
    from multiqa_integrations.langchain.embeddings import MultiQAEmbeddings as MultiQAEmbeddings
    from multiqa_integrations.langchain.keys import uuid5_key_encoder as uuid5_key_encoder
    from multiqa_integrations.langchain.retriever import MultiQARetriever as MultiQARetriever
    from multiqa_integrations.langchain.splitter import (
        WordPieceTextSplitter as WordPieceTextSplitter,
    )
    from multiqa_integrations.langchain.vectorstore import (
        MultiQAVectorStore as MultiQAVectorStore,
    )
else:
    __getattr__, __dir__, __all__ = _lazy.attach(
        __name__,
        {
            "embeddings": ["MultiQAEmbeddings"],
            "keys": ["uuid5_key_encoder"],
            "retriever": ["MultiQARetriever"],
            "splitter": ["WordPieceTextSplitter"],
            "vectorstore": ["MultiQAVectorStore"],
        },
    )
