"""The embedded store: files, locks, forks, crashes, optimising."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import models

from multiqa_integrations.errors import (
    CollectionMismatchError,
    CollectionWarning,
    ConfigurationError,
    StoreClosedError,
    StoreError,
    WriteRejectedError,
)
from multiqa_integrations.qdrant import (
    CollectionSchema,
    EdgeStore,
    Point,
    PointQuery,
    SparseVector,
    ensure_collection,
)
from multiqa_integrations.qdrant.edge import registry
from multiqa_integrations.qdrant.edge.shard import Shard
from multiqa_integrations.types import Vectors
from tests.support.engines import local_client

SCHEMA = CollectionSchema(fingerprint="sha256:ours", model="m", payload_indexes={"k": "keyword"})


def unit(count: int, seed: int = 0) -> Vectors:
    """Vectors with 12 degrees of freedom: like those of texts, they have neighbours."""
    basis = np.random.default_rng(99).standard_normal((12, 384))
    vectors = (np.random.default_rng(seed).standard_normal((count, 12)) @ basis).astype(np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def points(count: int, seed: int = 0) -> list[Point]:
    return [
        Point(n, {"": vector}, {"n": n, "k": f"k{n % 3}"})
        for n, vector in enumerate(unit(count, seed))
    ]


def nearest(store: EdgeStore, name: str = "docs", limit: int = 5) -> list[Any]:
    return [p.id for p in store.query(name, PointQuery(vector=unit(1, 1)[0], limit=limit))]


def python(
    script: str, *arguments: object, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    # Python 3.12 and later warn at every fork in a threaded process.
    forks = ("-W", "ignore:This process:DeprecationWarning")
    return subprocess.run(
        [sys.executable, *forks, "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
    )


def test_collections_are_subdirectories(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er"
    with EdgeStore(path) as store:
        assert not path.exists()
        assert store.collections() == []
        for name in ("docs", "été 2024", "a.b"):
            store.ensure(name, SCHEMA)
        assert store.collections() == ["a.b", "docs", "été 2024"]
        store.upsert("docs", points(10))
        assert store.count("a.b") == 0
        before = nearest(store)
    with EdgeStore(path) as store:
        assert store.collections() == ["a.b", "docs", "été 2024"]
        assert store.count("docs") == 10
        assert nearest(store) == before
        info = store.info("docs")
        assert info is not None
        assert info.fingerprints == ("sha256:ours",)
        assert info.payload_indexes == {"k": "keyword"}


def test_the_description_is_readable_and_whole(tmp_path: Path) -> None:
    with EdgeStore(tmp_path) as store:
        schema = CollectionSchema(fingerprint="f", model="m", sparse_name="bm25")
        report = store.ensure("docs", schema)
    assert json.loads((tmp_path / "docs" / "collection.json").read_text()) == {
        "fingerprint": "f",
        "model": "m",
        "format": 1,
        "identity": report.info.identity,
        "vectors": {"": {"size": 384, "distance": "cosine"}},
        "sparse": ["bm25"],
        "sparse_idf": True,
        "shard": "shard-1",
    }
    with EdgeStore(tmp_path) as store, pytest.raises(CollectionMismatchError, match="fingerprint"):
        store.ensure("docs", CollectionSchema(fingerprint="other"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2}', "[" * 100_000])
def test_a_damaged_description_is_said(tmp_path: Path, content: str) -> None:
    with EdgeStore(tmp_path) as store:
        store.ensure("docs", SCHEMA)
    (tmp_path / "docs" / "collection.json").write_text(content)
    with EdgeStore(tmp_path) as store, pytest.raises(StoreError, match="collection.json"):
        store.count("docs")


@pytest.mark.parametrize("path", ["", 5, b"collections", ["collections"]])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(ConfigurationError, match="path is"):
        EdgeStore(path)


def test_without_a_fingerprint_it_is_adopted_only_when_asked(tmp_path: Path) -> None:
    with EdgeStore(tmp_path) as store:
        store.ensure("docs", SCHEMA)
    file = tmp_path / "docs" / "collection.json"
    description = json.loads(file.read_text())
    file.write_text(json.dumps({**description, "fingerprint": None}))
    with EdgeStore(tmp_path) as store:
        with pytest.warns(CollectionWarning, match="adopt=True"):
            ensure_collection(store, "docs", fingerprint="sha256:ours")
        assert json.loads(file.read_text())["fingerprint"] is None
        report = ensure_collection(store, "docs", fingerprint="sha256:ours", adopt=True)
        assert report.fingerprint == "adopted"
    assert json.loads(file.read_text())["fingerprint"] == "sha256:ours"


def test_directories_of_others(tmp_path: Path) -> None:
    local_client(tmp_path / "local").close()
    with pytest.raises(ConfigurationError, match="local mode of qdrant-client"):
        EdgeStore(tmp_path / "local")
    (tmp_path / "file").write_text("")
    for path in ("file", "file/below", "file/far/below"):
        with pytest.raises(ConfigurationError, match="file is a file, expected a directory"):
            EdgeStore(tmp_path / path)
    (tmp_path / "mine" / "docs").mkdir(parents=True)
    (tmp_path / "mine" / "docs" / "letter.txt").write_text("mine")
    with EdgeStore(tmp_path / "mine") as store:
        assert store.collections() == []
        with pytest.raises(StoreError, match="cannot be created"):
            store.ensure("docs", SCHEMA)
    assert [one.name for one in (tmp_path / "mine").rglob("*")] == ["docs", "letter.txt"]


def test_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        blocked = Path("/proc/multiqa")  # not even root can write here
    else:
        blocked = tmp_path / "blocked"
        blocked.mkdir(mode=0o500)
    with EdgeStore(blocked) as store, pytest.raises((StoreError, OSError)):
        store.ensure("docs", SCHEMA)


# --- options ------------------------------------------------------------------------------------


def test_options_go_to_the_engine(tmp_path: Path) -> None:
    import qdrant_edge as edge

    with EdgeStore(tmp_path) as store:
        quantization = edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8)
        store.ensure("docs", SCHEMA, quantization_config=quantization)
        config = json.loads((tmp_path / "docs/shard-1/edge_config.json").read_text())
        assert config["quantization_config"]["scalar"]["type"] == "int8"
        with pytest.raises(ConfigurationError, match="expected the class of that sort"):
            store.ensure("other", SCHEMA, hnsw_config=models.HnswConfigDiff(m=8))
        with pytest.raises(ConfigurationError, match="does not take colour"):
            store.ensure("other", SCHEMA, colour="red")
        with pytest.raises(ConfigurationError, match="wal_enabled"):
            store.ensure("other", SCHEMA, wal_enabled=False)
        assert store.collections() == ["docs"]


def test_the_graph_without_8_bit_vectors_is_otherwise_the_same(tmp_path: Path) -> None:
    with EdgeStore(tmp_path) as store:
        store.ensure("ours", SCHEMA)
        store.ensure("plain", SCHEMA, quantization_config=None)
        ours, plain = (
            json.loads((tmp_path / name / "shard-1/edge_config.json").read_text())
            for name in ("ours", "plain")
        )
        assert ours.pop("quantization_config")
        assert not plain.pop("quantization_config", None)
        assert ours["vectors"][""].pop("memory") == "cold"  # the graph has vectors of its own
        assert ours == plain


def test_text_indexes_can_match_phrases(tmp_path: Path) -> None:
    import qdrant_edge as edge

    with EdgeStore(tmp_path) as store:
        blind = edge.TextIndexParams(phrase_matching=False)
        with pytest.raises(ConfigurationError, match="phrase_matching=True"):
            store.ensure("docs", CollectionSchema(fingerprint="f", payload_indexes={"t": blind}))
        seeing = models.TextIndexParams(type=models.TextIndexType.TEXT, phrase_matching=False)
        store.ensure("more", CollectionSchema(fingerprint="f", payload_indexes={"t": seeing}))
        store.upsert("more", [Point(1, {"": unit(1)[0]}, {"t": "a red button"})])
        phrase = models.FieldCondition(key="t", match=models.MatchPhrase(phrase="red button"))
        assert store.count("more", filter=models.Filter(must=[phrase])) == 1


# --- who has it open ----------------------------------------------------------------------------


def test_stores_of_one_process_share_a_collection(tmp_path: Path) -> None:
    first, second = EdgeStore(tmp_path), EdgeStore(tmp_path / ".." / tmp_path.name)
    first.ensure("docs", SCHEMA)
    second.upsert("docs", points(5))
    assert first.count("docs") == 5
    first.close()
    assert second.count("docs") == 5
    with pytest.raises(StoreClosedError, match="closed before"):
        first.count("docs")
    # A store that was forgotten, as in a notebook cell that ran twice, holds nothing.
    del second
    gc.collect()
    assert not registry._open
    with EdgeStore(tmp_path) as third:
        assert third.count("docs") == 5


def test_dropping_closes_it_for_all(tmp_path: Path) -> None:
    with EdgeStore(tmp_path) as first, EdgeStore(tmp_path) as second:
        first.ensure("docs", SCHEMA)
        second.upsert("docs", points(5))
        assert first.drop("docs")
        assert second.collections() == []
        with pytest.raises(StoreError, match="no collection"):
            second.count("docs")
        first.ensure("docs", SCHEMA)
        assert second.count("docs") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["docs"]


def test_another_process_is_kept_out_and_told_by_whom(tmp_path: Path) -> None:
    script = """
        import sys
        from multiqa_integrations.errors import StoreLockedError
        from multiqa_integrations.qdrant import EdgeStore
        for act in ("count", "drop"):
            try:
                getattr(EdgeStore(sys.argv[1]), act)("docs")
            except StoreLockedError as error:
                print(error)
    """
    with EdgeStore(tmp_path) as store:
        store.ensure("docs", SCHEMA)
        store.upsert("docs", points(5))
        other = python(script, tmp_path)
        assert other.stdout.count("is open in another process") == 2, other.stderr
        assert f"process {os.getpid()} on" in other.stdout
        assert store.count("docs") == 5
    assert python(script, tmp_path).stdout == ""


def test_pickled_by_its_path(tmp_path: Path) -> None:
    with EdgeStore(tmp_path) as store:
        twin = pickle.loads(pickle.dumps(store))
        assert twin.path == store.path


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_gets_an_error_and_ends(tmp_path: Path) -> None:
    script = """
        import os, sys, threading
        import numpy as np
        from multiqa_integrations.errors import StoreError
        from multiqa_integrations.qdrant import CollectionSchema, EdgeStore, Point, PointQuery
        store = EdgeStore(sys.argv[1])
        store.ensure("docs", CollectionSchema(fingerprint="f"))
        vector = np.eye(384, dtype=np.float32)[0]
        store.upsert("docs", [Point(1, {"": vector})])
        query = PointQuery(vector=vector)
        store.query("docs", query)
        child = os.fork()
        if child == 0:
            for act in (lambda: store.query("docs", query), lambda: store.count("docs"),
                        lambda: store.upsert("docs", [Point(2, {"": vector})]),
                        lambda: store.delete("docs", ids=[1]),
                        lambda: EdgeStore(sys.argv[1]).count("docs")):
                try:
                    act()
                except StoreError as error:
                    print(type(error).__name__, "after a fork" in str(error), flush=True)
            store.close()
            sys.exit(7)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), len(store.query("docs", query)))
        store.close()
        print(EdgeStore(sys.argv[1]).count("docs"))
    """
    done = python(script, tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        *["StoreLockedError True"] * 5,
        "7 1",
        "1",
    ]


def deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


ODD_KEYS = [
    "",
    "a",
    "a.b",
    "a[0]",
    'q"q',
    "\\",
    "\0",
    "ключ",
    "a b",
    "$",
    "k" * 5_000,
    "\u202e",
    ".",
]
# Not any float: the engine may read one back that is the next to it.
ODD_FLOATS = st.sampled_from([0.5, -0.0, -1e300, math.inf, -math.inf, math.nan])
ODD_VALUES = st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | ODD_FLOATS | st.text()
PAYLOADS = st.dictionaries(
    st.sampled_from(ODD_KEYS) | st.text(),
    st.recursive(
        ODD_VALUES,
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(ODD_KEYS), inner),
        max_leaves=20,
    )
    | st.integers(25, 200).map(deep),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PAYLOADS, min_size=1, max_size=5))
def test_a_payload_is_refused_or_read_again(tmp_path: Path, payloads: list[dict[str, Any]]) -> None:
    """Some that the engine accepts, it cannot read when it opens the collection again."""
    written = {}
    with EdgeStore(tmp_path) as store:
        store.ensure("docs", SCHEMA)
        for number, payload in enumerate(payloads):
            point = Point(number, {"": unit(1)[0]}, payload)
            try:
                store.upsert("docs", [point])
            except WriteRejectedError:
                continue
            written[number] = payload
    with EdgeStore(tmp_path) as store:
        assert {p.id: p.payload for p in store.retrieve("docs", list(written))} == written


# --- pages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("candidates", [None, 20])
def test_any_number_of_pages_is_one_large_page(tmp_path: Path, candidates: int | None) -> None:
    """Also where scores tie, and beyond what the lists of the first page bring to a fusion."""
    dice = np.random.default_rng(5)
    dense = unit(400)
    dense[100:] = np.repeat(dense[:30], 10, axis=0)

    def word() -> SparseVector:
        return SparseVector(dice.choice(40, 3, replace=False).astype(np.uint32), np.ones(3, "f4"))

    with EdgeStore(tmp_path) as store:
        store.ensure("docs", CollectionSchema(fingerprint="f", sparse_name="words"))
        store.upsert(
            "docs", [Point(n, {"": vector, "words": word()}) for n, vector in enumerate(dense)]
        )

        def page(limit: int, offset: int = 0) -> list[tuple[Any, float]]:
            query = PointQuery(
                vector=dense[0],
                sparse=SparseVector(np.arange(5, dtype=np.uint32), np.ones(5, "f4")),
                sparse_name="words",
                limit=limit,
                offset=offset,
                candidates=candidates,
            )
            return [(hit.id, hit.score) for hit in store.query("docs", query)]

        whole = page(400)
        assert len({id for id, _ in whole}) == len(whole) == 400
        assert [score for _, score in whole] == sorted((s for _, s in whole), reverse=True)
        assert [hit for start in range(0, 420, 35) for hit in page(35, start)] == whole


# --- crashes ------------------------------------------------------------------------------------

WRITER = """
    import sys
    import numpy as np
    from multiqa_integrations.qdrant import CollectionSchema, EdgeStore, Point
    store = EdgeStore(sys.argv[1])
    store.ensure("docs", CollectionSchema(fingerprint="f"))
    start = int(sys.argv[2])
    vectors = np.random.default_rng(0).standard_normal((40, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    while True:
        points = [Point(start + n, {"": vectors[n]}, {"n": start + n}) for n in range(40)]
        store.upsert("docs", points)
        start += 40
        print(start, flush=True)
"""


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Killed at 12 random moments, from the first import to the thousandth point."""
    chance = random.Random(11)
    acknowledged = 0
    vector = unit(1)[0]
    for round_ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), str(acknowledged)],
            stdout=subprocess.PIPE,
            encoding="utf-8",
        ) as writer:
            assert writer.stdout is not None
            if round_ % 5:
                for _ in range(chance.randrange(1, 6)):
                    acknowledged = int(writer.stdout.readline())
            else:  # even before the first write
                time.sleep(chance.random() * 0.3)
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout:
                if line.endswith("\n"):
                    acknowledged = int(line)
        if not (tmp_path / "docs").exists():
            continue
        with EdgeStore(tmp_path) as store:
            assert store.count("docs") >= acknowledged
            ids = list(range(acknowledged))
            assert [p.payload["n"] for p in store.retrieve("docs", ids)] == ids
            found = store.query("docs", PointQuery(vector=vector, limit=10))
            assert len(found) == min(10, store.count("docs"))
    assert acknowledged >= 9 * 40
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] != ".") == ["docs"]


