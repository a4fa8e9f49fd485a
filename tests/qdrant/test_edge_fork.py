"""Whatever a forked child does with a collection that it inherited, the parent's stays whole."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support import edge_fork_cases

QUICK = {"exits", "closes", "uses"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[] if case in QUICK else [pytest.mark.slow])
        for case in edge_fork_cases.CASES
    ],
)
def test_the_parents_collection_stays_whole(case: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", edge_fork_cases.__name__, case, str(tmp_path), "3"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.stdout == "right\n", done.stderr


def test_a_child_opens_the_collection_once_its_parent_has_closed_it(tmp_path: Path) -> None:
    """The child's copy of the parent's lock does not keep the parent out either."""
    script = """
        import os, sys
        import numpy as np
        from multiqa_integrations.qdrant import CollectionSchema, EdgeStore, Point
        store = EdgeStore(sys.argv[1])
        store.ensure("docs", CollectionSchema(fingerprint="f"))
        to_child, to_parent = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            os.read(to_child[0], 1)
            store.upsert("docs", [Point(1, {"": np.eye(384, dtype=np.float32)[0]})])
            store.close()
            os.write(to_parent[1], b".")
            os.read(to_child[0], 1)
            sys.exit(0)
        store.close()
        os.write(to_child[1], b".")
        os.read(to_parent[0], 1)
        with EdgeStore(sys.argv[1]) as again:
            print(again.count("docs"))
        os.write(to_child[1], b".")
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["1", "0"], done.stderr
