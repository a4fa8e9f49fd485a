"""Queries of several threads, computed together.

A short text takes about as long as reading the weights does, which a batch of texts reads once. So
while one batch is computed, the calls that arrive wait, and the next batch is all of them. Nobody
waits for company: a call that finds nothing under way is computed at once, alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.native import native_call
from multiqa_integrations.types import Vectors

Embed = Callable[[NDArray[np.int64], NDArray[np.int64]], Vectors]


class Gatherer:
    """Call `embed` for one caller after another, or for several at once.

    Examples:
        >>> def embed(ids, mask):
        ...     return (ids * mask).sum(axis=1, keepdims=True).astype("float32")
        >>> Gatherer(embed, batch_tokens=512, max_texts=64).embed(np.array([[7]]), np.array([[1]]))
        array([[7.]], dtype=float32)
    """

    def __init__(
        self, embed: Embed, *, batch_tokens: int, max_texts: int, limit: int = 512, step: int = 1
    ) -> None:
        """Begin with nobody waiting.

        Args:
            embed: Computes a batch; see `Backend.embed`.
            batch_tokens: The most word pieces of calls computed together, padding included.
            max_texts: The most texts of calls computed together.
            limit: Most word pieces of a text that the model computes.
            step: A text alone is padded to a multiple of this.
        """
        self._embed = embed
        self._batch_tokens = batch_tokens
        self._max_texts = max_texts
        self._limit, self._step = limit, step
        self._lock = threading.Lock()
        self._waiting: list[_Call] = []
        self._is_computing = False

    def embed(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        """Compute a batch, together with those of other threads if some are waiting.

        Args:
            ids: Word-piece ids, `(b, length)`.
            mask: 1 for a word piece, 0 for padding, `(b, length)`.

        Returns:
            float32 `(b, 384)`.
        """
        call = _Call(ids, mask)
        try:
            self._queue(call)
            call.turn.wait()
            if call.vectors is not None:  # computed by another thread
                return call.vectors
            return self._compute(call) if call.leads else self._run(ids, mask)
        finally:  # after Ctrl-C too
            self._leave(call)

    def _queue(self, call: _Call) -> None:
        with self._lock:
            if self._is_computing:
                self._waiting.append(call)
            else:
                self._is_computing = True
                call.lead()

    def _leave(self, call: _Call) -> None:
        """Stop waiting; or, if it was this call's turn, let the next one have it."""
        with self._lock:
            if call in self._waiting:
                self._waiting.remove(call)
            elif call.leads:
                self._is_computing = bool(self._waiting)
                if self._waiting:
                    self._waiting.pop(0).lead()

    def _compute(self, call: _Call) -> Vectors:
        """Compute a call together with those that fit."""
        with self._lock:
            others = self._take(call)
        try:
            vectors = self._run(*_stack([call, *others]))
            begin = len(call.ids)
            for other in others:
                other.vectors = vectors[begin : begin + len(other.ids)]
                begin += len(other.ids)
            return vectors[: len(call.ids)]
        finally:  # after an error each tries by itself, and has its own error
            for other in others:
                other.turn.set()

    def _run(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        padding = min(-ids.shape[1] % self._step, max(self._limit - ids.shape[1], 0))
        if padding and len(ids) == 1:
            ids, mask = _padded(ids, padding), _padded(mask, padding)
        with native_call:
            return self._embed(ids, mask)

    def _take(self, call: _Call) -> list[_Call]:
        """Take those that wait for the same batch: not much longer, nor much shorter."""
        taken: list[_Call] = []
        texts, shortest, longest = len(call.ids), call.length, call.length
        for other in self._waiting:
            least, most = min(shortest, other.length), max(longest, other.length)
            total = texts + len(other.ids)
            if most > 2 * least or total > self._max_texts or total * most > self._batch_tokens:
                continue
            taken.append(other)
            texts, shortest, longest = total, least, most
        self._waiting = [other for other in self._waiting if other not in taken]
        return taken


class _Call:
    """What one caller asks for.

    Attributes:
        turn: Set when its wait is over.
        leads: Whether it is to compute, with others that fit.
        vectors: What another one computed for it.
    """

    __slots__ = ("ids", "leads", "mask", "turn", "vectors")

    def __init__(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> None:
        self.ids, self.mask = ids, mask
        self.turn = threading.Event()
        self.vectors: Vectors | None = None
        self.leads = False

    def lead(self) -> None:
        self.leads = True
        self.turn.set()

    @property
    def length(self) -> int:
        return int(self.ids.shape[1])


def _stack(calls: list[_Call]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lay batches one upon another, padded to the longest."""
    if len(calls) == 1:
        return calls[0].ids, calls[0].mask
    longest = max(call.length for call in calls)
    ids = [_padded(call.ids, longest - call.length) for call in calls]
    mask = [_padded(call.mask, longest - call.length) for call in calls]
    return np.concatenate(ids), np.concatenate(mask)


def _padded(rows: NDArray[np.int64], padding: int) -> NDArray[np.int64]:
    padded = np.zeros((len(rows), rows.shape[1] + padding), np.int64)
    padded[:, : rows.shape[1]] = rows
    return padded