def test_a_creation_that_was_killed_leaves_no_half_collection(tmp_path: Path) -> None:
    (tmp_path / ".new-123").mkdir()
    (tmp_path / ".new-123" / "shard-1").mkdir()
    with EdgeStore(tmp_path) as store:
        assert store.collections() == []
        assert store.ensure("docs", SCHEMA).created


TURNS = """
import sys, time
import numpy as np
from multiqa_integrations.errors import StoreLockedError
from multiqa_integrations.qdrant import EdgeStore, Point
path, first = sys.argv[1], int(sys.argv[2])
vector = np.eye(384, dtype=np.float32)[0]
for turn in range(8):
    ids = range(first + 10 * turn, first + 10 * turn + 10)
    while True:
        store = EdgeStore(path)
        try:
            store.upsert("docs", [Point(id, {"": vector}, {"id": id}) for id in ids])
        except StoreLockedError:
            time.sleep(0.002)
            continue
        store.close()
        break
"""


@pytest.mark.slow
def test_processes_that_take_turns_lose_nothing(tmp_path: Path) -> None:
    """The engine gives its lock back before it has written everything at its close."""
    with EdgeStore(tmp_path) as store:
        store.ensure("docs", SCHEMA)
    writers = [
        subprocess.Popen([sys.executable, "-c", TURNS, str(tmp_path), str(1_000 * number)])
        for number in range(3)
    ]
    assert [writer.wait(timeout=280) for writer in writers] == [0, 0, 0]
    with EdgeStore(tmp_path) as store:
        stored, _ = store.scroll("docs", limit=1_000)
    expected = [1_000 * number + id for number in range(3) for id in range(80)]
    assert [point.id for point in stored] == expected


