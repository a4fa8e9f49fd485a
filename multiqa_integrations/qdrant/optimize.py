"""Optimise an embedded collection's files in a process of its own.

`python -m multiqa_integrations.qdrant.optimize DIRECTORY`: the engine holds the interpreter for
as long as this takes, seconds to minutes, so that no other thread of the process would run.
"""

from __future__ import annotations

import sys


def main(directory: str) -> None:
    """Load the engine's files, optimise, write, close."""
    import qdrant_edge

    shard = qdrant_edge.EdgeShard.load(directory)
    shard.optimize()
    shard.flush()
    shard.close()


if __name__ == "__main__":
    main(sys.argv[1])
