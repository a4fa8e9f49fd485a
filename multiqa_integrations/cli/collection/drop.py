"""`multiqa collection drop`."""

from __future__ import annotations

from typing import Annotated

import typer

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.options import AsJson, CollectionName, StoreOptions, options
from multiqa_integrations.qdrant.failures import CollectionBrokenError, RefusedError


@options
def drop(
    name: CollectionName,
    *,
    store: StoreOptions,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Drop it with the aliases that point at it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a collection with all its points.

    Asks first. A collection that an alias points at is kept unless --force is given.
    """
    with store.open() as opened:
        points: int | None
        try:
            points = store.find(opened, name).points
            size = terminal.count(points, "point")
        except CollectionBrokenError:
            points, size = None, "points, of which the server cannot read any"
        aliases = opened.aliases()
        standing = [alias for alias, collection in aliases.items() if collection == name]
        if standing and not force:
            raise RefusedError(
                f"{name} was not dropped: searches find it by the alias {', '.join(standing)}. "
                f"Point the alias at another collection first (multiqa alias {standing[0]} NAME), "
                "or drop both with --force."
            )
        question = f"Delete {name} with its {size}?"
        if not (yes or name in aliases or terminal.confirm(question)):  # drop() refuses aliases
            raise RefusedError(f"{name} was kept. Answer y, or pass --yes.")
        opened.drop(name, force=force)
    also = f", with {', '.join(standing)}" if standing else ""
    values = {"collection": name, "points": points, "aliases": standing}
    terminal.echo_result(f"{name}: dropped{also}", values, as_json=as_json)
