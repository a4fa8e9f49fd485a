"""`multiqa alias`: let an alias stand for another collection."""

from __future__ import annotations

from typing import Annotated

import typer

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.options import CollectionName, DryRun, StoreOptions, options


@options
def alias(
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="The name that programs use.")],
    name: CollectionName,
    store: StoreOptions,
    dry_run: DryRun = False,
) -> None:
    """Point an alias at a collection.

    It happens atomically: programs that use the alias as a collection's name find the old or the
    new one, never none.
    """
    with store.open() as opened:
        info = store.find(opened, name)
        if dry_run:
            before = opened.aliases().get(alias, "nothing")
            points = terminal.count(info.points, "point")
            terminal.echo(
                f"{alias} would stand for {name} ({points}) instead of {before}. "
                "Nothing was changed."
            )
            return
        before = opened.swap(alias, name) or "nothing"
    terminal.echo(f"{alias} stands for {name} now; it stood for {before}")
