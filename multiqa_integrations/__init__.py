"""The best way to use `multi-qa-MiniLM-L6-cos-v1` where people use it.

Examples:
    >>> from multiqa_integrations import MultiQAEncoder
    >>> encoder = MultiQAEncoder()
    >>> encoder.dimension
    384

Nothing heavy is imported before it is used: each name below loads its module at its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiqa_integrations import _lazy

__version__ = "0.1.0"

if TYPE_CHECKING:
    from multiqa_integrations.chunking import Chunk as Chunk
    from multiqa_integrations.chunking import chunk as chunk
    from multiqa_integrations.chunking import chunk_many as chunk_many
    from multiqa_integrations.encoder import MultiQAEncoder as MultiQAEncoder
    from multiqa_integrations.langchain import MultiQAEmbeddings as MultiQAEmbeddings
    from multiqa_integrations.model import MULTI_QA as MULTI_QA
    from multiqa_integrations.model import ModelSpec as ModelSpec
    from multiqa_integrations.types import Document as Document
    from multiqa_integrations.types import Encoder as Encoder
    from multiqa_integrations.types import Hit as Hit
else:
    __getattr__, __dir__, __all__ = _lazy.attach(
        __name__,
        {
            "chunking": ["Chunk", "chunk", "chunk_many"],
            "encoder": ["MultiQAEncoder"],
            "langchain": ["MultiQAEmbeddings"],
            "model": ["MULTI_QA", "ModelSpec"],
            "types": ["Document", "Encoder", "Hit"],
        },
    )
