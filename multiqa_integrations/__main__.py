"""`multiqa`, also as `python -m multiqa_integrations`."""

from __future__ import annotations

import os
import signal
import sys

from multiqa_integrations._optional import missing_dependency_error
from multiqa_integrations.errors import MissingDependencyError


def main() -> None:
    """Run the command line; exits with its status."""
    # Before the imports, which take a second: the first process of a container is not ended by
    # SIGTERM unless it says how.
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    try:
        from multiqa_integrations.cli import run
    except MissingDependencyError as error:
        sys.exit(f"error: {error}")
    except ModuleNotFoundError as error:
        missing = missing_dependency_error(error, purpose="the command line")
        if missing is None:
            raise
        sys.exit(f"error: {missing}")
    except KeyboardInterrupt:  # the command line's own handler is not there yet
        sys.stderr.write("interrupted\n")
        sys.exit(128 + signal.SIGINT)
    run()


if __name__ == "__main__":
    main()
