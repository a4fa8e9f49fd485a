"""Split texts into chunks that the model reads whole."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_text_splitters import TextSplitter

from multiqa_integrations.arguments import is_whole
from multiqa_integrations.chunking import Chunk, chunk_many
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.langchain.embeddings import MultiQAEmbeddings
from multiqa_integrations.types import Encoder


class WordPieceTextSplitter(TextSplitter):
    """Split on sentence boundaries, by the model's own word pieces.

    The model was trained on texts of up to 250 word pieces, [CLS] and [SEP] included; no chunk is
    longer. Nothing is lost: the chunks cover the text.

    Examples:
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> splitter = WordPieceTextSplitter(chunk_size=8, encoder=FakeEncoder())
        >>> splitter.split_text("One two three four. Five six seven eight.")
        ['One two three four.', 'Five six seven eight.']
    """

    def __init__(
        self,
        chunk_size: int = 250,
        chunk_overlap: int = 0,
        *,
        embeddings: MultiQAEmbeddings | None = None,
        encoder: Encoder | None = None,
        add_start_index: bool = False,
        strip_whitespace: bool = True,
    ) -> None:
        """Create a splitter; the tokenizer is loaded on first use.

        Args:
            chunk_size: Most word pieces per chunk, [CLS] and [SEP] included.
            chunk_overlap: Word pieces that a chunk repeats from the one before.
            embeddings: Their tokenizer counts; by default `MultiQAEncoder()`'s.
            encoder: An encoder whose tokenizer counts, instead of embeddings.
            add_start_index: Keep the position of the chunk's first character in the text, as
                `start_index` in its metadata.
            strip_whitespace: Strip white space from both ends of a chunk.

        Raises:
            ConfigurationError: Both `embeddings` and `encoder` are given, or the sizes do not go
                together.
        """
        for name, value in (("chunk_size", chunk_size), ("chunk_overlap", chunk_overlap)):
            if not is_whole(value):
                raise ConfigurationError(f"{name} is {value!r}, expected a whole number.")
        if embeddings is not None and encoder is not None:
            raise ConfigurationError("give embeddings or encoder, not both.")
        if embeddings is not None:
            encoder = embeddings.used_encoder
        self._encoder = encoder if encoder is not None else MultiQAEncoder()
        try:
            super().__init__(
                chunk_size=chunk_size,
                chunk_overlap=chunk_overlap,
                length_function=self.count_tokens,
                add_start_index=add_start_index,
                strip_whitespace=strip_whitespace,
            )
        except ValueError as error:
            raise ConfigurationError(f"{error}.") from error

    def count_tokens(self, text: str) -> int:
        """Count the word pieces of a text, [CLS] and [SEP] included."""
        return int(self._encoder.count_tokens([text])[0])

    def split_text(self, text: str) -> list[str]:
        """Split one text."""
        return [chunk for chunk, _ in self._split([text])[0]]

    def create_documents(
        self, texts: list[str], metadatas: list[dict[Any, Any]] | None = None
    ) -> list[Document]:
        """Split texts into documents; each has a copy of its text's metadata."""
        if metadatas is not None and len(metadatas) != len(texts):
            raise ConfigurationError(f"{len(metadatas)} metadatas for {len(texts)} texts.")
        documents = []
        for number, chunks in enumerate(self._split(texts)):
            for text, start in chunks:
                metadata = copy.deepcopy(metadatas[number]) if metadatas else {}
                if self._add_start_index:
                    metadata["start_index"] = start
                documents.append(Document(page_content=text, metadata=metadata))
        return documents

    def _split(self, texts: Sequence[str]) -> list[list[tuple[str, int]]]:
        """Return the chunks of each text, and where they start in it."""
        chunks_of_texts = chunk_many(
            texts,
            self._encoder,
            chunk_size=self._chunk_size,
            chunk_overlap=self._chunk_overlap,
        )
        return [
            [stripped for chunk in chunks if (stripped := self._strip(chunk))]
            for chunks in chunks_of_texts
        ]

    def _strip(self, chunk: Chunk) -> tuple[str, int] | None:
        if not self._strip_whitespace:
            return chunk.text, chunk.start
        text = chunk.text.strip()
        before = len(chunk.text) - len(chunk.text.lstrip())
        return (text, chunk.start + before) if text else None
