"""`multiqa`, also as `python -m multiqa_integrations`."""

from __future__ import annotations

import sys

from multiqa_integrations._optional import require
from multiqa_integrations.errors import MissingDependencyError


def main() -> None:
    """Run the command line; exits with its status."""
    try:
        require("typer", purpose="the command line")
        require("rich", purpose="the command line")
    except MissingDependencyError as error:
        sys.exit(f"error: {error}")
    from multiqa_integrations.cli import run

    run()


if __name__ == "__main__":
    main()
