"""Repeating requests: for how long, with which pauses, and until when."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDoneError
from typing import NoReturn

import pytest

from multiqa_integrations.errors import StoreError, StoreUnavailableError
from multiqa_integrations.qdrant import retry
from multiqa_integrations.qdrant.failures import DiskFullError, RateLimitedError
from multiqa_integrations.qdrant.retry import (
    JOB_SECONDS,
    READ_SECONDS,
    Attempts,
    repeat,
    repeat_async,
    retrying,
)

AWAY = StoreUnavailableError("Qdrant's count at http://db:6333 failed (503: away).")


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def pauses(error: Exception, seconds: float) -> list[float]:
    """Return the pauses after failures until the last one."""
    clock = Clock()
    attempts = Attempts(seconds, clock)
    found: list[float] = []
    while True:
        try:
            pause = attempts.pause_after(error)
        except StoreError:
            return found
        found.append(pause)
        clock.now += pause


@pytest.mark.parametrize("seconds", [READ_SECONDS, JOB_SECONDS])
def test_pauses_grow_and_end_with_the_budget(seconds: float) -> None:
    found = pauses(AWAY, seconds)
    assert sum(found) == pytest.approx(seconds)
    assert found[0] < 0.2
    assert max(found) <= 30.0
    assert len(found) < 40


@pytest.mark.parametrize("wish", [0.0, None, 3.0, 600.0, 1e9])
def test_a_servers_wish_is_kept_within_bounds(wish: float | None) -> None:
    found = pauses(RateLimitedError("slow down", retry_after=wish), 300.0)
    assert sum(found) == pytest.approx(300.0)
    assert len(found) < 100
    assert all(pause >= min(wish or 0.0, 60.0) for pause in found[:-1])


def test_what_does_not_pass_is_raised_at_once() -> None:
    assert pauses(StoreError("no"), 300.0) == []
    assert pauses(AWAY, 0.0) == []
    assert len(pauses(DiskFullError("full"), 300.0)) > 5


def test_budgets_and_stops_of_blocks() -> None:
    outer, inner = threading.Event(), threading.Event()
    with retrying(7.0, stop=outer), retrying(stop=inner) as policy:
        assert (policy.seconds, policy.stops) == (7.0, (outer, inner))
        with retrying(1.0, stop=outer) as innermost:
            assert (innermost.seconds, innermost.stops) == (1.0, (outer, inner))
    with retrying() as policy:
        assert (policy.seconds, policy.stops) == (READ_SECONDS, ())


def test_a_request_is_repeated_until_it_is_answered() -> None:
    answers: list[Exception | int] = [AWAY, AWAY, 7]

    def request() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert repeat(request) == 7
    answers[:] = [AWAY, AWAY, 7]

    async def coroutine() -> int:
        return request()

    assert asyncio.run(repeat_async(coroutine)) == 7


class AnswersLate(Future[int]):
    """Is done just after a look at it has found that it was not."""

    def result(self, timeout: float | None = None) -> int:
        answer = super().result()
        if timeout is not None:
            raise NotDoneError
        return answer


def test_an_answer_that_comes_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "Future", AnswersLate)
    with retrying(stop=threading.Event()):
        assert repeat(lambda: 1) == 1


def away() -> NoReturn:
    raise AWAY


@pytest.mark.parametrize(
    "request_",
    [away, lambda: time.sleep(600)],
    ids=["refused", "unanswered"],
)
def test_a_stop_ends_every_wait_within_two_seconds(request_: object) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    begin = time.monotonic()
    with pytest.raises(StoreUnavailableError), retrying(300.0, stop=stop):
        repeat(request_)  # type: ignore[arg-type]
    assert time.monotonic() - begin < 60.0  # not the 300 of the budget, on any machine
    with retrying(stop=stop):  # what is left to do, such as giving a lease back, is tried once
        assert repeat(lambda: 1) == 1


def test_the_batch_in_hand_is_stored_after_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    stop.set()
    looks = 0

    def looked() -> int:
        nonlocal looks
        looks += 1
        return looks

    class AnswersAtTheSixthLook(Future[int]):
        def result(self, timeout: float | None = None) -> int:
            if looked() < 6:
                raise NotDoneError
            return 7

        def done(self) -> bool:
            return False

    monkeypatch.setattr(retry, "Future", AnswersAtTheSixthLook)
    with retrying(stop=stop) as policy:
        assert repeat(lambda: 1) == 7
        looks = -100
        with pytest.raises(StoreUnavailableError, match="before the server had answered"):
            repeat(lambda: 1)
        assert policy.finish.seconds <= 0
        assert looks == -85  # they share a second
        looks = -100
        with pytest.raises(StoreUnavailableError):
            repeat(lambda: 1)
        assert looks == -98  # what follows is tried, and not waited for


def test_a_stop_ends_the_wait_of_a_coroutine() -> None:
    stop = threading.Event()
    asked: list[float] = []

    async def request() -> NoReturn:
        asked.append(time.monotonic())
        raise RateLimitedError("slow down", retry_after=600.0)

    threading.Timer(0.5, stop.set).start()
    with pytest.raises(RateLimitedError), retrying(300.0, stop=stop):
        asyncio.run(repeat_async(request))
    assert time.monotonic() - asked[0] < 60.0  # not the 600 that were asked for, on any machine


def test_whoever_waits_is_told_in_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert len(pauses(AWAY, 300.0)) > 10
    lines = [record.getMessage() for record in caplog.records]
    assert 5 < len(lines) <= 31
    assert all("http://db:6333 failed (503: away)" in line for line in lines)
    assert lines[0].startswith("waiting, ")
    assert " s so far, until " in lines[0]


def test_threads_that_wait_for_the_same_tell_it_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_LOG_AFTER", 0.0)
    error = StoreUnavailableError("Qdrant's upsert at http://db:6333 failed (503: gone).")
    clock = Clock()
    for _ in range(3):
        Attempts(300.0, clock).pause_after(error)
    assert len(caplog.records) == 1
    clock.now += 11.0
    Attempts(300.0, clock).pause_after(error)
    assert len(caplog.records) == 2
