"""What goes wrong with a stand-in for Qdrant, on demand."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.qdrant_answers import Refusal


class CutError(Exception):
    """The connection is to be reset."""


class Hold:
    """A gate that lets some requests through, then none until it is opened.

    Attributes:
        reached: A request waits.
    """

    def __init__(self, let_through: int = 0) -> None:
        self.reached = threading.Event()
        self._numbers = itertools.count()
        self._let_through = let_through
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def pass_or_wait(self) -> None:
        if next(self._numbers) >= self._let_through:
            self.reached.set()
            self._opened.wait(60)


@dataclass
class Faults:
    """What goes wrong, mostly with requests that write points; every share is a chance from 0 to 1.

    Attributes:
        throttled: 429 with Retry-After.
        too_busy: 429 without, for requests of more than `too_busy_above` points.
        too_busy_above: See there.
        unavailable: 503.
        reset_before: The connection is cut before the request is carried out.
        reset_after: It is cut afterwards, instead of an answer.
        slow: The answer takes `slow_seconds`.
        slow_seconds: See there.
        bad: Points with these numbers in the payload's field "n" make the whole request a 400.
        bad_texts: As `bad`, by the payload's "page_content".
        away: So many requests of any kind are answered 502, as by a proxy whose server restarts.
        broken: Collections that cannot be read.
        red: Collections whose optimizer has failed, and why.
        at_most: So many faults of chance in all; then there are no more.
        hold: From some request on, each waits before it is carried out.
        acknowledged: The answer is "acknowledged", as if one had not waited.
        api_key: Requests without this key, or a token that it signed, are refused.
        forbidden: Requests of these kinds take more rights than the key has.
        replicas: How many each shard has, as far as the collections say.
        lacking: Points with these texts are not on all of them.
        down: How many of their nodes do not answer.
        tied: Of hits with equal scores any may come first, as on a server with several segments.
        tampered: What another result requests of a kind get, as of a broken server or a proxy.
        chance: Where chances come from.
    """

    throttled: float = 0.0
    too_busy: float = 0.0
    too_busy_above: int = 8
    unavailable: float = 0.0
    reset_before: float = 0.0
    reset_after: float = 0.0
    slow: float = 0.0
    slow_seconds: float = 3.0
    bad: frozenset[int] = frozenset()
    bad_texts: frozenset[str] = frozenset()
    away: int = 0
    broken: set[str] = field(default_factory=set)
    red: dict[str, str] = field(default_factory=dict)
    at_most: int | None = None
    hold: Hold | None = None
    acknowledged: bool = False
    api_key: str | None = None
    forbidden: frozenset[str] = frozenset()
    replicas: int = 1
    lacking: frozenset[str] = frozenset()
    down: int = 0
    tied: bool = False
    tampered: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    @contextmanager
    def of_write(self, act: str, body: dict[str, Any], seen: Counter[str]) -> Iterator[None]:
        """Carry out a request, with whatever goes wrong where it writes points."""
        if act not in ("upsert", "delete", "set_payload"):
            yield
            return

        def happens(name: str) -> bool:
            if self.at_most == 0 or self.chance.random() >= getattr(self, name):
                return False
            if self.at_most is not None:
                self.at_most -= 1
            seen[name] += 1
            return True

        if self.hold is not None:
            self.hold.pass_or_wait()
        points = body.get("points", [])
        if happens("throttled"):
            raise Refusal(429, "Rate limiting exceeded", headers={"Retry-After": "1"})
        if len(points) > self.too_busy_above and happens("too_busy"):
            raise Refusal(429, "Write rate limit exceeded: the request is too large")
        if happens("unavailable"):
            raise Refusal(503, "Service Unavailable")
        if happens("reset_before"):
            raise CutError
        for point in points if act == "upsert" else ():
            if self._is_bad(point.get("payload") or {}):
                seen["bad"] += 1
                raise Refusal(400, f"Wrong input: point {point['id']} is not to our taste")
        slow = happens("slow")
        if slow:
            time.sleep(self.slow_seconds)
        try:
            yield
        finally:
            seen["carried out late"] += slow
        if happens("reset_after"):
            raise CutError

    def _is_bad(self, payload: dict[str, Any]) -> bool:
        number, text = payload.get("n"), payload.get("page_content")
        return (isinstance(number, int) and number in self.bad) or text in self.bad_texts
