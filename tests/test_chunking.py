from __future__ import annotations

import doctest
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from multiqa_integrations import chunking
from multiqa_integrations.chunking import Chunk, chunk, chunk_many
from multiqa_integrations.errors import ConfigurationError, TextTypeError
from multiqa_integrations.texts import repair_surrogates
from multiqa_integrations.tokenizer import WordPieceTokenizer

relaxed = settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# Everything that has broken, or could break, "a cut after white space changes no word piece".
AWKWARD = st.sampled_from(
    [
        *(
            "the",
            "unaffable",
            "New",
            "York",
            "U.S.",
            "e.g.",
            "Mr.",
            "don't",
            "3.14",
            "a/b",
            "##ing",
        ),
        *(
            "[SEP]",
            "[CLS]",
            "[MASK]",
            "[UNK]",
            "[",
            "SEP]",
            ".",
            "!",
            "?",
            ",",
            '."',
            "…",
            "--",
            "(",
        ),
        *(" ", "  ", "\n", "\n\n", "\r\n", "\r", "\t", "\xa0", "\u2028", "\u2029", "\u3000"),
        *("\x00", "\x0b", "\x0c", "\x1f", "\x85", "\xad", "\ufffd", "\ufeff", "\u200b", "\u200d"),
        *("\u0301", "\u0338", "\u0903", "\u302e", "e\u0301", "é", "İ", "ß", "ﬁ", "≠", "\u037e"),
        *(
            "中",
            "文",
            "。",
            "，",
            "「",
            "」",
            "が",
            "カタカナ",
            "한국어",
            "각",
            "ไทย",
            "हिन्दी",
            "مرحبا",
            "؟",
        ),
        *("😀", "👩\u200d🚀", "🇩🇪", "\U0001d15e", "豈", "\U00030000", "x" * 99, "x" * 101),
        "internationalisation",
        "https://example.org/a/very/long/path?with=many&query=parameters#and-a-fragment.html",
    ]
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    st.lists(AWKWARD, max_size=80).map("".join),
    st.lists(AWKWARD, max_size=80).map(" ".join),
    st.lists(st.text("abcdefgh.!? \n", max_size=20), max_size=30).map("\n".join),
)


@pytest.fixture(scope="session")
def tokenizer(test_model: Path) -> WordPieceTokenizer:
    return WordPieceTokenizer(test_model / "tokenizer.json")


def check(
    text: str,
    chunks: list[Chunk],
    tokenizer: WordPieceTokenizer,
    chunk_size: int,
    chunk_overlap: int = 0,
) -> None:
    """Hold the chunks of one text against everything that is promised."""
    counts = tokenizer.count([found.text for found in chunks]).tolist()
    assert [found.tokens for found in chunks] == counts
    assert max(counts, default=0) <= chunk_size
    assert all(found.text == text[found.start : found.end] for found in chunks)
    covered = 0
    last_start = -1
    for found in chunks:
        assert last_start < found.start <= covered < found.end
        if not chunk_overlap:
            assert found.start == covered
        covered, last_start = found.end, found.start
    assert covered == len(text)
    for before, after in pairwise(chunks):
        repeated = text[after.start : before.end]
        assert not repeated or tokenizer.count([repeated])[0] - 2 <= chunk_overlap


class CountingTokenizer:
    """Remembers what it was asked to count."""

    def __init__(self, tokenizer: WordPieceTokenizer) -> None:
        self.tokenizer = tokenizer
        self.asked: list[list[str]] = []

    def count(self, texts: Sequence[str]) -> NDArray[np.int64]:
        self.asked.append(list(texts))
        return self.tokenizer.count(texts)


@relaxed
@given(text=TEXTS, chunk_size=st.sampled_from([8, 9, 12, 20, 60]))
def test_chunks_are_exact_and_lose_nothing(
    tokenizer: WordPieceTokenizer, text: str, chunk_size: int
) -> None:
    check(text, chunk(text, tokenizer, chunk_size=chunk_size), tokenizer, chunk_size)


@relaxed
@given(text=TEXTS, limits=st.sampled_from([(8, 3), (9, 4), (20, 1), (20, 9), (60, 20)]))
def test_overlapping_chunks_cover_the_text_and_progress(
    tokenizer: WordPieceTokenizer, text: str, limits: tuple[int, int]
) -> None:
    chunk_size, chunk_overlap = limits
    found = chunk(text, tokenizer, chunk_size=chunk_size, chunk_overlap=chunk_overlap)
    check(text, found, tokenizer, chunk_size, chunk_overlap)