def test_a_drop_that_was_killed_is_finished_at_the_next_opening(tmp_path: Path) -> None:
    with EdgeStore(tmp_path) as store:
        store.ensure("docs", SCHEMA)
        store.ensure("kept", SCHEMA)
    left = tmp_path / f".dropped-{'0' * 32}"
    (tmp_path / "docs").rename(left)
    others = tmp_path / ".dropped-by-me"
    others.mkdir()
    with EdgeStore(tmp_path) as store:
        assert store.collections() == ["kept"]
    assert not left.exists()
    assert others.exists(), "it is not this package's"


# --- optimising ---------------------------------------------------------------------------------


def unindexed(store: EdgeStore) -> int:
    """How many points of "docs" were written since they were last optimised."""
    info = store.info("docs")
    assert info is not None
    assert info.indexed_vectors is not None
    return info.points - info.indexed_vectors


def of_k(value: str) -> models.Filter:
    match = models.MatchValue(value=value)
    return models.Filter(must=[models.FieldCondition(key="k", match=match)])


def fill(store: EdgeStore, count: int) -> None:
    store.ensure("docs", SCHEMA)
    everything = points(count)
    for start in range(0, count, 1000):
        store.upsert("docs", everything[start : start + 1000])


@pytest.mark.slow
def test_optimising_serves_searches_meanwhile_and_changes_no_answer(tmp_path: Path) -> None:
    """18,000 points: enough for the engine to build its graph."""
    with EdgeStore(tmp_path) as store:
        fill(store, 18_000)
        store.delete("docs", ids=[0, 1, 2])
        assert unindexed(store) == 17_997
        exact = PointQuery(vector=unit(1, 1)[0], limit=10, exact=True)
        before = [point.id for point in store.query("docs", exact)]
        stop = threading.Event()
        answers: list[list[Any]] = []

        def search() -> None:
            while not stop.is_set():
                answers.append([point.id for point in store.query("docs", exact)])
                time.sleep(0.02)

        threads = [threading.Thread(target=search) for _ in range(2)]
        for thread in threads:
            thread.start()
        store.optimize("docs")
        stop.set()
        for thread in threads:
            thread.join()
        assert len(answers) > 2
        assert all(answer == before for answer in answers)
        assert unindexed(store) == 0
        info = store.info("docs")
        assert info is not None
        assert info.indexed_vectors == info.points == 17_997
        # The graph finds what comparing with every point finds.
        graph = PointQuery(vector=unit(1, 1)[0], limit=10, hnsw_ef=256)
        assert len({p.id for p in store.query("docs", graph)} & set(before)) >= 9
        assert [store.count("docs", filter=of_k(k)) for k in ("k0", "k1", "k2")] == [5999] * 3
        assert len(list((tmp_path / "docs").glob("shard-*"))) == 1
        store.upsert("docs", points(5, seed=2))
        assert unindexed(store) == 5
    with EdgeStore(tmp_path) as store:
        assert store.count("docs") == 18_000
        assert unindexed(store) < 10


