"""`multiqa alias`: let an alias stand for another collection."""

from __future__ import annotations

from typing import Annotated

import typer

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.options import CollectionName, DryRun, StoreOptions, options
from multiqa_integrations.errors import StoreError


@options
def alias(
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="The name that programs use.")],
    name: CollectionName,
    store: StoreOptions,
    dry_run: DryRun = False,
) -> None:
    """Point an alias at a collection, atomically.

    Programs that use the alias as a collection's name find the old or the new one, never none.
    """
    with store.open() as opened:
        if dry_run:
            info = opened.info(name)
            if info is None:
                raise StoreError(f"there is no collection {name!r}.")
            before = opened.aliases().get(alias, "nothing")
            terminal.echo(
                f"{alias} would stand for {name} ({info.points:,} points) instead of {before}. "
                "Nothing was changed."
            )
            return
        before = opened.swap(alias, name) or "nothing"
    terminal.echo(f"{alias} stands for {name} now; it stood for {before}")
