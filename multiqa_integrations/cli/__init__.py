"""The command line: one file per command, which parses, wires and prints."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import warnings
from typing import Annotated

import typer
import typer.main

from multiqa_integrations import __version__
from multiqa_integrations._optional import missing_dependency_error
from multiqa_integrations.cli import collection, jobs, terminal
from multiqa_integrations.cli.alias import alias
from multiqa_integrations.cli.bench import bench
from multiqa_integrations.cli.copy import copy
from multiqa_integrations.cli.demo import demo
from multiqa_integrations.cli.doctor import doctor
from multiqa_integrations.cli.download import download
from multiqa_integrations.cli.encode import encode
from multiqa_integrations.cli.evaluate import evaluate
from multiqa_integrations.cli.options import Command
from multiqa_integrations.cli.plan import plan
from multiqa_integrations.cli.reembed import reembed
from multiqa_integrations.cli.replay import replay
from multiqa_integrations.cli.search import search
from multiqa_integrations.cli.signals import Signals, end_in_time
from multiqa_integrations.cli.sync import sync
from multiqa_integrations.cli.train import train
from multiqa_integrations.cli.variables import unknown_variables
from multiqa_integrations.cli.verify import verify
from multiqa_integrations.errors import MultiQAError
from multiqa_integrations.qdrant.retry import retrying

__all__ = ["app", "command", "run"]

app = typer.Typer(
    name="multiqa",
    help="Semantic search with multi-qa-MiniLM-L6-cos-v1.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # plain help: nothing in it is markup, and no width cuts it
    pretty_exceptions_enable=False,  # a traceback of a bug is for a bug report: keep it plain
)
for function in (
    *(demo, search, encode, plan, sync, verify, replay),
    *(copy, alias, reembed, download, doctor, bench, evaluate, train),
):
    app.command(cls=Command)(function)
app.add_typer(collection.app)

# Of click, or of the copy of it that typer has by now.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def _show_version(requested: bool) -> None:
    if requested:
        terminal.echo(f"multiqa-integrations {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show neither progress nor warnings.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what the libraries log.")
    ] = False,
) -> None:
    """Semantic search with multi-qa-MiniLM-L6-cos-v1."""
    terminal.quiet = quiet
    if quiet:
        warnings.simplefilter("ignore")
    level = logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, handlers=[terminal.LogHandler()])
    for note in unknown_variables():
        terminal.show_warning(note)


command = typer.main.get_command(app)
"""All of it; the documentation's reference is made of this."""


def run() -> None:
    """Run the command line and exit with its status.

    Expected errors are shown as one message: status 2 for wrong usage, 1 for the rest.
    """
    warnings.showwarning = terminal.show_warning
    sys.excepthook = terminal.show_traceback
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # not every terminal shows UTF-8
    end_in_time()
    # Requests are not waited for after a signal: also those that give a lease back, say.
    with Signals(finishes=False) as signals, retrying(stop=signals.stop):
        status = _status()
        if signals.received is not None:
            status = 128 + signals.received
    if status == 128 + signal.SIGINT:
        terminal.stderr().print("interrupted")
    elif status == 128 + signal.SIGTERM:
        terminal.stderr().print("stopped by SIGTERM")
    sys.exit(status)


def _status() -> int:
    try:
        # Not app(): that would install an excepthook of its own.
        status: int | None = command(prog_name="multiqa", standalone_mode=False)
        sys.stdout.flush()
    except _UsageError as error:
        terminal.show_usage_error(error)
        return 2
    except ModuleNotFoundError as error:
        missing = missing_dependency_error(error, purpose=f"multiqa {' '.join(sys.argv[1:2])}")
        if missing is None:
            raise
        terminal.show_error(missing)
        return 1
    except MultiQAError as error:
        terminal.show_error(error)
        return jobs.status(error)
    except BrokenPipeError:
        # The reader has enough, such as `head`; what is left to flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # such as a full disk
        terminal.show_error(error)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return 128 + signal.SIGINT
    return status or 0
