"""`multiqa collection`: one file per command."""

from __future__ import annotations

import typer

from multiqa_integrations.cli.collection.check import check
from multiqa_integrations.cli.collection.create import create
from multiqa_integrations.cli.collection.drop import drop
from multiqa_integrations.cli.collection.info import info
from multiqa_integrations.cli.collection.list import list_

app = typer.Typer(
    name="collection",
    help="Manage collections.",
    no_args_is_help=True,
)
for command in (create, check, info):
    app.command()(command)
app.command("list")(list_)
app.command()(drop)
