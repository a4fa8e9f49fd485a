"""The command line: one file per command, which parses, wires and prints."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import warnings
from contextlib import suppress
from typing import Annotated, ClassVar

import typer
import typer.main

from multiqa_integrations import __version__
from multiqa_integrations._optional import missing_dependency_error
from multiqa_integrations.cli import jobs, terminal
from multiqa_integrations.cli.group import Group
from multiqa_integrations.cli.signals import Signals, end_in_time, tell_end
from multiqa_integrations.cli.variables import unknown_variables
from multiqa_integrations.deadline import is_left_behind
from multiqa_integrations.errors import MultiQAError
from multiqa_integrations.qdrant.retry import retrying

__all__ = ["app", "command", "run"]


class _Commands(Group):
    package = __name__
    summaries: ClassVar = {
        "demo": "Search Python's own documentation.",
        "search": "Query a collection, best hits first.",
        "encode": "Encode texts into vectors.",
        "plan": "Show what a sync would do.",
        "sync": "Make a collection equal to its source.",
        "verify": "Compare a collection with its source.",
        "replay": "Retry rejected records.",
        "copy": "Copy a collection with its vectors.",
        "alias": "Point an alias at a collection.",
        "reembed": "Encode a collection with another model.",
        "download": "Fetch the model and verify every file.",
        "doctor": "Show what is installed and what is set, and test it.",
        "bench": "Measure speed, memory and exactness on this machine.",
        "evaluate": "Measure retrieval quality.",
        "train": "Train the model on pairs of questions and answers.",
        "collection": "Manage collections.",
    }


app = typer.Typer(
    name="multiqa",
    cls=_Commands,
    help="Semantic search with multi-qa-MiniLM-L6-cos-v1.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # plain help: nothing in it is markup, and no width cuts it
    pretty_exceptions_enable=False,  # a traceback of a bug is for a bug report: keep it plain
)

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
    if status in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        tell_end(status - 128)
    if is_left_behind():  # what ends it with the interpreter would wait, though nobody else does
        with suppress(OSError, ValueError):  # whoever read it may be gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
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
