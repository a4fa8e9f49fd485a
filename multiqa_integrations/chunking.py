"""Split long texts into chunks of a length that the model handles well, at sentence boundaries.

The model was trained on texts of up to 250 word pieces and reads 512 at most. A longer text is
split into chunks of at most 250, each encoded on its own.

How it works: BERT reads word by word, so a text has the word pieces of its words, and a cut
after white space changes none. Each different word is therefore counted once, and the counts
are added up. Regular expressions rank the places between words: paragraph, sentence, line,
clause, word. A chunk ends at the best place among those that fill it to at least a half, and of
equally good ones at the furthest. Where white space does not separate the words, as in Chinese,
the sum is an estimate, and the chunk is counted again as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.boundaries import (
    JOINED,
    SENTENCE,
    WORD,
    WORDS,
    middle,
    rank_boundaries,
)
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.texts import check_text, check_texts
from multiqa_integrations.tokenizer import SPECIAL_TOKENS
from multiqa_integrations.types import Encoder

MIN_CHUNK_SIZE = 8
"""Smallest `chunk_size`, in word pieces: any single character fits."""

_CALL_CHARACTERS = 262_144  # of long texts, split at once
_CALL_WORDS = 65_536  # looked up at once
_CACHED_WORDS = 200_000

_Ints: TypeAlias = NDArray[np.int64]
_Range: TypeAlias = tuple[int, int, int | None]  # start, end, word pieces where they are certain


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a longer text.

    Attributes:
        text: Its text; equal to `source[start:end]`.
        start: Its first character in the source, counted from 0.
        end: The character after its last one.
        tokens: Its word pieces when it is encoded alone, [CLS] and [SEP] included.
    """

    text: str
    start: int
    end: int
    tokens: int


class TokenCounter(Protocol):
    """What chunking needs of a tokenizer; `WordPieceTokenizer` has it."""

    def count(self, texts: Sequence[str]) -> _Ints:
        """Count word pieces, [CLS] and [SEP] included."""


def chunk(
    text: str, tokenizer: TokenCounter | Encoder, *, chunk_size: int = 250, chunk_overlap: int = 0
) -> list[Chunk]:
    """Split one text into chunks; see `chunk_many`, which is faster for many texts.

    Examples:
        >>> story = "It rained. We stayed at home. " * 3
        >>> for part in chunk(story, encoder, chunk_size=20):  # doctest: +SKIP
        ...     print(part.start, part.end, part.tokens, repr(part.text[-7:]))
        0 60 18 ' home. '
        60 90 10 ' home. '
    """
    texts = [check_text(text, 0)]
    return chunk_many(texts, tokenizer, chunk_size=chunk_size, chunk_overlap=chunk_overlap)[0]


def chunk_many(
    texts: Sequence[str],
    tokenizer: TokenCounter | Encoder,
    *,
    chunk_size: int = 250,
    chunk_overlap: int = 0,
) -> list[list[Chunk]]:
    """Split texts into chunks at paragraph, sentence, line, clause or word boundaries.

    Without overlap the chunks of a text, put together, are the text: nothing is stripped, and
    white space belongs to the chunk before it. A text within the limit is one chunk, and costs
    no more than counting; `""` has no chunks. Lone surrogates are repaired first (see
    `texts.repair_surrogates`); `start` and `end` then refer to the repaired text.

    Args:
        texts: The texts.
        tokenizer: An encoder, or its `WordPieceTokenizer`.
        chunk_size: Most word pieces of a chunk, [CLS] and [SEP] included; at least 8.
        chunk_overlap: Most word pieces that a chunk repeats of the one before; under half of
            `chunk_size`. It then starts at the first sentence among them, else at a word.

    Returns:
        The chunks of each text, in the order of the texts and within them.

    Raises:
        ConfigurationError: A limit is out of range, or `tokenizer` is not a tokenizer.
        TextTypeError: An item of `texts` is not a `str`.

    Examples:
        >>> pages = ["A short text.", ""]
        >>> [len(chunks) for chunks in chunk_many(pages, encoder)]  # doctest: +SKIP
        [1, 0]
    """
    splitter = _Splitter(_counter_of(tokenizer), *_checked_limits(chunk_size, chunk_overlap))
    texts = check_texts(texts)
    chunks: list[list[Chunk]] = [[] for _ in texts]
    # English has four to five characters per word piece: longer texts rarely fit the limit.
    maybe_short = [i for i, text in enumerate(texts) if 0 < len(text) <= 4 * chunk_size]
    counts = splitter.count([texts[i] for i in maybe_short])
    for index, count in zip(maybe_short, counts, strict=True):
        if count <= chunk_size:
            chunks[index] = [Chunk(texts[index], 0, len(texts[index]), count)]
    group: list[int] = []
    characters = 0
    for index, text in enumerate(texts):
        if text and not chunks[index]:
            group.append(index)
            characters += len(text)
        if group and (characters >= _CALL_CHARACTERS or index == len(texts) - 1):
            for owner, found in zip(group, splitter.split([texts[i] for i in group]), strict=True):
                chunks[owner] = found
            group, characters = [], 0
    return chunks


