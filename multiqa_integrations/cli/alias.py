"""`multiqa alias`: point an alias at a collection."""

from __future__ import annotations

from typing import Annotated

import typer

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.options import AsJson, CollectionName, DryRun, StoreOptions, options


@options
def alias(
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="The name that programs use.")],
    name: CollectionName,
    store: StoreOptions,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Point an alias at a collection.

    It happens atomically: programs that use the alias as a collection's name find the old or the
    new one, never none.
    """
    with store.open() as opened:
        info = store.find(opened, name)
        if dry_run:
            before = opened.aliases().get(alias)
            points = terminal.count(info.points, "point")
            text = (
                f"{alias} would point to {name} ({points}){_instead_of(before, name)}. "
                "Nothing was changed."
            )
        else:
            before = opened.swap(alias, name)
            text = f"{alias} now points to {name}{_instead_of(before, name)}"
    values = {"alias": alias, "collection": name, "before": before, "dry_run": dry_run}
    terminal.echo_result(text, values, as_json=as_json)


def _instead_of(before: str | None, name: str) -> str:
    if before is None:
        return "; the alias is new"
    return ", as before" if before == name else f" instead of {before}"
