"""`multiqa collection drop`."""

from __future__ import annotations

from typing import Annotated

import typer

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.options import CollectionName, StoreOptions, options
from multiqa_integrations.errors import StoreError


@options
def drop(
    name: CollectionName,
    store: StoreOptions,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a collection with all its points; asks first."""
    with store.open() as opened:
        info = opened.info(name)
        if info is None:
            raise StoreError(f"there is no collection {name!r}.")
        if not yes and not terminal.confirm(f"Delete {name} with its {info.points:,} points?"):
            terminal.show_error(f"{name} was kept.")
            raise typer.Exit(1)
        opened.drop(name)
    terminal.echo(f"{name}: dropped")
