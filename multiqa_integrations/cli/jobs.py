"""What `sync`, `plan`, `verify`, `replay`, `copy` and `reembed` share."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import typer

from multiqa_integrations.cli import terminal
from multiqa_integrations.errors import (
    CollectionMismatchError,
    ConfigurationError,
    LeaseError,
    MissingDependencyError,
    ModelError,
    MultiQAError,
    PruneRefusedError,
    SourceError,
    StoreError,
    StoreLimitError,
    StorePermissionError,
)
from multiqa_integrations.qdrant.failures import CollectionBrokenError

if TYPE_CHECKING:
    from multiqa_integrations.etl import Rejection

COMPLETE, USAGE, INCOMPLETE, REFUSED, UNAVAILABLE, FORBIDDEN = 0, 2, 3, 4, 5, 6
"""Exit statuses; that of a job stopped by a signal is 128 and the signal's number."""


@contextmanager
def exit_statuses() -> Iterator[None]:
    """Turn errors into messages and the exit statuses of jobs."""
    try:
        yield
    except MultiQAError as error:
        terminal.show_error(error)
        raise typer.Exit(_status(error)) from error


@contextmanager
def showing_report(show: Callable[[Any], None] | None = None, *, as_json: bool) -> Iterator[None]:
    """Show what was done before the error that ends a job, then let the error pass."""
    try:
        yield
    except MultiQAError as error:
        if as_json:
            done = {} if error.report is None else error.report.to_dict()
            terminal.echo_json({**done, "error": str(error)})
        elif show is not None and error.report is not None:
            show(error.report)
        raise


def _status(error: MultiQAError) -> int:
    if isinstance(error, PruneRefusedError | CollectionMismatchError | LeaseError):
        return REFUSED
    if isinstance(error, StorePermissionError | StoreLimitError | CollectionBrokenError):
        return FORBIDDEN  # trying later does not help: a person must act
    if isinstance(error, StoreError | ModelError):
        return UNAVAILABLE
    if isinstance(error, SourceError):
        return USAGE if error.line is None else INCOMPLETE
    if isinstance(error, ConfigurationError | MissingDependencyError):
        return USAGE
    return INCOMPLETE


class Signals:
    """Lets the first Ctrl-C or SIGTERM end a job after its current batch, the second at once.

    Attributes:
        stop: Set by the first.
        received: The signal's number, or None.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.received: int | None = None

    def __enter__(self) -> Signals:
        self._handlers = {
            number: signal.signal(number, self._handle)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if isinstance(error, MultiQAError | KeyboardInterrupt):
            self.check()  # whatever the stop has cut short: it was the signal

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.stop.is_set():
            raise KeyboardInterrupt
        self.received = number
        self.stop.set()
        _end_standard_input()
        # Not through rich: a handler may run while a console holds its lock.
        sys.stderr.write("\nfinishing the current batch; press Ctrl-C again to stop at once\n")

    def check(self) -> None:
        """Exit with the signal's status, if there was one."""
        if self.received is not None:
            raise typer.Exit(128 + self.received)


def _end_standard_input() -> None:
    """Let a job that waits for the next line of standard input find its end instead."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def show_counts(
    counts: Mapping[str, int], rejections: Sequence[Rejection], dead_letter: Path | None = None
) -> None:
    """Print the counts that are not zero, and the first rejections."""
    width = max((len(f"{count:,}") for count in counts.values()), default=0)
    for label, count in counts.items():
        if count:
            terminal.echo(f"  {count:>{width},} {label}")
    for rejection in rejections[:5]:
        terminal.echo(f"    line {rejection.line:,}: {rejection.reason}")
    if rejections and dead_letter is not None:
        terminal.echo(f"    all of them are in {dead_letter}; retry them with multiqa replay")
