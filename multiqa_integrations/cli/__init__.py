"""The command line: one file a command, each parses, wires and prints; nothing else."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer
from rich.console import Console

from multiqa_integrations import __version__
from multiqa_integrations.cli import collection
from multiqa_integrations.cli.copy import copy
from multiqa_integrations.cli.demo import demo
from multiqa_integrations.cli.doctor import doctor
from multiqa_integrations.cli.download import download
from multiqa_integrations.cli.encode import encode
from multiqa_integrations.cli.evaluate import evaluate
from multiqa_integrations.cli.plan import plan
from multiqa_integrations.cli.reembed import reembed
from multiqa_integrations.cli.replay import replay
from multiqa_integrations.cli.search import search
from multiqa_integrations.cli.swap import swap
from multiqa_integrations.cli.sync import sync
from multiqa_integrations.cli.verify import verify
from multiqa_integrations.errors import MultiQAError

__all__ = ["app", "run"]

app = typer.Typer(
    name="multiqa",
    help="Semantic search with multi-qa-MiniLM-L6-cos-v1.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback of a bug is for a bug report: keep it plain
)
for command in (
    *(demo, search, encode, plan, sync, verify, replay),
    *(copy, swap, reembed, download, doctor, evaluate),
):
    app.command()(command)
app.add_typer(collection.app)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"multiqa-integrations {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Semantic search with multi-qa-MiniLM-L6-cos-v1."""


def run() -> None:
    """Run the command line: errors of this package are shown as one message, status 1."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def show_warning(message: Warning | str, *_: object, **__: object) -> None:
        console.print(f"[yellow]warning:[/yellow] {message}", markup=True)

    warnings.showwarning = show_warning
    try:
        app()
    except MultiQAError as error:
        console.print("[bold red]error:[/bold red] ", end="")
        console.print(str(error), markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("interrupted")
        sys.exit(130)
