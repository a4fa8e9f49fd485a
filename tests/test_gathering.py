"""Queries of several threads are computed together; nobody waits for company."""

from __future__ import annotations

import _thread
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from multiqa_integrations.gathering import Gatherer
from multiqa_integrations.types import Vectors

_PATIENCE = 60.0


class Model:
    """Counts what it computes; holds each batch up until it is told to go on.

    A vector is the sum of its ids. The id 13 cannot be computed.
    """

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def embed(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        self.batches.append(ids.shape)
        self.begun.release()
        assert self.go_on.acquire(timeout=_PATIENCE)
        if (ids == 13).any():
            raise ValueError(f"13 in a batch of {len(ids)}")
        vectors: Vectors = (ids * mask).sum(axis=1, keepdims=True).astype(np.float32)
        return vectors


class Callers:
    """Threads that call one gatherer, each known to wait before the next begins."""

    def __init__(self, model: Model, **limits: int) -> None:
        limits = {"batch_tokens": 512, "max_texts": 64, **limits}
        self.model, self.gatherer = model, Gatherer(model.embed, **limits)
        self.pool = ThreadPoolExecutor(16)

    def call(self, *ids: int, texts: int = 1) -> Future[Vectors]:
        rows = np.array([ids] * texts)
        waiting = len(self.gatherer._waiting)
        computing = self.gatherer._is_computing
        future = self.pool.submit(self.gatherer.embed, rows, np.ones_like(rows))
        if not computing:
            assert self.model.begun.acquire(timeout=_PATIENCE)
        while computing and len(self.gatherer._waiting) == waiting:
            pass
        return future

    def finish(self) -> None:
        self.model.go_on.release(100)
        self.pool.shutdown()
        assert not self.gatherer._waiting
        assert not self.gatherer._is_computing


def test_a_single_call_is_computed_at_once() -> None:
    callers = Callers(Model())
    first = callers.call(1, 2)
    callers.finish()
    assert first.result().tolist() == [[3]]
    assert callers.model.batches == [(1, 2)]


def test_a_text_alone_is_padded_as_far_as_the_model_goes() -> None:
    """So that queries of different lengths have one shape."""
    callers = Callers(Model(), limit=12, step=8)
    for ids in ([1] * 3, [1] * 8, [1] * 9, [1] * 12):
        future = callers.call(*ids)
        callers.model.go_on.release()
        assert future.result().tolist() == [[len(ids)]]
    callers.finish()
    assert callers.model.batches == [(1, 8), (1, 8), (1, 12), (1, 12)]


def test_calls_that_wait_are_computed_together() -> None:
    callers = Callers(Model())
    futures = [callers.call(1), callers.call(2, 5), callers.call(3, texts=2), callers.call(4)]
    callers.finish()
    assert [f.result().tolist() for f in futures] == [[[1]], [[7]], [[3], [3]], [[4]]]
    assert callers.model.batches == [(1, 1), (4, 2)]


def test_what_does_not_fit_goes_next() -> None:
    callers = Callers(Model(), batch_tokens=10, max_texts=3)
    futures = [
        callers.call(0),
        callers.call(1, 1),
        callers.call(2, 2, 2, 2, 2),  # much longer than the one before
        callers.call(3, 3, 3, 3, texts=2),  # three texts of four would be 12 word pieces
        callers.call(4, 4, texts=2),
        callers.call(5, 5),  # the fourth text
    ]
    callers.finish()
    assert [f.result().tolist() for f in futures] == [
        [[0]],
        [[2]],
        [[10]],
        [[12], [12]],
        [[8], [8]],
        [[10]],
    ]
    assert callers.model.batches == [(1, 1), (3, 2), (1, 5), (2, 4), (1, 2)]


def test_after_an_error_each_has_its_own() -> None:
    callers = Callers(Model())
    futures = [callers.call(1), callers.call(13), callers.call(2), callers.call(13)]
    callers.finish()
    assert futures[0].result().tolist() == [[1]]
    with pytest.raises(ValueError, match="batch of 3"):
        futures[1].result()
    assert futures[2].result().tolist() == [[2]]
    with pytest.raises(ValueError, match="batch of 1"):
        futures[3].result()


@pytest.mark.parametrize("begins", [False, True])
def test_an_interrupted_call_holds_nobody_up(begins: bool) -> None:
    model = Model()
    callers = Callers(model)
    if not begins:
        callers.call(1)
    others: list[Future[Vectors]] = []

    def interrupt() -> None:
        """As Ctrl-C, once the main thread waits, or computes."""
        while not (callers.gatherer._is_computing and (begins or callers.gatherer._waiting)):
            pass
        if begins:
            assert model.begun.acquire(timeout=_PATIENCE)
        others.append(callers.call(2))
        _thread.interrupt_main()
        model.go_on.release(100)

    def embed() -> None:
        callers.gatherer.embed(np.array([[9]]), np.array([[1]]))
        threading.Event().wait(_PATIENCE)  # it was computed before the signal came

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            embed()
    finally:
        interrupter.join()
    callers.finish()
    assert others[0].result().tolist() == [[2]]
