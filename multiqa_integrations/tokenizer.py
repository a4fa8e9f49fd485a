"""Word pieces: ids and counts, by the model's own tokenizer file.

Three traps are closed here:

- The tokenizer file carries truncation and fixed padding of its own (250 in the model's, 128
  in all-MiniLM-L6-v2's). Both are removed on loading: truncation is this module's work.
- `Tokenizer.encode` holds the interpreter lock for its whole run, and so blocks every thread;
  `encode_batch` does not. Only the latter is used.
- A huge text makes the tokenizer slow and heavy (gigabytes for 10 MB). It is tokenised in
  parts, split where its word pieces cannot change: the ids are the same, the memory stays flat.
"""

from __future__ import annotations

import json
import os
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from multiqa_integrations.batching import padded_length
from multiqa_integrations.errors import (
    ConfigurationError,
    ModelContractError,
    ModelIntegrityError,
    ModelNotFoundError,
)
from multiqa_integrations.native import native_call
from multiqa_integrations.reading import read_json
from multiqa_integrations.texts import short

SPECIAL_TOKENS = 2
"""[CLS] and [SEP], which stand around every text."""

_LARGEST_FILE = 16_000_000  # bytes; the model's has 466,000

# What a tokenizer must be made of, by the keys of its file: the types that are BERT's.
_PIPELINE: dict[str, tuple[Any, ...]] = {
    "model": ("WordPiece",),
    "normalizer": ("BertNormalizer",),
    "pre_tokenizer": ("BertPreTokenizer",),
    "decoder": ("WordPiece", None),
}
_WORD_PIECE: dict[str, tuple[Any, ...]] = {
    "unk_token": ("[UNK]",),
    "continuing_subword_prefix": ("##",),
    "max_input_chars_per_word": (100,),  # the time of a word grows with the square of its length
}

_PIECE_CHARACTERS = 16_384  # a text longer than this is tokenised in pieces of about this size
_CALL_CHARACTERS = 262_144  # handed to the tokenizer at once: enough to keep every core busy

_is_forked = False

# Where a text can be cut without changing its word pieces: after white space that the
# normaliser keeps, after punctuation (always a word of its own; not brackets, which may belong
# to a special token such as [SEP]), and after a CJK ideograph (likewise a word of its own).
_SAFE_CUT = re.compile("[ \t\n\r,.;:!?\u2010-\u2027\u3000-\u3002\uff0c\uff1f\u4e00-\u9fff]")
# Runs whose end changes nothing: over 100 letters or symbols without a break are one unknown
# word, however many they are, and control characters are removed.
_ENDLESS_RUN = re.compile(
    "[0-9A-Za-z\u00c0-\u024f\u0400-\u0481\u048a-\u052f\u2600-\u2767\uac00-\ud7a3"
    "\U0001f000-\U0001faff]{1000,}|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]{1000,}"
)


