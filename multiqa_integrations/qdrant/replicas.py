"""Read what all replicas have, where that decides about writing, deleting or "unchanged".

A write that failed because a node was down may be on one replica and not on the others. Whoever
reads that one alone takes it for stored, for good. So a job reads like this:

    with reading_all_replicas():
        store.retrieve("docs", ids)

What is not on every replica then is missing, and is written again. Where a collection has one
replica of each shard, nothing is different.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Consistency: TypeAlias = Literal["all", "quorum"]


@dataclass(slots=True)
class Agreement:
    """How many replicas must agree, by store and collection; learnt as collections are read.

    Attributes:
        replicas: How many a shard has.
        consistency: How many must agree; None is one.
    """

    replicas: dict[tuple[int, str], int] = field(default_factory=dict)
    consistency: dict[tuple[int, str], Consistency | None] = field(default_factory=dict)


_current: ContextVar[Agreement | None] = ContextVar("multiqa_replicas", default=None)


@contextmanager
def reading_all_replicas() -> Iterator[None]:
    """Have the reads of a block agree with all replicas, as far as these answer."""
    token = _current.set(_current.get() or Agreement())
    try:
        yield
    finally:
        _current.reset(token)


def agreement() -> Agreement | None:
    """Return how many replicas must agree; None where the block does not ask for it."""
    return _current.get()
