"""A process that measures one thing: `python -m multiqa_integrations.benchmark.worker`.

Reads `{"job": "module:function", …arguments}` as JSON from standard input and writes what the
function returns as JSON to standard output. What libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import pkgutil
import sys


def main() -> None:
    """Run the job."""
    # Keep the way to the parent, and send everything else that is printed elsewhere.
    parent = os.dup(1)
    os.dup2(2, 1)
    task = json.load(sys.stdin)
    result = pkgutil.resolve_name(task.pop("job"))(**task)
    with os.fdopen(parent, "w", encoding="utf-8") as stream:
        json.dump(result, stream)


if __name__ == "__main__":
    main()