@relaxed
@given(texts=st.lists(TEXTS, max_size=6))
def test_many_texts_are_cut_as_each_alone(tokenizer: WordPieceTokenizer, texts: list[str]) -> None:
    together = chunk_many(texts, tokenizer, chunk_size=16)
    assert together == [chunk(text, tokenizer, chunk_size=16) for text in texts]


def test_groups_of_long_texts_keep_their_order(
    tokenizer: WordPieceTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["", *(f"Text number {n} is here. " * (n % 7) for n in range(40)), "short", ""]
    expected = chunk_many(texts, tokenizer, chunk_size=16)
    for name in ("_CALL_CHARACTERS", "_CALL_WORDS", "_CACHED_WORDS"):
        monkeypatch.setattr(chunking, name, 10)
    assert chunk_many(texts, tokenizer, chunk_size=16) == expected
    assert ["".join(found.text for found in chunks) for chunks in expected] == texts


def test_empty_text_has_no_chunk_and_blank_text_one(tokenizer: WordPieceTokenizer) -> None:
    assert chunk("", tokenizer) == []
    assert chunk_many([], tokenizer) == []
    for blank in (" ", "\n\n \t", "\u200b", " " * 5000):
        assert chunk(blank, tokenizer) == [Chunk(blank, 0, len(blank), 2)]


def test_short_texts_are_only_counted(tokenizer: WordPieceTokenizer) -> None:
    counter = CountingTokenizer(tokenizer)
    texts = ["One sentence.", "Two of them. Here it is.", ""]
    chunks = chunk_many(texts, counter)
    assert [found.text for (found,) in chunks[:2]] == texts[:2]
    assert counter.asked == [texts[:2]]


def test_a_text_of_exactly_the_limit_is_one_chunk(tokenizer: WordPieceTokenizer) -> None:
    text = " ".join(["word"] * 248)
    assert [found.tokens for found in chunk(text, tokenizer)] == [250]
    first, second = chunk(f"{text} word", tokenizer)
    assert first.tokens + second.tokens == 253
    assert second.tokens > 60  # no scrap at the end


@pytest.mark.parametrize(
    ("text", "chunk_size", "expected"),
    [
        # A paragraph before a sentence, although the sentence would fill the chunk further.
        ("One two three four.\n\nFive six. Seven eight nine", 12, ["One two three four.\n\n"]),
        ("One two three four. Five six\nseven eight nine ten", 12, ["One two three four. "]),
        ("one two three four five\nsix seven, eight nine ten", 11, ["one two three four five\n"]),
        ("one two three four, five six seven eight nine ten", 11, ["one two three four, "]),
        # No sentence ends at an abbreviation, an initial, a number, or before a small letter.
        ("They met Mr. Smith and so on and on and on", 10, ["They met Mr. Smith and so on "]),
        (
            "The writer was A. Smith and so on and on and on",
            10,
            ["The writer was A. Smith and so "],
        ),
        ("Bread costs 3.50 here and so on and on and on", 11, ["Bread costs 3.50 here and so on "]),
        ("He asked why? and so on and on, and on and on", 12, ["He asked why? and so on and on, "]),
        # A closing quotation mark belongs to its sentence.
        ('He said "no way." Then he went home on foot again', 12, ['He said "no way." ']),
        ("我们今天去公园。明天我们会去很远的海边看看", 14, ["我们今天去公园。"]),
        ("one two three four\rfive six seven eight nine ten", 10, ["one two three four\r"]),
        ("One two three four.\r\n\r\nFive. Six. Seven eight", 12, ["One two three four.\r\n\r\n"]),
    ],
)
def test_the_best_boundary_wins(
    tokenizer: WordPieceTokenizer, text: str, chunk_size: int, expected: list[str]
) -> None:
    found = chunk(text, tokenizer, chunk_size=chunk_size)
    check(text, found, tokenizer, chunk_size)
    assert [one.text for one in found][: len(expected)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "foo\x1fbar " * 30,  # a control character that is removed joins two words
        "foo\u200dbar\u200b baz " * 30,
        "a\u0301\u0338 ,\u0301b " * 30,
        "[SEP]one[MASK] [SEP] two " * 20,
        "x" * 5000,  # one unknown word
        "x" * 99 + "[SEP]" + "x" * 99,
        "각" * 33 + "한국어" * 20,
        "ก" * 200 + " " + "e\u0301" * 80,
        "{" + ",".join(f'"key{n}":"value-{n}"' for n in range(50)) + "}",
        "中文" * 100 + "kana か" * 20,
        "-" * 700 + "." * 700,
        "👩\u200d🚀" * 60,
        "\u0301" * 300 + "word " * 30,
        "0:002102 \x08 0 " * 9,  # a word without a word piece
    ],
)
@pytest.mark.parametrize("chunk_size", [8, 13, 40])
def test_hard_texts_are_exact(tokenizer: WordPieceTokenizer, text: str, chunk_size: int) -> None:
    check(text, chunk(text, tokenizer, chunk_size=chunk_size), tokenizer, chunk_size)


