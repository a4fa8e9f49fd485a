"""Split texts into passages that the model reads whole."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_text_splitters import TextSplitter

from multiqa_integrations.chunking import Chunk, chunk_many
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.langchain.embeddings import MultiQAEmbeddings
from multiqa_integrations.types import Encoder


class WordPieceTextSplitter(TextSplitter):
    """Split on sentence boundaries, by the model's own word pieces.

    The model was trained on passages of up to 250 word pieces, [CLS] and [SEP] included; no
    chunk is longer. Nothing is lost: the chunks cover the text.

    Example:
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
        """Make a splitter; the tokenizer is loaded at the first use.

        Args:
            chunk_size: Most word pieces of a chunk, [CLS] and [SEP] included.
            chunk_overlap: Word pieces that a chunk repeats of the one before.
            embeddings: Whose tokenizer counts; by default `MultiQAEncoder()`'s.
            encoder: The same, as an encoder.
            add_start_index: Put the first character's place in the text into the metadata, as
                `start_index`.
            strip_whitespace: Leave white space at both ends of a chunk out.

        Raises:
            ConfigurationError: Both `embeddings` and `encoder` are given, or the sizes do not go
                together.
        """
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
        return [passage for passage, _ in self._split([text])[0]]

    def create_documents(
        self, texts: list[str], metadatas: list[dict[Any, Any]] | None = None
    ) -> list[Document]:
        """Split texts into documents; each has a copy of its text's metadata."""
        if metadatas is not None and len(metadatas) != len(texts):
            raise ConfigurationError(f"{len(metadatas)} metadatas for {len(texts)} texts.")
        documents = []
        for number, passages in enumerate(self._split(texts)):
            for passage, start in passages:
                metadata = copy.deepcopy(metadatas[number]) if metadatas else {}
                if self._add_start_index:
                    metadata["start_index"] = start
                documents.append(Document(page_content=passage, metadata=metadata))
        return documents

    def _split(self, texts: Sequence[str]) -> list[list[tuple[str, int]]]:
        chunks = chunk_many(
            texts,
            self._encoder,
            chunk_size=self._chunk_size,
            chunk_overlap=self._chunk_overlap,
        )
        return [[found for one in of_one if (found := self._passage(one))] for of_one in chunks]

    def _passage(self, chunk: Chunk) -> tuple[str, int] | None:
        if not self._strip_whitespace:
            return chunk.text, chunk.start
        text = chunk.text.strip()
        before = len(chunk.text) - len(chunk.text.lstrip())
        return (text, chunk.start + before) if text else None