@dataclass(frozen=True, slots=True)
class TokenizedTexts:
    """Word-piece ids of some texts, cut to a limit.

    Attributes:
        ids: The ids of all texts one after another, [CLS] and [SEP] included, int32.
        starts: Text i has the ids `ids[starts[i]:starts[i + 1]]`; shape `(n + 1,)`.
        full_lengths: Word pieces of each text before it was cut; shape `(n,)`.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    full_lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.full_lengths)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Word pieces of each text after it was cut; shape `(n,)`."""
        return np.diff(self.starts)

    def pad(
        self, rows: NDArray[np.intp], limit: int = 512
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Lay some texts out as a rectangle.

        Args:
            rows: Which texts, shape `(b,)`.
            limit: Most word pieces that the model computes.

        Returns:
            Ids and attention mask, int64, both `(b, padded length of the longest)`; padding is
            0 in both.
        """
        lengths = self.starts[rows + 1] - self.starts[rows]
        mask = np.arange(padded_length(int(lengths.max()), limit)) < lengths[:, None]
        ids = np.zeros(mask.shape, np.int64)
        ids[mask] = np.concatenate(
            [self.ids[self.starts[row] : self.starts[row + 1]] for row in rows.tolist()]
        )
        return ids, mask.astype(np.int64)


class WordPieceTokenizer:
    """The model's tokenizer, read-only and so safe to share among threads.

    Special tokens in a text ("[SEP]" typed by a user) are parsed as such, exactly as
    transformers does.

    Examples:
        >>> tokenizer = WordPieceTokenizer(directory / "tokenizer.json")  # doctest: +SKIP
        >>> tokenizer.count(["How many people live in London?"])  # doctest: +SKIP
        array([9])
    """

    def __init__(self, file: Path, *, vocabulary: int | None = None) -> None:
        """Load a tokenizer file and reset its truncation and padding.

        Args:
            file: A `tokenizer.json`.
            vocabulary: Number of word pieces that the model has; checked if given.

        Raises:
            ModelNotFoundError: The file is missing.
            ModelIntegrityError: The file cannot be read as a tokenizer.
            ModelContractError: The vocabulary is not the model's, the tokenizer does not work as
                BERT's does, or it puts something else than [CLS] … [SEP] around a text.
        """
        self._tokenizer = _load(file)
        size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        if vocabulary is not None and size != vocabulary:
            raise ModelContractError(
                f"{file} has {size:,} word pieces, the model has {vocabulary:,}. The two files "
                "are not of one checkpoint; fetch it again."
            )
        empty: list[int] = self._tokenizer.encode("").ids
        if len(empty) != SPECIAL_TOKENS or max(empty) >= size:
            raise ModelContractError(
                f"{file} encodes an empty text as {short(empty)}; needed is [CLS] [SEP], as "
                "BERT tokenizers do."
            )
        self._cls, self._sep = empty

    def encode(self, texts: Sequence[str], *, max_length: int) -> TokenizedTexts:
        """Tokenise texts and cut them to `max_length` word pieces.

        Args:
            texts: Valid Unicode (see `texts.check_texts`).
            max_length: The limit, [CLS] and [SEP] included. The cut keeps the first
                `max_length - 1` word pieces and closes them with [SEP], as transformers does.
        """
        if max_length <= SPECIAL_TOKENS:
            raise ConfigurationError(
                f"max_length is {max_length}, expected more than {SPECIAL_TOKENS}: [CLS] and "
                "[SEP] stand around every text."
            )
        full_lengths = np.full(len(texts), SPECIAL_TOKENS, np.int64)
        starts = np.zeros(len(texts) + 1, np.int64)
        ids = array("i")  # 4 bytes an id; a list takes 8, and 28 for most numbers
        index = -1
        room = 0
        for owner, encoding in self._pieces(texts):
            if owner != index:  # the pieces of a huge text come one after another
                if index >= 0:
                    ids.append(self._sep)
                    starts[owner] = len(ids)
                index = owner
                ids.append(self._cls)
                room = max_length - SPECIAL_TOKENS
            size = len(encoding)
            full_lengths[index] += size
            if room > 0:  # most pieces of a huge text only count
                ids.extend(encoding.ids[:room] if size > room else encoding.ids)
                room -= size
        if index >= 0:
            ids.append(self._sep)
            starts[-1] = len(ids)
        return TokenizedTexts(np.frombuffer(ids, np.int32), starts, full_lengths)

    def count(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Count word pieces, [CLS] and [SEP] included, before any cut; shape `(n,)`."""
        counts = np.full(len(texts), SPECIAL_TOKENS, np.int64)
        for index, encoding in self._pieces(texts):
            counts[index] += len(encoding)
        return counts

    def _pieces(self, texts: Sequence[str]) -> Iterator[tuple[int, Encoding]]:
        """Tokenise all texts, huge ones in several pieces; yields the text's index with each."""
        owners: list[int] = []

        def cut_all() -> Iterator[str]:
            for index, text in enumerate(texts):
                if len(text) <= _PIECE_CHARACTERS:
                    owners.append(index)
                    yield text
                    continue
                for piece in _cut(text):  # never the whole at once: `re` holds the lock
                    owners.append(index)
                    yield _ENDLESS_RUN.sub(lambda run: run[0][:101], piece)

        done = 0
        for encodings in _one_ahead(self._encode, _groups(cut_all())):
            yield from zip(owners[done : done + len(encodings)], encodings, strict=True)
            done += len(encodings)

    def _encode(self, texts: list[str]) -> list[Encoding]:
        with native_call:
            if _is_forked and "TOKENIZERS_PARALLELISM" in os.environ:
                # In a forked child the library's threads are gone. Unless told otherwise by that
                # variable, it does without them there; several texts would wait for them.
                return [self._tokenizer.encode(text, add_special_tokens=False) for text in texts]
            # The fast variant leaves out character offsets, which nothing here needs.
            encodings: list[Encoding] = self._tokenizer.encode_batch_fast(
                texts, add_special_tokens=False
            )
            return encodings


def _note_fork() -> None:
    global _is_forked
    _is_forked = True


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_note_fork)


