"""A process that measures one thing: `python -m tests.benchmark.worker`.

Reads `{"job": name, …arguments}` as JSON from standard input and writes the job's result as
JSON to standard output. What libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Run the job."""
    # Keep the way to the parent, and send everything else that is printed elsewhere.
    parent = os.dup(1)
    os.dup2(2, 1)
    arguments = json.load(sys.stdin)
    from tests.benchmark import jobs

    result = jobs.JOBS[arguments.pop("job")](**arguments)
    with open(parent, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor, no path
        json.dump(result, stream)


if __name__ == "__main__":
    main()
