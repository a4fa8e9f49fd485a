"""`multiqa collection drop`."""

from __future__ import annotations

from typing import Annotated

import typer

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.options import AsJson, CollectionName, StoreOptions, options


@options
def drop(
    name: CollectionName,
    *,
    store: StoreOptions,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Drop it with the aliases that stand for it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a collection with all its points.

    Asks first. A collection for which an alias stands is kept unless --force is given.
    """
    with store.open() as opened:
        info, aliases = store.find(opened, name), opened.aliases()
        standing = [alias for alias, collection in aliases.items() if collection == name]
        refused = name in aliases or (standing and not force)
        question = f"Delete {name} with its {terminal.count(info.points, 'point')}?"
        if not (yes or refused or terminal.confirm(question)):
            terminal.show_error(f"{name} was kept.")
            raise typer.Exit(1)
        opened.drop(name, force=force)
    also = f", with {', '.join(standing)}" if standing else ""
    values = {"collection": name, "points": info.points, "aliases": standing}
    terminal.echo_result(f"{name}: dropped{also}", values, as_json=as_json)
