from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from multiqa_integrations import windows as module
from multiqa_integrations.errors import TextTypeError
from multiqa_integrations.windows import Windows


@pytest.fixture(autouse=True)
def windows_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WINDOW_TEXTS", 3)


class Source:
    """Texts that count how many of them were read."""

    def __init__(self, texts: Iterable[Any]) -> None:
        self.texts = texts
        self.read = 0

    def __iter__(self) -> Iterator[str]:
        for text in self.texts:
            self.read += 1
            if text == "!":
                raise OSError("the source broke off")
            yield text


def always() -> bool:
    return True


def test_windows_are_prepared_as_wholes_and_in_order() -> None:
    windows = Windows("abcdefgh", prepare="".join)
    assert [windows.take() for _ in range(5)] == ["abc", "def", "gh", None, None]


def test_reading_ahead_prepares_one_window_and_no_more() -> None:
    source = Source("abcdefgh")
    prepared: list[str] = []

    def prepare(window: list[str]) -> int:
        prepared.append("".join(window))
        return len(prepared)

    windows = Windows(source, prepare)
    assert windows.take() == 1
    windows.read_ahead(always)
    windows.read_ahead(always)
    assert (source.read, prepared) == (6, ["abc", "def"])
    assert [windows.take(), windows.take(), windows.take()] == [2, 3, None]


def test_reading_ahead_ends_once_it_is_not_wanted() -> None:
    source = Source("abcdefgh")
    windows = Windows(source, prepare="".join)
    wanted = iter([True, True, False])
    windows.read_ahead(lambda: next(wanted))
    assert source.read == 2
    windows.read_ahead(lambda: False)
    assert source.read == 2
    assert [windows.take(), windows.take()] == ["abc", "def"]


def test_a_source_that_is_used_up_ahead() -> None:
    windows = Windows("abcd", prepare="".join)
    assert windows.take() == "abc"
    windows.read_ahead(always)
    assert [windows.take(), windows.take()] == ["d", None]
    windows.read_ahead(always)
    assert windows.take() is None


@pytest.mark.parametrize(
    ("texts", "error", "said"),
    [
        ("abcd!", OSError, "broke off"),
        ([*"abcd", None], TextTypeError, "text 4 is None"),
    ],
)
def test_what_fails_ahead_is_raised_in_its_turn(
    texts: Iterable[Any], error: type[Exception], said: str
) -> None:
    windows = Windows(Source(texts), prepare="".join)
    windows.read_ahead(always)
    assert windows.take() == "abc"
    windows.read_ahead(always)
    with pytest.raises(error, match=said):
        windows.take()


def test_what_cannot_be_prepared_is_raised_in_its_turn() -> None:
    def refuse(window: list[str]) -> str:
        raise ValueError(f"no {window}")

    windows = Windows("abc", prepare=refuse)
    windows.read_ahead(always)
    with pytest.raises(ValueError, match="no "):
        windows.take()


def test_an_interrupt_is_not_kept_for_later() -> None:
    def texts() -> Iterator[str]:
        yield "a"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Windows(texts(), prepare="".join).read_ahead(always)
