"""Where a text may be cut: its words, and how good the place before each of them is."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
from numpy.typing import NDArray

_SPACE = "\t\n\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # what BERT keeps as " "
_CJK = "\u3001-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff0f\uff1a-\uff20\uff5b-\uff65"
_PUNCTUATION = r"!-/:-@\[-`{-~\u2010-\u2027"
# A word is what stands between white space, but CJK ideographs and punctuation are words of
# their own, and a very long word (a URL, a line of JSON) is cut at its punctuation.
WORDS = re.compile(
    f"[^{_SPACE}{_CJK}]{{1,64}}(?![^{_SPACE}{_CJK}])|[{_CJK}]"
    f"|[^{_SPACE}{_CJK}{_PUNCTUATION}]+|[{_PUNCTUATION}]"
)

# The ranks of a boundary, the best last. Before a JOINED word stands no white space.
JOINED, WORD, CLAUSE, LINE, SENTENCE, PARAGRAPH = range(6)

_CLOSERS = "\"'”’»)\\]*_`"
_ABBREVIATIONS = (
    r"[A-Z] e\.g i\.e cf vs etc al ca approx resp vol pp Vol Fig fig Eq Sec Ref Tab "
    "Mr Mrs Ms Dr Prof St Gen Gov Sen Rep Lt Col Capt Jr Sr Inc Ltd Corp"
)
_NO_SENTENCE_END = "".join(rf"(?<!\b{word}\.)" for word in _ABBREVIATIONS.split())
_BOUNDARIES = (  # each match ends where a word starts
    (CLAUSE, re.compile(f"[,;:–—][{_SPACE}]+|[，、；：][{_SPACE}]*")),
    (LINE, re.compile(f"[\n\r\u2028][{_SPACE}]*")),
    (
        SENTENCE,
        # One mark and no `+`: a row of a million dots must not be read again from each of them.
        re.compile(
            rf"[.!?…؟۔।॥]{_NO_SENTENCE_END}(?<!^[0-9]\.)(?<!^[0-9][0-9]\.)[{_CLOSERS}]*"
            rf"[{_SPACE}]+(?![{_SPACE}a-zß-öø-ÿα-ώа-џ])|[。！？．｡][」』）】》]*[{_SPACE}]*",
            re.MULTILINE,
        ),
    ),
    (PARAGRAPH, re.compile(f"([\n\r])[{_SPACE}]*\\1[{_SPACE}]*|\u2029[{_SPACE}]*")),
)


def rank_boundaries(
    text: str, at: NDArray[np.int64], spaced: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """Rank the boundary before each word, and after the last; `at` is where they stand."""
    rank = np.where(spaced, WORD, JOINED).astype(np.int8)
    for level, pattern in _BOUNDARIES:
        ends = np.array([match.end() for match in pattern.finditer(text)], np.int64)
        words = at.searchsorted(ends)
        rank[words[at[words] == ends]] = level
    return rank


def middle(word: str) -> int:
    """Find the middle of a word, such that no accent is parted from its letter."""
    half = len(word) // 2
    for position in range(half, len(word)):
        if unicodedata.category(word[position]) not in ("Mn", "Mc", "Me", "Cf"):
            return position
    return half
