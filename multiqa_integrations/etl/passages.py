"""From documents to passages: cut at sentence ends, each with the title before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from multiqa_integrations.chunking import chunk_many
from multiqa_integrations.etl.documents import SourceDocument
from multiqa_integrations.tokenizer import SPECIAL_TOKENS
from multiqa_integrations.types import Encoder


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document.

    Attributes:
        text: What is encoded and stored: the title, a line break, and the part.
        start: The part's first character in the document's text.
        end: The character after its last one.
    """

    text: str
    start: int
    end: int


def cut(
    documents: Sequence[SourceDocument], encoder: Encoder, *, max_tokens: int, overlap: int
) -> list[list[Passage] | str]:
    """Cut documents into passages of at most `max_tokens` word pieces, their titles included.

    Returns:
        The passages of each document; or why it has none.
    """
    titles = list({one.title: None for one in documents if one.title})
    # A line break parts words, so that title and passage have the word pieces of both.
    counts = encoder.count_tokens(titles) - SPECIAL_TOKENS
    pieces = dict(zip(titles, counts.tolist(), strict=True))
    # Titles that are about as long are cut together: each call of the chunker has its price.
    step = max(1, max_tokens // 16)
    found: list[list[Passage] | str] = [[] for _ in documents]
    groups: dict[int, list[int]] = defaultdict(list)
    for index, document in enumerate(documents):
        taken = -(-pieces.get(document.title, 0) // step) * step
        room = max_tokens - taken
        if 2 * taken > max_tokens or room < 8 or 2 * overlap >= room:
            found[index] = (
                f"its title has {pieces[document.title]} word pieces, which leaves too little of "
                f"the {max_tokens} of a passage"
            )
        else:
            groups[room].append(index)
    for room, indices in groups.items():
        texts = [documents[index].text for index in indices]
        chunks = chunk_many(texts, encoder, chunk_size=room, chunk_overlap=overlap)
        for index, parts in zip(indices, chunks, strict=True):
            title = documents[index].title
            passages = []
            for part in parts:
                words = part.text.strip()
                if words:
                    start = part.start + len(part.text) - len(part.text.lstrip())
                    text = f"{title}\n{words}" if title else words
                    passages.append(Passage(text, start, start + len(words)))
            found[index] = passages
    return found
