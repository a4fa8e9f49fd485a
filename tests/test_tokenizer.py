from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from multiqa_integrations import tokenizer as module
from multiqa_integrations.errors import (
    ConfigurationError,
    ModelContractError,
    ModelIntegrityError,
    ModelNotFoundError,
)
from multiqa_integrations.tokenizer import WordPieceTokenizer

CLS, SEP = 101, 102
VOCABULARY = 30522

WITH_SPECIAL_TOKENS = [
    "[SEP]",
    "[CLS]",
    "[MASK] x",
    "a[SEP]b",
    "[CLS] a [SEP] b [SEP]",
    "[PAD][PAD] [UNK]",
    "[sep] [Sep] [SE P] [ SEP ] [[SEP]]",
    "x [MASK].",
]
ODD_UNICODE = [
    "",
    " \t\r\n\u3000",
    "\x00\x01\x7f\ufffd",
    "e\u0301 \u00e9 \u0130 \u00df \u1e9e",
    "日本語のテキスト。東京",
    "한국어 텍스트",
    "ภาษาไทย हिन्दी עברית العربية",
    "👩\u200d👩\u200d👧 🇩🇪 ☃\ufe0f",
    "Z\u0351\u036b\u0343a\u034dlgo",
    "\u202eright to left\u202c",
    "a" * 101 + " " + "b" * 100,
    "1,000.50€ @user #tag https://example.org/?q=a&b=c",
]


@pytest.fixture(scope="session")
def tokenizer(test_model: Path) -> WordPieceTokenizer:
    return WordPieceTokenizer(test_model / "tokenizer.json", vocabulary=VOCABULARY)


@pytest.fixture(scope="session")
def plain(test_model: Path) -> Tokenizer:
    """The library's own tokenizer over whole texts: what ours must agree with."""
    plain = Tokenizer.from_file(str(test_model / "tokenizer.json"))
    plain.no_truncation()
    plain.no_padding()
    return plain


def ids_of(tokenizer: WordPieceTokenizer, text: str, max_length: int = 10**9) -> list[int]:
    ids: list[int] = tokenizer.encode([text], max_length=max_length).ids.tolist()
    return ids


def write_tokenizer(source: Path, target: Path, **changes: Any) -> Path:
    content = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    target.write_text(json.dumps({**content, **changes}), encoding="utf-8")
    return target


# --- the trap: truncation and padding of the file itself ------------------------------------