def test_an_optimiser_that_fails_leaves_the_collection_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EdgeStore(tmp_path) as store:
        fill(store, 3_000)
        before = nearest(store)
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(StoreError, match="it is as it was"):
            store.optimize("docs")
        monkeypatch.undo()
        assert nearest(store) == before
        assert unindexed(store) == 3_000
        assert [one.name for one in (tmp_path / "docs").glob("shard-*")] == ["shard-1"]
        store.optimize("docs")
        assert unindexed(store) == 0
        assert nearest(store) == before


def test_a_killed_optimiser_is_cleaned_up_after(tmp_path: Path) -> None:
    with EdgeStore(tmp_path) as store:
        fill(store, 100)
    (tmp_path / "docs" / "shard-dead").mkdir()
    (tmp_path / "docs" / "shard-dead" / "half").write_text("x")
    with EdgeStore(tmp_path) as store:
        assert store.count("docs") == 100
    assert [one.name for one in (tmp_path / "docs").glob("shard-*")] == ["shard-1"]


def test_few_points_are_optimised_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with EdgeStore(tmp_path) as store:
        fill(store, 500)
        store.optimize("docs")
        assert unindexed(store) == 0


def test_optimised_when_enough_is_new(tmp_path: Path) -> None:
    with EdgeStore(tmp_path) as store:
        fill(store, 100)
        store.optimize("docs", minimum=101)
        assert unindexed(store) == 100
        store.optimize("docs", minimum=100, share=0.5)
        assert unindexed(store) == 0
        store.upsert("docs", points(60, seed=2))  # in the place of others
        store.optimize("docs", minimum=10, share=0.7)
        assert unindexed(store) == 60
        store.optimize("docs", minimum=10, share=0.6)
        assert unindexed(store) == 0


