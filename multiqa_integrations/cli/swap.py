"""`multiqa swap`: let an alias stand for another collection."""

from __future__ import annotations

from typing import Annotated

import typer

from multiqa_integrations.cli.options import CollectionName, Directory, DryRun, Url, open_at
from multiqa_integrations.errors import StoreError


def swap(
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="The name that programs use.")],
    name: CollectionName,
    url: Url = None,
    path: Directory = None,
    dry_run: DryRun = False,
) -> None:
    """Let an alias stand for a collection, from one moment to the next.

    Programs that use the alias as a collection's name find the one or the other, never none.
    """
    with open_at(url, path) as store:
        if dry_run:
            info = store.info(name)
            if info is None:
                raise StoreError(f"there is no collection {name!r}.")
            before = store.aliases().get(alias, "nothing")
            typer.echo(
                f"{alias} would stand for {name} ({info.points:,} points) instead of {before}. "
                "Nothing was changed."
            )
            return
        before = store.swap(alias, name) or "nothing"
    typer.echo(f"{alias} stands for {name} now; it stood for {before}")
