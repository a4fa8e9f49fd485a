"""Optimise an embedded collection's files in a process of its own.

`python -I optimize.py DIRECTORY [--keep-segments] [LIBRARY...]`: the engine holds the interpreter
for as long as this takes, seconds to minutes, so that no other thread of the process would run.

Run as a file, it imports nothing of this package: the engine comes from the library directories
that are named, and nothing is imported from the working directory.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

_KEEP = "--keep-segments"
_ANY_NUMBER = 1_000_000


def main(directory: str, *options: str) -> None:
    """Load the engine's files, optimise, write, close.

    With "--keep-segments" what has a graph is left as it is, and what is new gets one of its own.
    """
    sys.path += [option for option in options if option != _KEEP]
    import qdrant_edge

    with _no_merging(directory) if _KEEP in options else contextlib.nullcontext():
        shard = qdrant_edge.EdgeShard.load(directory)
        shard.optimize()
        shard.flush()
        shard.close()
    sys.stdout.write("optimized\n")


@contextlib.contextmanager
def _no_merging(directory: str) -> Iterator[None]:
    """Lift the limit on segments, which is a setting stored beside the files, for a while."""
    file = Path(directory) / "edge_config.json"
    before = file.read_text(encoding="utf-8")
    settings = json.loads(before)
    # Where a collection was made with a graph of the user's own, the file has no "optimizers".
    optimizers = settings.get("optimizers") or {}
    settings["optimizers"] = {**optimizers, "default_segment_number": _ANY_NUMBER}
    file.write_text(json.dumps(settings), encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(before, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
