"""`multiqa collection list`."""

from __future__ import annotations

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.options import StoreOptions, options


@options
def list_(store: StoreOptions) -> None:
    """List the collections."""
    with store.open() as opened:
        for name in opened.collections():
            terminal.echo(name)
