"""The model in LlamaIndex: an embedding model, a node parser, a vector store.

Examples:
    >>> from llama_index.core import Settings
    >>> from multiqa_integrations.llama_index import MultiQAEmbedding
    >>> Settings.embed_model = MultiQAEmbedding()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiqa_integrations import _lazy

if TYPE_CHECKING:
    from multiqa_integrations.llama_index.embedding import MultiQAEmbedding as MultiQAEmbedding
    from multiqa_integrations.llama_index.node_parser import (
        WordPieceNodeParser as WordPieceNodeParser,
    )
    from multiqa_integrations.llama_index.vectorstore import MultiQALlamaStore as MultiQALlamaStore
    from multiqa_integrations.llama_index.vectorstore import (
        MultiQAVectorStore as MultiQAVectorStore,
    )
else:
    __getattr__, __dir__, __all__ = _lazy.attach(
        __name__,
        {
            "embedding": ["MultiQAEmbedding"],
            "node_parser": ["WordPieceNodeParser"],
            # The second name is for modules that import LangChain's store as well.
            "vectorstore": ["MultiQAVectorStore", "MultiQALlamaStore"],
        },
    )