def _counter_of(tokenizer: object) -> Callable[[Sequence[str]], _Ints]:
    for name in ("count_tokens", "count"):  # a list has `count` too, but counts otherwise
        count = getattr(tokenizer, name, None)
        if callable(count) and not isinstance(tokenizer, Sequence | type):
            return count  # type: ignore[no-any-return]
    raise ConfigurationError(
        f"tokenizer is {type(tokenizer).__name__}, expected an encoder or a WordPieceTokenizer. "
        "Pass MultiQAEncoder(), or the encoder that the chunks are meant for."
    )


def _checked_limits(chunk_size: object, chunk_overlap: object) -> tuple[int, int]:
    limits = []
    for name, value in (("chunk_size", chunk_size), ("chunk_overlap", chunk_overlap)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise ConfigurationError(f"{name} is {value!r}, expected an int: word pieces.")
        limits.append(int(value))
    limit, repeated = limits
    if limit < MIN_CHUNK_SIZE:
        raise ConfigurationError(
            f"chunk_size is {limit}, expected at least {MIN_CHUNK_SIZE} word pieces, [CLS] and "
            "[SEP] included. The model was trained on 250."
        )
    if not 0 <= 2 * repeated < limit:
        raise ConfigurationError(
            f"chunk_overlap is {repeated}, expected 0 or more and under half of chunk_size "
            f"({limit})."
        )
    return limit, repeated


@dataclass(frozen=True, slots=True)
class _Splitter:
    """Splits texts that are over the limit."""

    counter: Callable[[Sequence[str]], _Ints]
    chunk_size: int
    chunk_overlap: int
    pieces_of: dict[str, int] = field(default_factory=dict)

    @property
    def room(self) -> int:
        return self.chunk_size - SPECIAL_TOKENS

    def count(self, texts: list[str]) -> list[int]:
        return [int(count) for count in self.counter(texts)] if texts else []

    def split(self, texts: list[str]) -> list[list[Chunk]]:
        """Split each text into its chunks."""
        done: list[tuple[int, Chunk]] = []
        todo = [(index, 0, text) for index, text in enumerate(texts)]
        while todo:
            plans = zip(todo, self._plan([text for _, _, text in todo]), strict=True)
            parts = [
                (index, offset + start, text[start:end], tokens)
                for (index, offset, text), plan in plans
                for start, end, tokens in plan
            ]
            counts = iter(self.count([part for _, _, part, tokens in parts if tokens is None]))
            todo = []
            for index, start, part, tokens in parts:
                exact = next(counts) if tokens is None else tokens
                if exact <= self.chunk_size or len(part) == 1:
                    done.append((index, Chunk(part, start, start + len(part), exact)))
                else:  # a word of more pieces than fit is halved until its parts do
                    half = middle(part)
                    todo.append((index, start, part[:half]))
                    todo.append((index, start + half, part[half:]))
        done.sort(key=lambda item: (item[0], item[1].start))
        chunks: list[list[Chunk]] = [[] for _ in texts]
        for index, found in done:
            chunks[index].append(found)
        return chunks

    def _plan(self, texts: list[str]) -> list[list[_Range]]:
        """Choose the chunks of each text."""
        # Read as one, many texts cost fewer calls; the line break keeps their words apart.
        joined = "\n".join(texts)
        starts, ends, pieces = self._words(joined)
        at = np.append(starts, len(joined))
        # White space stands before the word; true of the first one and of the end.
        spaced = np.ones(len(at), np.bool_)
        spaced[1:-1] = starts[1:] > ends[:-1]
        rank = rank_boundaries(joined, at, spaced)
        before = np.append(0, np.cumsum(pieces))  # word pieces before each word
        joints = np.append(0, np.cumsum(~spaced))
        plans = []
        first = text_start = 0
        for text in texts:
            text_end = text_start + len(text)
            last = int(at.searchsorted(text_end))
            plan: list[_Range] = []
            for begin, end in self._pack(first, last, before, rank):
                start = 0 if begin == first else int(at[begin]) - text_start
                stop = len(text) if end == last else int(at[end]) - text_start
                sure = joints[end + 1] == joints[begin]
                tokens = int(before[end] - before[begin]) + SPECIAL_TOKENS if sure else None
                plan.append((start, stop, tokens))
            plans.append(plan)
            first, text_start = last, text_end + 1
        return plans

    def _words(self, text: str) -> tuple[_Ints, _Ints, _Ints]:
        """Find the words: first character, end, word pieces; all of shape `(words,)`."""
        found: list[tuple[_Ints, ...]] = [(np.empty(0, np.int64),) * 3]
        matches = WORDS.finditer(text)
        while window := list(islice(matches, _CALL_WORDS)):
            words = [match[0] for match in window]
            unknown = [word for word in set(words) if word not in self.pieces_of]
            for word, tokens in zip(unknown, self.count(unknown), strict=True):
                self.pieces_of[word] = tokens - SPECIAL_TOKENS
            starts = np.array([match.start() for match in window], np.int64)
            lengths = np.array([*map(len, words)], np.int64)
            pieces = np.array([*map(self.pieces_of.__getitem__, words)], np.int64)
            found.append((starts, starts + lengths, pieces))
            if len(self.pieces_of) > _CACHED_WORDS:
                self.pieces_of.clear()
        starts, ends, pieces = map(np.concatenate, zip(*found, strict=True))
        return starts, ends, pieces

    def _pack(
        self, first: int, last: int, before: _Ints, rank: NDArray[np.int8]
    ) -> Iterator[tuple[int, int]]:
        """Pack the words from `first` to before `last`; yields first word and end of each chunk."""
        total = before[last]
        begin = fresh = first  # first word of the chunk; first of it that no chunk has yet
        while total > (full := before[begin] + self.room) and fresh + 1 < last:
            # The last chunk should not be a scrap: leave it a quarter.
            furthest = min(full, total - self.room // 4)
            end = max(int(before.searchsorted(furthest, "right")) - 1, fresh + 1)
            half = int(before.searchsorted((before[fresh] + full + 1) // 2))
            window = rank[min(max(half, fresh + 1), end) : end + 1]
            end -= int(np.argmax(window[::-1]))  # the furthest of the best
            yield begin, end
            begin, fresh = self._next_begin(begin, end, before, rank), end
        yield begin, last

    def _next_begin(self, begin: int, end: int, before: _Ints, rank: NDArray[np.int8]) -> int:
        """Find the first word of the next chunk: `end`, or earlier if chunks overlap."""
        if not self.chunk_overlap:  # else words without a piece, such as U+200B, would be repeated
            return end
        # Go back by the overlap at most, and leave room for the word at `end`.
        earliest = max(before[end] - self.chunk_overlap, before[end + 1] - self.room)
        back = max(int(before.searchsorted(earliest)), begin + 1)
        for least in (SENTENCE, WORD, JOINED):
            found = np.flatnonzero(rank[back:end] >= least)
            if found.size:
                return back + int(found[0])
        return end
