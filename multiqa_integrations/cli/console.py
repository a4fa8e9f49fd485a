"""Where the commands print."""

from __future__ import annotations

from rich.console import Console


def new_console() -> Console:
    """Make a console; what is piped is not broken at 80 columns."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=200)
