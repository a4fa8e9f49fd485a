"""Split documents into nodes that the model reads whole, metadata included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.node_parser import NodeParser
from llama_index.core.node_parser.node_utils import (
    build_nodes_from_splits,
    default_id_func,
)
from llama_index.core.schema import BaseNode, MetadataMode, TextNode
from llama_index.core.utils import get_tqdm_iterable
from pydantic import Field, field_serializer, model_validator

from multiqa_integrations.chunking import Chunk
from multiqa_integrations.chunking import chunk as split
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.llama_index.embedding import MultiQAEmbedding, embedding_of_settings

_MIN_TEXT = 16  # word pieces that metadata has to leave for the text


class WordPieceNodeParser(NodeParser):
    """Split documents on sentence boundaries, by the model's own word pieces.

    What is embedded of a node is its text with its metadata before it: both together have at most
    `chunk_size` word pieces, [CLS] and [SEP] included. Nothing of the text is lost, each node
    knows its place in the document, and nodes know their neighbours.

    Examples:
        >>> WordPieceNodeParser(chunk_size=128).chunk_size
        128
    """

    chunk_size: int = Field(
        default=250, description="Most word pieces of what is embedded of a node."
    )
    chunk_overlap: int = Field(
        default=0, ge=0, description="Word pieces that a node repeats from the one before."
    )
    embedding: MultiQAEmbedding | None = Field(
        default=None,
        description="Whose tokenizer counts; by default that of LlamaIndex's Settings, as it is "
        "when documents are parsed.",
    )

    @model_validator(mode="after")
    def _check(self) -> WordPieceNodeParser:
        if not _MIN_TEXT <= self.chunk_size <= 512 or self.chunk_overlap >= self.chunk_size:
            raise ConfigurationError(
                f"chunk_size is {self.chunk_size} and chunk_overlap {self.chunk_overlap}, expected "
                f"{_MIN_TEXT} to 512 and less than that."
            )
        return self

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex knows the class by."""
        return "WordPieceNodeParser"

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> WordPieceNodeParser:
        """Create a parser from what `to_dict` returned."""
        data = {**data, **kwargs}
        if isinstance(data.get("embedding"), dict):
            data["embedding"] = MultiQAEmbedding.from_dict(dict(data["embedding"]))
        if isinstance(data.get("id_func"), dict):  # only its name is in the dictionary
            name = data.pop("id_func").get("id_func_name")
            if name != default_id_func.__name__:
                raise ConfigurationError(
                    f"id_func is {name!r}, which cannot be made from its name. Give it again: "
                    "from_dict(data, id_func=...)."
                )
        data.pop("class_name", None)
        return cls(**data)

    @property
    def used_embedding(self) -> MultiQAEmbedding:
        """The embedding model whose tokenizer counts."""
        return embedding_of_settings() if self.embedding is None else self.embedding

    # A worker process has no Settings, and a pipeline's cache must not depend on them.

    @field_serializer("embedding")
    def _serialize_embedding(self, _: MultiQAEmbedding | None) -> dict[str, Any]:
        return self.used_embedding.to_dict()

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state["__dict__"] = {**state["__dict__"], "embedding": self.used_embedding}
        return state

    def _parse_nodes(
        self, nodes: Sequence[BaseNode], show_progress: bool = False, **kwargs: Any
    ) -> list[BaseNode]:
        parsed: list[BaseNode] = []
        for node in get_tqdm_iterable(nodes, show_progress, "Parsing nodes"):
            chunks = self._split(node)
            parts = build_nodes_from_splits(
                [chunk.text for chunk in chunks], node, id_func=self.id_func
            )
            for part, chunk in zip(parts, chunks, strict=True):
                part.start_char_idx, part.end_char_idx = chunk.start, chunk.end
            parsed.extend(parts)
        return parsed

    def _split(self, node: BaseNode) -> list[Chunk]:
        """Split so that each chunk with the metadata before it is within the limit."""
        text = node.get_content(metadata_mode=MetadataMode.NONE)
        encoder = self.used_embedding.encoder
        room = self.chunk_size - self._metadata_tokens(node)
        if self.include_metadata and room < _MIN_TEXT:
            raise ConfigurationError(
                f"the metadata of {node.node_id!r} leaves {max(room, 0)} of {self.chunk_size} word "
                f"pieces for the text, expected {_MIN_TEXT} or more. Leave keys out of what is "
                "embedded (excluded_embed_metadata_keys), or raise chunk_size."
            )
        return split(
            text, encoder, chunk_size=room, chunk_overlap=min(self.chunk_overlap, room // 2)
        )

    def _metadata_tokens(self, node: BaseNode) -> int:
        """Count the word pieces that the metadata adds to a text."""
        if not self.include_metadata:
            return 0
        # The text is joined to the metadata by white space, so that the word pieces of both add up.
        probe = TextNode(
            text="x",
            metadata=node.metadata,
            excluded_embed_metadata_keys=node.excluded_embed_metadata_keys,
            metadata_template=node.metadata_template,
            metadata_separator=node.metadata_separator,
            text_template=getattr(node, "text_template", TextNode().text_template),
        )
        with_metadata = probe.get_content(metadata_mode=MetadataMode.EMBED)
        counts = self.used_embedding.encoder.count_tokens([with_metadata, "x"])
        return int(counts[0] - counts[1])