@pytest.mark.slow
def test_what_is_new_gets_a_graph_of_its_own_until_all_are_merged(tmp_path: Path) -> None:
    """8,000 points at a time: enough for the engine to build a graph of each."""
    everything = points(16_000)
    exact = PointQuery(vector=unit(1, 1)[0], limit=10, exact=True)

    def write(store: EdgeStore, first: int) -> None:
        for start in range(first, first + 8_000, 1000):
            store.upsert("docs", everything[start : start + 1000])
        store.optimize("docs", minimum=8_000, merge=False)
        assert unindexed(store) == 0

    def graphs(store: EdgeStore) -> tuple[int, int]:
        info = store.info("docs")
        assert info is not None
        assert info.indexed_vectors == info.details["in_graph"] == info.points
        return info.details["segments"], info.points

    with EdgeStore(tmp_path) as store:
        store.ensure("docs", SCHEMA)
        write(store, 0)
        assert graphs(store) == (2, 8_000)  # the other is for what is to come
        write(store, 8_000)
        assert graphs(store) == (3, 16_000)
        found = [one.id for one in store.query("docs", exact)]
    with EdgeStore(tmp_path) as store:
        assert [one.id for one in store.query("docs", exact)] == found
        store.optimize("docs", minimum=16_001)
        assert graphs(store) == (3, 16_000)
        store.optimize("docs", minimum=16_000)
        assert graphs(store) == (2, 16_000)
        assert [one.id for one in store.query("docs", exact)] == found
        assert unindexed(store) == 0
    settings = json.loads(next((tmp_path / "docs").glob("shard-*/edge_config.json")).read_text())
    assert settings["optimizers"]["default_segment_number"] == 1


