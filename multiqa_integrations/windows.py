"""A stream of texts, a window at a time, the next one prepared while this one is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from multiqa_integrations.texts import check_text

# How far a stream is looked ahead in, to put like lengths together.
_WINDOW_TEXTS = 2048
_WINDOW_CHARACTERS = 4_000_000

_T = TypeVar("_T")


class Windows(Generic[_T]):
    """Read windows of texts and prepare each as a whole.

    All of it happens in the thread that calls: a source may belong to its thread, as cursors of
    databases do.

    Examples:
        >>> windows = Windows(["a", "b"], prepare=len)
        >>> windows.take(), windows.take()
        (2, None)
    """

    def __init__(self, texts: Iterable[str], prepare: Callable[[list[str]], _T]) -> None:
        """Begin without reading anything.

        Args:
            texts: Any iterable of strings, endless ones included.
            prepare: Called with the texts of a window.
        """
        self._texts = enumerate(texts)
        self._prepare = prepare
        self._window: list[str] = []
        self._characters = 0
        self._is_at_end = False
        self._prepared: _T | None = None
        self._failure: Exception | None = None

    def take(self) -> _T | None:
        """Return the next window as it was prepared; None at the end.

        Raises:
            TextError: Something is not a text; `.index` is its position in the stream.
            Exception: Whatever the source or `prepare` raises.
        """
        if self._failure is not None:
            raise self._failure
        self._advance(lambda: True)
        prepared, self._prepared = self._prepared, None
        return prepared

    def read_ahead(self, is_wanted: Callable[[], bool]) -> None:
        """Work on the next window, from one text to the next only while `is_wanted()`.

        A failure is kept for `take`: what came before it is still being computed.
        """
        try:
            self._advance(is_wanted)
        except Exception as error:  # noqa: BLE001 - raised by `take`
            self._failure = error

    def _advance(self, is_wanted: Callable[[], bool]) -> None:
        if self._prepared is not None:
            return
        while not (self._is_full or self._is_at_end):
            if not is_wanted():
                return
            item = next(self._texts, None)
            if item is None:
                self._is_at_end = True
            else:
                index, text = item
                self._window.append(check_text(text, index))
                self._characters += len(text)
        if self._window:
            self._prepared = self._prepare(self._window)
            self._window, self._characters = [], 0

    @property
    def _is_full(self) -> bool:
        return len(self._window) >= _WINDOW_TEXTS or self._characters >= _WINDOW_CHARACTERS