def _load(file: Path) -> Tokenizer:
    try:
        content = read_json(file, limit=_LARGEST_FILE)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotFoundError(
            f"{file} is missing. Fetch the checkpoint again, for example with "
            "`multiqa download --to DIR`."
        ) from error
    try:
        _check_pipeline(file, content)
        # What was checked is what is loaded, but for the traps.
        return Tokenizer.from_str(json.dumps({**content, "truncation": None, "padding": None}))
    except ModelContractError:
        raise
    except Exception as error:  # the library raises nothing narrower
        raise ModelIntegrityError(
            f"{file} cannot be read as a tokenizer ({error}). Fetch the checkpoint again."
        ) from error


def _check_pipeline(file: Path, content: Any) -> None:
    """Refuse any pipeline but BERT's.

    Others may hold regular expressions that take hours for one text, and this package counts
    on BERT's: on white space and punctuation ending a word, and on its longest word.
    """
    found = {
        "model": content["model"].get("type"),
        **{part: (content.get(part) or {}).get("type") for part in _PIPELINE if part != "model"},
        **{setting: content["model"].get(setting) for setting in _WORD_PIECE},
    }
    needed = {**_PIPELINE, **_WORD_PIECE}
    for part, value in found.items():
        if value not in needed[part]:
            raise ModelContractError(
                f"{part} in {file} is {str(value)[:100]!r}, needed is {needed[part][0]!r}: this "
                "package encodes with BERT's own word pieces."
            )
    vocabulary = content["model"]["vocab"]
    ids = [*vocabulary.values(), *(token["id"] for token in content.get("added_tokens") or ())]
    size = len({*vocabulary, *(token["content"] for token in content.get("added_tokens") or ())})
    if not all(type(number) is int and 0 <= number < size for number in ids):
        raise ModelContractError(
            f"{file} has ids beyond its {size:,} word pieces: the model has no vector for them. "
            "Fetch the checkpoint again."
        )
    if "[UNK]" not in vocabulary:
        raise ModelContractError(f"{file} has no word piece [UNK] for unknown words.")


def _cut(text: str) -> Iterator[str]:
    """Cut a text into pieces whose word pieces, one after another, are those of the whole."""
    begin = 0
    while len(text) - begin > _PIECE_CHARACTERS:
        cut = _SAFE_CUT.search(text, begin + _PIECE_CHARACTERS)
        if cut is None:
            break
        yield text[begin : cut.end()]
        begin = cut.end()
    yield text[begin:]


def _one_ahead(
    encode: Callable[[list[str]], list[Encoding]], groups: Iterator[list[str]]
) -> Iterator[list[Encoding]]:
    """Tokenise group after group, the next one while the caller works on this one.

    The tokenizer uses every core; turning its output into arrays uses one.
    """
    group = next(groups, None)
    following = next(groups, None)
    if group is None:
        return
    if following is None:  # most calls
        yield encode(group)
        return
    with ThreadPoolExecutor(1) as pool:
        encodings = encode(group)
        while following is not None:
            try:
                ahead = pool.submit(encode, following)
            except RuntimeError:  # once the program is ending no thread can be started
                yield encodings
                encodings = encode(following)
            else:
                yield encodings
                encodings = ahead.result()
            following = next(groups, None)
        yield encodings


def _groups(texts: Iterator[str]) -> Iterator[list[str]]:
    """Gather texts into lists of a bounded number of characters."""
    group: list[str] = []
    characters = 0
    for text in texts:
        group.append(text)
        characters += len(text) + 16  # so that a million empty texts are bounded too
        if characters >= _CALL_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group