@pytest.mark.slow
def test_what_is_new_gets_a_graph_as_the_user_wants_it(tmp_path: Path) -> None:
    import qdrant_edge as edge

    everything = points(8_000)
    with EdgeStore(tmp_path) as store:
        store.ensure("docs", SCHEMA, hnsw_config=edge.HnswIndexConfig(8, 50, 10_000))
        settings = next((tmp_path / "docs").glob("shard-*/edge_config.json")).read_text()
        for start in range(0, 8_000, 1000):
            store.upsert("docs", everything[start : start + 1000])
        store.optimize("docs", merge=False)
        info = store.info("docs")
        assert info is not None
        assert info.details["in_graph"] == 8_000
    after = next((tmp_path / "docs").glob("shard-*/edge_config.json")).read_text()
    assert after == settings


def test_many_payloads_are_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(Shard, "_read_ahead", lambda _, pattern: read.append(pattern))
    with EdgeStore(tmp_path) as store:
        fill(store, 3_000)
        store.scroll("docs", limit=3_000, with_payload=False)
        store.scroll("docs", limit=3_000)
        assert read == ["vector_storage/quantized*"]
        store.scroll("docs", limit=2_000)
        store.scroll("docs", limit=3_000)
        assert read == ["vector_storage/quantized*", "payload_storage/page_*"]


async def test_optimising_never_holds_the_event_loop(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path)
    await asyncio.to_thread(fill, store, 3_000)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    turning = asyncio.create_task(turn())
    await store.aoptimize("docs")
    turning.cancel()
    assert turns > 5
    await store.aclose()
