"""From documents to chunks: split at sentence ends, each with the title before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from multiqa_integrations.chunking import chunk_many
from multiqa_integrations.etl.documents import SourceDocument
from multiqa_integrations.tokenizer import SPECIAL_TOKENS
from multiqa_integrations.types import Encoder


@dataclass(frozen=True, slots=True)
class TitledChunk:
    """A chunk of a document, as it is encoded and stored.

    Attributes:
        text: The title, a line break, and the document's text from `start` to `end`.
        start: The chunk's first character in the document's text.
        end: The character after its last one.
    """

    text: str
    start: int
    end: int


def chunk_documents(
    documents: Sequence[SourceDocument],
    encoder: Encoder,
    *,
    chunk_size: int,
    chunk_overlap: int,
) -> list[list[TitledChunk] | str]:
    """Split documents into chunks of at most `chunk_size` word pieces, their titles included.

    Returns:
        The chunks of each document, or the reason why it has none.
    """
    titles = list({document.title: None for document in documents if document.title})
    # A line break separates words, so title and chunk together have the word pieces of both.
    counts = encoder.count_tokens(titles) - SPECIAL_TOKENS
    title_tokens = dict(zip(titles, counts.tolist(), strict=True))
    # Documents whose titles have similar lengths are split together: each call has its price.
    step = max(1, chunk_size // 16)
    results: list[list[TitledChunk] | str] = [[] for _ in documents]
    groups: dict[int, list[int]] = defaultdict(list)
    for index, document in enumerate(documents):
        reserved = -(-title_tokens.get(document.title, 0) // step) * step
        room = chunk_size - reserved
        if 2 * reserved > chunk_size or room < 8 or 2 * chunk_overlap >= room:
            results[index] = (
                f"its title has {title_tokens[document.title]} word pieces, which leaves too "
                f"little of the {chunk_size} of a chunk"
            )
        else:
            groups[room].append(index)
    for room, indices in groups.items():
        texts = [documents[index].text for index in indices]
        split = chunk_many(texts, encoder, chunk_size=room, chunk_overlap=chunk_overlap)
        for index, chunks in zip(indices, split, strict=True):
            title = documents[index].title
            titled = []
            for chunk in chunks:
                words = chunk.text.strip()
                if words:
                    start = chunk.start + len(chunk.text) - len(chunk.text.lstrip())
                    text = f"{title}\n{words}" if title else words
                    titled.append(TitledChunk(text, start, start + len(words)))
            results[index] = titled
    return results
