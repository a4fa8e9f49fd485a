"""A process that has used a store of a server, and its children; run by qdrant/test_connection.py.

    python fork_a_store.py URL GIVEN

Prints "done" if the parent and each child got the points that they asked for. With GIVEN, "given",
the store is over a client of the user's, which children must be refused.
"""

from __future__ import annotations

import os
import sys
from uuid import UUID

import numpy as np
from qdrant_client import QdrantClient

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant import Point, Store, open_store

CHILDREN, ROUNDS = 4, 50


def points() -> list[Point]:
    """Return the points that are asked for."""
    vector = np.eye(384, dtype=np.float32)[0]
    return [
        Point(_id(worker, number), {"": vector})
        for worker in range(CHILDREN + 1)
        for number in range(ROUNDS)
    ]


def _id(worker: int, number: int) -> str:
    return str(UUID(int=worker * 1000 + number))


def right_answers(store: Store, worker: int) -> int:
    """Count the answers that are about what was asked."""
    right = 0
    for number in range(ROUNDS):
        wanted = _id(worker, number)
        right += [point.id for point in store.retrieve("docs", [wanted])] == [wanted]
    return right


def child(store: Store, worker: int, given: bool) -> int:
    """Return the exit status of a child: 0 if all is well."""
    if not given:
        return int(right_answers(store, worker) != ROUNDS)
    try:
        store.count("docs")
    except ConfigurationError as error:
        return int("open the store with url=" not in str(error).lower())
    return 1


def main(url: str, given: bool) -> None:
    client = QdrantClient(url=url, check_compatibility=False) if given else None
    store = open_store(client=client) if given else open_store(url=url)
    assert right_answers(store, 0) == ROUNDS
    children = []
    for worker in range(1, CHILDREN + 1):
        pid = os.fork()
        if pid == 0:
            # Not os._exit: everything that Python and the libraries do at exit is done.
            sys.exit(child(store, worker, given))
        children.append(pid)
    assert right_answers(store, 0) == ROUNDS
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert statuses == [0] * CHILDREN, statuses
    store.close()
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] == ["given"])
