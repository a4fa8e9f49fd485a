"""`multiqa collection`: one file per command."""

from __future__ import annotations

from typing import ClassVar

import typer

from multiqa_integrations.cli.group import Group


class _Commands(Group):
    package = __name__
    summaries: ClassVar = {
        "create": "Create a collection for the model.",
        "check": "Check whether a collection fits the model, and all its points.",
        "info": "Show what a collection is.",
        "list": "List the collections and their aliases.",
        "drop": "Delete a collection with all its points.",
    }


app = typer.Typer(
    name="collection",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def _options() -> None:
    """Manage collections."""
