"""A process that holds an embedded collection forks children while a thread of it writes.

    python edge_fork_cases.py CASE DIRECTORY ROUNDS

Prints "right" if every point is there as it was written, before and after opening it anew.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from multiqa_integrations.errors import StoreLockedError
from multiqa_integrations.qdrant import CollectionSchema, EdgeStore, Point, PointQuery

POINTS = 200
VECTORS = np.random.default_rng(0).standard_normal((POINTS, 384)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)

holder: dict[str, EdgeStore] = {}


def exits() -> None:
    sys.exit(0)


def exits_at_once() -> None:
    os._exit(0)


def closes() -> None:
    holder["store"].close()


def drops() -> None:
    holder.clear()
    gc.collect()


def closes_at_exit() -> None:
    atexit.register(holder["store"].close)
    sys.exit(0)


def fails() -> None:
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115  (of the traceback)
    raise RuntimeError("the child fails")


def has_a_child() -> None:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    drops()


def uses() -> None:
    store, query = holder["store"], PointQuery(vector=VECTORS[0])
    actions: list[Callable[[], object]] = [
        lambda: store.query("docs", query),
        lambda: store.upsert("docs", [Point(1, {"": VECTORS[0]}, {"of": "the child"})]),
        lambda: store.delete("docs", ids=[1]),
        lambda: store.optimize("docs"),
        lambda: store.drop("docs"),
        lambda: EdgeStore(store.path).count("docs"),
    ]
    for action in actions:
        with contextlib.suppress(StoreLockedError):
            action()
            os._exit(3)


def forks(child: Callable[[], None]) -> None:
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        # What follows is what the interpreter does at the end of any program.
        child()
        sys.exit(0)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code == (1 if child is fails else 0), f"the child ended with {code}"


def starts(method: str) -> Callable[[Callable[[], None]], None]:
    def start(child: Callable[[], None]) -> None:
        context: Any = multiprocessing.get_context(method)  # the types know of no Process in it
        process = context.Process(target=child)
        process.start()
        process.join(60)
        assert process.exitcode == 0, f"the child ended with {process.exitcode}"

    return start


def does_nothing() -> None:
    pass


CASES: dict[str, tuple[Callable[[Callable[[], None]], None], Callable[[], None]]] = {
    **{
        child.__name__: (forks, child)
        for child in (
            *(exits, exits_at_once, closes, drops, closes_at_exit),
            *(fails, has_a_child, uses),
        )
    },
    "multiprocessing_fork": (starts("fork"), drops),
    "multiprocessing_forkserver": (starts("forkserver"), does_nothing),
    "multiprocessing_spawn": (starts("spawn"), does_nothing),
}


def check(store: EdgeStore, written: dict[int, dict[str, str]]) -> None:
    points, _ = store.scroll("docs", limit=1_000_000)
    stored = {point.id: point.payload for point in points}
    assert stored == written, f"{len(stored)} points of {len(written)}, or other texts"
    for number in range(0, POINTS, 20):
        best = store.query("docs", PointQuery(vector=VECTORS[number], limit=1))[0]
        assert best.id % 1_000 == number, f"point {number} is not its own neighbour"


def main(case: str, directory: str, rounds: str) -> None:
    start, child = CASES[case]
    store = holder["store"] = EdgeStore(directory)
    store.ensure("docs", CollectionSchema(fingerprint="f"))
    written: dict[int, dict[str, str]] = {}
    ended = threading.Event()
    version = 0

    def wait_for_versions(count: int) -> None:
        last = version + count
        while version < last:
            ended.wait(0.01)

    def write() -> None:
        nonlocal version
        while not ended.is_set():
            first = 20 * (version % (POINTS // 20))
            numbers = range(first, first + 20)
            payloads = {n: {"text": f"version {version} of {n} " * (version % 7)} for n in numbers}
            store.upsert("docs", [Point(n, {"": VECTORS[n]}, payloads[n]) for n in numbers])
            written.update(payloads)
            version += 1

    for round_number in range(int(rounds)):
        # Some that the engine holds in memory at the fork, and that are never written again.
        first = 1_000 * (round_number + 1)
        fresh = {first + n: {"text": f"point {n} of round {round_number}"} for n in range(POINTS)}
        vectors = zip(fresh, VECTORS, strict=True)
        store.upsert("docs", [Point(id, {"": vector}, fresh[id]) for id, vector in vectors])
        written.update(fresh)
        ended.clear()
        writer = threading.Thread(target=write)
        writer.start()
        wait_for_versions(2 * POINTS // 20)
        start(child)
        wait_for_versions(2 * POINTS // 20)
        ended.set()
        writer.join()
        check(store, written)
        store.close()
        store = holder["store"] = EdgeStore(directory)
        check(store, written)
    store.close()
    sys.stdout.write("right\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
