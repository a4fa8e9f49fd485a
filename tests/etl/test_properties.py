"""Whatever becomes of a source, and wherever runs are broken off: the last version is stored."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multiqa_integrations.etl import sync, verify
from multiqa_integrations.qdrant import EdgeStore, Point
from multiqa_integrations.testing import FakeEncoder
from tests.support.versions import COLLECTION, Row, assert_equal

SENTENCE = "Word{} and some more of them. "

versions = st.lists(
    st.dictionaries(
        st.integers(0, 8).map(lambda number: f"d{number}"),
        st.tuples(st.integers(0, 3), st.integers(1, 40), st.integers(0, 2)),
        max_size=8,
    ),
    min_size=1,
    max_size=5,
)
crashes = st.lists(st.none() | st.integers(0, 6), min_size=5, max_size=5)


class CrashError(BaseException):
    """The process is gone."""


class CrashingStore(EdgeStore):
    """Breaks off at the n-th write, which may have been carried out or not."""

    def __init__(self, path: str, writes: int | None) -> None:
        super().__init__(path)
        self.writes = writes

    def _crash(self) -> bool:
        if self.writes is None:
            return False
        self.writes -= 1
        return self.writes < 0

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        if self._crash():
            super().upsert(collection, points[: len(points) // 2])
            raise CrashError
        super().upsert(collection, points)

    def delete(self, collection: str, **selection: Any) -> None:
        if self._crash():
            raise CrashError
        super().delete(collection, **selection)
        if self._crash():
            raise CrashError


def rows_of(version: dict[str, tuple[int, int, int]]) -> list[Row]:
    return [
        {"id": id, "text": SENTENCE.format(word) * sentences + id, "n": n}
        for id, (word, sentences, n) in version.items()
    ]


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(history=versions, broken=crashes)
def test_the_last_version_is_stored(
    history: list[dict[str, tuple[int, int, int]]], broken: list[int | None]
) -> None:
    options: dict[str, Any] = {
        "encoder": FakeEncoder(),
        "chunk_size": 64,
        "prune": True,
        "max_delete_share": 1.0,
        "allow_empty": True,
    }
    with tempfile.TemporaryDirectory() as path:
        for version, writes in zip(history, broken, strict=False):
            with CrashingStore(path, writes) as store:
                try:
                    sync(rows_of(version), COLLECTION, store=store, **options)
                except CrashError:
                    pass
        last = rows_of(history[-1])
        with EdgeStore(path) as store:
            sync(last, COLLECTION, store=store, **options)
            assert_equal(store, last)
            assert verify(last, COLLECTION, store=store, encoder=FakeEncoder(), chunk_size=64).fits
            again = sync(last, COLLECTION, store=store, **options)
            assert (again.encoded, again.stale, again.deleted) == (0, 0, 0)


@pytest.mark.parametrize("source_name", ["a", "b"])
def test_the_ids_of_points_never_change(source_name: str) -> None:
    from multiqa_integrations.etl.ledger import chunk_id

    assert chunk_id("default", "d1", 0) == "5f2444db-671e-577d-a4fb-cb0e1c400219"
    assert chunk_id(source_name, "d1", 0) != chunk_id("default", "d1", 0)
    # Joined by any character these would be the same.
    assert chunk_id(source_name, 'x","y', 0) != chunk_id(f'{source_name}","x', "y", 0)
