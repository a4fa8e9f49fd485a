"""What `sync`, `plan`, `verify`, `replay`, `copy`, `reembed` and `collection check` share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.signals import Signals as Signals
from multiqa_integrations.errors import (
    ClusterError,
    CollectionMismatchError,
    CollectionNotFoundError,
    ConfigurationError,
    LeaseError,
    MissingDependencyError,
    ModelError,
    MultiQAError,
    PruneRefusedError,
    SourceError,
    SourcePermissionError,
    SourceUnavailableError,
    StoreError,
    StoreLimitError,
    StorePermissionError,
)
from multiqa_integrations.qdrant.failures import CollectionBrokenError, RefusedError

if TYPE_CHECKING:
    from multiqa_integrations.etl import Rejection

COMPLETE, FAILED, USAGE, INCOMPLETE, REFUSED, UNAVAILABLE, FORBIDDEN = 0, 1, 2, 3, 4, 5, 6
"""Exit statuses; that of a job stopped by a signal is 128 and the signal's number."""

_A_PERSON_MUST_ACT = (  # trying later does not help
    CollectionBrokenError,
    SourcePermissionError,
    StoreLimitError,
    StorePermissionError,
)
_MAY_PASS = (ClusterError, LeaseError, ModelError, SourceUnavailableError, StoreError)


@contextmanager
def exit_statuses() -> Iterator[None]:
    """Turn errors into messages and the exit statuses of jobs."""
    try:
        yield
    except MultiQAError as error:
        terminal.show_error(error)
        raise typer.Exit(_job_status(error)) from error


@contextmanager
def showing_report(show: Callable[[Any], None], *, as_json: bool) -> Iterator[None]:
    """Show what was done before the error that ends a job, then let the error pass."""
    try:
        yield
    except (MultiQAError, KeyboardInterrupt) as error:
        report = getattr(error, "report", None)
        if as_json:
            done = {} if report is None else report.to_dict()
            terminal.echo_json({**done, "error": str(error) or "interrupted"})
        elif report is not None:
            show(report)
        raise


def status(error: MultiQAError) -> int:
    """Return the exit status of an error: what is to be done about it."""
    if isinstance(error, PruneRefusedError | CollectionMismatchError | RefusedError):
        return REFUSED
    if isinstance(error, _A_PERSON_MUST_ACT):
        return FORBIDDEN
    if isinstance(error, CollectionNotFoundError):
        return INCOMPLETE  # waiting makes none; a sync does
    if isinstance(error, _MAY_PASS):
        return UNAVAILABLE
    # Without a line there is no such source.
    no_source = isinstance(error, SourceError) and error.line is None
    return USAGE if no_source or isinstance(error, ConfigurationError) else FAILED


def _job_status(error: MultiQAError) -> int:
    if isinstance(error, MissingDependencyError):
        return USAGE
    general = status(error)
    return INCOMPLETE if general == FAILED else general


def show_counts(
    counts: Mapping[str, int],
    rejections: Sequence[Rejection],
    dead_letter: Path | None = None,
    *,
    unwritten: int = 0,
) -> None:
    """Print the counts that are not zero, and the first rejections."""
    width = max((len(f"{count:,}") for count in counts.values()), default=0)
    for label, count in counts.items():
        if count:
            terminal.echo(f"  {count:>{width},} {label}")
    for rejection in rejections[:5]:
        terminal.echo(f"    {rejection.place}: {rejection.reason}")
    if rejections and dead_letter is not None and dead_letter.is_file():
        which = "those that could be written" if unwritten else "all of them"
        terminal.echo(f"    {which} are in {dead_letter}; retry them with multiqa replay")