@pytest.mark.parametrize("length", [250, 128])
def test_the_files_own_truncation_and_padding_are_reset(
    test_model: Path, tmp_path: Path, length: int
) -> None:
    file = write_tokenizer(
        test_model,
        tmp_path / "tokenizer.json",
        truncation={
            "direction": "Right",
            "max_length": length,
            "strategy": "LongestFirst",
            "stride": 0,
        },
        padding={
            "strategy": {"Fixed": length},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
    )
    # The file does what it is said to do, so that the rest shows something.
    as_it_is = Tokenizer.from_file(str(file))
    assert len(as_it_is.encode_batch(["word " * 400])[0]) == length
    assert len(as_it_is.encode_batch(["one two three four five"])[0]) == length

    tokenizer = WordPieceTokenizer(file, vocabulary=VOCABULARY)
    texts = ["word " * 398, "one two three four five"]
    tokenized = tokenizer.encode(texts, max_length=512)
    assert tokenized.lengths.tolist() == [400, 7]
    assert tokenized.full_lengths.tolist() == [400, 7]
    assert tokenizer.count(texts).tolist() == [400, 7]
    assert not (tokenized.ids == 0).any()


# --- ids, as transformers makes them --------------------------------------------------------


@pytest.mark.parametrize("max_length", [3, 8, 512])
def test_ids_are_those_of_transformers(
    test_model: Path, tokenizer: WordPieceTokenizer, max_length: int
) -> None:
    pytest.importorskip("transformers")
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(str(test_model))
    texts = [*WITH_SPECIAL_TOKENS, *ODD_UNICODE, "How many people live in London?", "word " * 600]
    tokenized = tokenizer.encode(texts, max_length=max_length)
    expected = theirs(texts, truncation=True, max_length=max_length, padding=False)["input_ids"]
    for i, ids in enumerate(expected):
        assert tokenized.ids[tokenized.starts[i] : tokenized.starts[i + 1]].tolist() == ids
    whole = theirs(texts, truncation=False, padding=False, verbose=False)["input_ids"]
    assert tokenized.full_lengths.tolist() == [len(ids) for ids in whole]
    assert tokenizer.count(texts).tolist() == [len(ids) for ids in whole]


def test_special_tokens_in_a_text_are_special(tokenizer: WordPieceTokenizer) -> None:
    assert ids_of(tokenizer, "[SEP]") == [CLS, SEP, SEP]
    assert ids_of(tokenizer, "[CLS]") == [CLS, CLS, SEP]
    assert ids_of(tokenizer, "[MASK] x") == [CLS, 103, 1060, SEP]


@given(st.lists(st.text(max_size=30), max_size=8), st.integers(3, 12))
def test_rows_are_the_texts(
    tokenizer: WordPieceTokenizer, texts: list[str], max_length: int
) -> None:
    tokenized = tokenizer.encode(texts, max_length=max_length)
    assert len(tokenized) == len(texts)
    assert tokenized.ids.dtype == np.int32
    assert tokenized.starts[-1] == len(tokenized.ids)
    np.testing.assert_array_equal(tokenized.lengths, np.minimum(tokenized.full_lengths, max_length))
    np.testing.assert_array_equal(tokenizer.count(texts), tokenized.full_lengths)
    for i, text in enumerate(texts):
        row = tokenized.ids[tokenized.starts[i] : tokenized.starts[i + 1]].tolist()
        assert row == ids_of(tokenizer, text, max_length)
        assert (row[0], row[-1]) == (CLS, SEP)


def test_pad_lays_out_a_rectangle(tokenizer: WordPieceTokenizer) -> None:
    tokenized = tokenizer.encode(["a b c", "a", ""], max_length=512)
    ids, mask = tokenized.pad(np.array([1, 0]))
    assert ids.dtype == mask.dtype == np.int64
    assert mask.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert ids[0].tolist() == [CLS, 1037, SEP, 0, 0]
    assert ids[1].tolist() == ids_of(tokenizer, "a b c")
    ids, mask = tokenized.pad(np.array([2]))
    assert (ids.tolist(), mask.tolist()) == ([[CLS, SEP]], [[1, 1]])


@pytest.mark.parametrize("max_length", [2, 0, -1])
def test_a_limit_without_room_is_refused(tokenizer: WordPieceTokenizer, max_length: int) -> None:
    with pytest.raises(ConfigurationError, match="more than 2"):
        tokenizer.encode(["a"], max_length=max_length)


def test_no_texts(tokenizer: WordPieceTokenizer) -> None:
    assert len(tokenizer.encode([], max_length=512)) == 0
    assert tokenizer.count([]).shape == (0,)


# --- huge texts -----------------------------------------------------------------------------

fragments = st.one_of(
    st.sampled_from(
        [
            *(
                "[SEP]",
                "[SEP][SEP]",
                "[CLS] ",
                "[MASK] x",
                "[SEP",
                "SEP]",
                "[",
                "]",
                "[UNK]",
                "[PAD]",
            ),
            *(
                " ",
                "\t",
                "\n",
                "\r\n",
                "\u3000",
                "\u00a0",
                "\u2028",
                "\x00",
                "\x1f",
                "\u200d",
                "\u00ad",
            ),
            *("\u0301", "\u0327\u0301", "\u302e", "\u0e33", "\u094d", "\ufe0f", "\ufeff"),
            *(
                "日本語",
                "。",
                "，",
                "東",
                "\U00020000",
                "\uf900",
                "\u3400",
                "한국어",
                "カナ",
                "ﬁ",
                "ß",
            ),
            *(".", ",", "!", "?", "...", "—", "\u2018", "\u201d", "-", "_", "$", "€", "😀", "×"),
            *("word", "Éclair", "unbelievable", "x" * 99, "x" * 101, "é" * 60, "1,000.5"),
            *(
                "y" * 1200,
                "Z" * 950 + "\u0301" + "z" * 1100,
                "😀" * 1001,
                "한" * 1001,
                "[SEP" + "e" * 1000,
            ),
        ]
    ),
    st.text(max_size=6),
)
awkward_texts = st.lists(fragments, max_size=40).map("".join)


@given(awkward_texts, st.integers(1, 60))
@example("a,\u0301b", 1)
@example("日\u0301本", 1)
@example("[SEP],[SEP].[MASK] [CLS]", 1)
def test_a_text_in_pieces_is_the_whole(
    tokenizer: WordPieceTokenizer, plain: Tokenizer, text: str, piece: int
) -> None:
    whole = plain.encode_batch([text], add_special_tokens=False)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIECE_CHARACTERS", piece)
        patch.setattr(module, "_CALL_CHARACTERS", 4 * piece)  # several calls for one text
        assert ids_of(tokenizer, text) == [CLS, *whole.ids, SEP]
        assert tokenizer.count([text, "", text]).tolist() == [
            len(whole) + 2,
            2,
            len(whole) + 2,
        ]


@settings(max_examples=20)
@given(st.text(st.characters(categories=["L", "N", "S"]), min_size=1, max_size=3))
def test_an_endless_word_is_one_unknown(
    tokenizer: WordPieceTokenizer, plain: Tokenizer, unit: str
) -> None:
    text = f"before {unit * 8000} after {'q' * 20_000}"
    whole = plain.encode_batch([text], add_special_tokens=False)[0]
    assert ids_of(tokenizer, text) == [CLS, *whole.ids, SEP]


def test_a_cut_keeps_the_first_word_pieces_of_a_huge_text(tokenizer: WordPieceTokenizer) -> None:
    text = "alpha beta gamma. " * 20_000
    head = ids_of(tokenizer, "alpha beta gamma. " * 200)
    tokenized = tokenizer.encode([text], max_length=512)
    assert tokenized.ids.tolist() == [*head[:511], SEP]
    assert tokenized.full_lengths.tolist() == [20_000 * (len(head) - 2) // 200 + 2]


# --- how the library is used ----------------------------------------------------------------


class Watched:
    """The library's tokenizer, without what blocks every other thread or changes shared state."""

    def __init__(self, inner: Tokenizer) -> None:
        self.inner = inner
        self.used: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name != "encode_batch_fast":
            raise AssertionError(f"Tokenizer.{name} was used")
        self.used.add(name)
        return getattr(self.inner, name)


def test_only_calls_that_release_the_interpreter_lock(test_model: Path) -> None:
    tokenizer = WordPieceTokenizer(test_model / "tokenizer.json")
    watched = Watched(tokenizer._tokenizer)
    tokenizer._tokenizer = watched  # type: ignore[assignment]
    tokenizer.encode(["a", "b " * 40_000], max_length=512)
    tokenizer.count(["a"])
    assert watched.used == {"encode_batch_fast"}


def test_threads_share_one_tokenizer(tokenizer: WordPieceTokenizer) -> None:
    texts = [f"{i} unbelievable things, {'very ' * (i % 50)}long" for i in range(200)]
    expected = [ids_of(tokenizer, text, 40) for text in texts]

    def work(_: int) -> bool:
        ours = [ids_of(tokenizer, text, 40) for text in texts]
        counts = tokenizer.count(texts)
        return ours == expected and counts.min() > 2

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


# --- files that do not fit ------------------------------------------------------------------


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"tokenizer\.json is missing"):
        WordPieceTokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("content", [b"", b"{}", b"no json", b"\xff\xfe\x00", b'{"model": 3}'])
def test_garbage(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_bytes(content)
    with pytest.raises(ModelIntegrityError, match="cannot be read as (a tokenizer|JSON)") as caught:
        WordPieceTokenizer(file)
    assert caught.value.__cause__ is not None


def test_truncated_file(test_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_bytes((test_model / "tokenizer.json").read_bytes()[:1000])
    with pytest.raises(ModelIntegrityError, match="cannot be read as JSON"):
        WordPieceTokenizer(file)


@pytest.mark.parametrize("vocabulary", [30521, 30528])
def test_the_vocabulary_of_another_model(test_model: Path, vocabulary: int) -> None:
    with pytest.raises(
        ModelContractError, match=f"30,522 word pieces, the model has {vocabulary:,}"
    ):
        WordPieceTokenizer(test_model / "tokenizer.json", vocabulary=vocabulary)


def test_a_tokenizer_that_adds_no_special_tokens(test_model: Path, tmp_path: Path) -> None:
    file = write_tokenizer(test_model, tmp_path / "tokenizer.json", post_processor=None)
    with pytest.raises(ModelContractError, match=r"\[CLS\] \[SEP\]"):
        WordPieceTokenizer(file)


def test_a_path_outside_ascii(test_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "Wörter-日本" / "tokenizer.json"
    file.parent.mkdir()
    file.write_bytes((test_model / "tokenizer.json").read_bytes())
    assert ids_of(WordPieceTokenizer(file), "") == [CLS, SEP]
