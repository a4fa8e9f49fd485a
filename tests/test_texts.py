from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiqa_integrations.errors import MultiQAError, TextError, TextTypeError
from multiqa_integrations.texts import check_text, check_texts, repair_surrogates

any_text = st.text(st.characters(exclude_categories=[]))  # lone surrogates included


class Column:
    """Stands for a column of pandas ("tolist"), Polars ("to_list") or Arrow ("to_pylist")."""

    def __init__(self, values: list[Any], method: str) -> None:
        self.values = values
        setattr(self, method, lambda: values)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)


@pytest.mark.parametrize(
    "texts",
    [
        ["a", "b"],
        ("a", "b"),
        deque(["a", "b"]),
        np.array(["a", "b"]),
        np.array(["a", "b"], dtype=object),
        Column(["a", "b"], "tolist"),
        Column(["a", "b"], "to_list"),
        Column(["a", "b"], "to_pylist"),
    ],
    ids=["list", "tuple", "deque", "numpy", "numpy object", "pandas", "polars", "arrow"],
)
def test_what_counts_as_a_list_of_texts(texts: Any) -> None:
    assert check_texts(texts) == ["a", "b"]


def test_an_empty_list_is_fine() -> None:
    assert check_texts([]) == []


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ("a bare string", r"the single string 'a bare string'.*Pass \[text\]"),
        ("x" * 1000, r"'x{36}\.\.\."),
        (None, "got None"),
        (b"bytes", "got bytes"),
        (bytearray(b"bytes"), "got bytearray"),
        (memoryview(b"bytes"), "got memoryview"),
        (7, "got int 7"),
        (float("nan"), "got float nan"),
        ({"a", "b"}, "got set"),
        ({"a": 1}, "got dict"),
        (iter(["a"]), "got list_iterator"),
        ((text for text in ["a"]), r"got generator.*encode_stream\(\)"),
        (np.array("a"), r"shape \(\)"),
        (np.array([["a"], ["b"]]), r"shape \(2, 1\)"),
    ],
)
def test_what_is_no_list_of_texts(texts: Any, said: str) -> None:
    with pytest.raises(TextError, match=said) as caught:
        check_texts(texts)
    assert caught.value.index is None


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (None, "text 2 is None.*replace it by ''"),
        (b"x", "text 2 is bytes b'x'.*decode"),
        (3, "text 2 is int 3"),
        (float("nan"), "text 2 is float nan.*drop it"),
        (["nested"], "text 2 is list.*flat list"),
    ],
)
def test_an_item_that_is_no_text(item: Any, said: str) -> None:
    with pytest.raises(TextTypeError, match=said) as caught:
        check_texts(["a", "b", item, "d"])
    assert caught.value.index == 2
    # Whoever catches what Python itself would raise catches it too.
    assert isinstance(caught.value, (TypeError, ValueError, MultiQAError))


def test_numpy_strings_are_texts() -> None:
    assert check_text(np.str_("a"), 0) == "a"


@pytest.mark.parametrize(
    ("given_text", "repaired"),
    [
        ("plain", "plain"),
        ("\x00\x1b", "\x00\x1b"),
        ("\ud83d", "\ufffd"),
        ("a\ude00b", "a\ufffdb"),
        ("\ud83d\ude00", "😀"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("\ud83d\ud83d\ude00", "\ufffd😀"),
        ("\ufeffé\ud800", "\ufeffé\ufffd"),
    ],
)
def test_surrogates(given_text: str, repaired: str) -> None:
    assert repair_surrogates(given_text) == repaired


@given(any_text)
def test_every_text_becomes_encodable(text: str) -> None:
    repaired = repair_surrogates(text)
    assert repaired.encode("utf-8").decode("utf-8") == repaired
    assert repair_surrogates(repaired) == repaired


@given(st.text())
def test_valid_text_is_left_alone(text: str) -> None:
    assert repair_surrogates(text) == text