def test_a_word_over_the_limit_keeps_its_accents(tokenizer: WordPieceTokenizer) -> None:
    found = chunk("qe\u0301" * 30, tokenizer, chunk_size=8)
    assert len(found) > 1
    assert not any(one.text.startswith("\u0301") for one in found)


def test_overlap_starts_at_a_sentence_or_else_at_a_word(tokenizer: WordPieceTokenizer) -> None:
    sentences = "It is cold. We stay in. She reads a book. He sleeps long. They eat. "
    found = chunk(sentences * 2, tokenizer, chunk_size=20, chunk_overlap=9)
    check(sentences * 2, found, tokenizer, 20, 9)
    assert all(one.text[0].isupper() for one in found)
    assert all(b.start < a.end for a, b in pairwise(found))
    words = "alpha beta gamma delta " * 20
    found = chunk(words, tokenizer, chunk_size=20, chunk_overlap=5)
    check(words, found, tokenizer, 20, 5)
    assert all(words[one.start - 1] == " " for one in found[1:])
    assert all(b.start < a.end for a, b in pairwise(found))


def test_lone_surrogates_are_repaired_and_offsets_follow(tokenizer: WordPieceTokenizer) -> None:
    text = "One \ud83d two. \ud83d\ude00 three. " * 10
    found = chunk(text, tokenizer, chunk_size=16)
    check(repair_surrogates(text), found, tokenizer, 16)


def test_an_encoder_counts_as_a_tokenizer(tokenizer: WordPieceTokenizer) -> None:
    class Encoder:
        def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
            return tokenizer.count(texts)

    text = "We stayed at home. It rained. " * 30
    encoder: Any = Encoder()
    assert chunk(text, encoder, chunk_size=40) == chunk(text, tokenizer, chunk_size=40)


@pytest.mark.parametrize("wrong", [None, "tokenizer.json", ["a"], 3, object(), WordPieceTokenizer])
def test_what_counts_no_tokens_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected an encoder"):
        chunk("text", wrong)


@pytest.mark.parametrize(
    "limits",
    [
        *({"chunk_size": wrong} for wrong in (7, 0, -1, 250.0, float("nan"), "250", None, True)),
        *({"chunk_overlap": wrong} for wrong in (-1, 125, 1.5, float("nan"), "3", None, False)),
        {"chunk_size": 8, "chunk_overlap": 4},
    ],
)
def test_bad_limits_are_refused(tokenizer: WordPieceTokenizer, limits: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        chunk_many([], tokenizer, **limits)


def test_limits_may_be_numpy_integers(tokenizer: WordPieceTokenizer) -> None:
    limits: Any = {"chunk_size": np.int64(8), "chunk_overlap": np.int32(3)}
    assert chunk("one two three", tokenizer, **limits)[0].tokens == 5


def test_what_is_no_text_is_refused(tokenizer: WordPieceTokenizer) -> None:
    wrong: Any
    for wrong in (None, b"bytes", 3, ["a"]):
        with pytest.raises(TextTypeError):
            chunk(wrong, tokenizer)
        with pytest.raises(TextTypeError) as caught:
            chunk_many(["fine", wrong], tokenizer)
        assert caught.value.index == 1
    with pytest.raises(TextTypeError):
        chunk_many("a bare string", tokenizer)


@pytest.mark.parametrize("function", [chunk, chunk_many])
def test_the_examples_run(function: Any, tokenizer: WordPieceTokenizer) -> None:
    example = function.__doc__.replace("  # doctest: +SKIP", "")
    names = {function.__name__: function, "encoder": tokenizer}
    parsed = doctest.DocTestParser().get_doctest(example, names, function.__name__, None, 0)
    result = doctest.DocTestRunner().run(parsed)
    assert result.attempted
    assert not result.failed
