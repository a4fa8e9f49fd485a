"""What `sync`, `plan`, `verify` and `replay` share: options, progress, exit statuses."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from multiqa_integrations.cli.options import open_at, parse_indexes
from multiqa_integrations.encoder import MultiQAEncoder
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
)
from multiqa_integrations.model import MULTI_QA

if TYPE_CHECKING:
    from multiqa_integrations.etl import JobOptions, Progress

COMPLETE, USAGE, INCOMPLETE, REFUSED, UNAVAILABLE = 0, 2, 3, 4, 5
"""Exit statuses; one that a signal ended has 128 and the signal's number."""

_LINE_SECONDS = 10.0

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A .jsonl, .csv, .tsv (also .gz), .parquet, .arrow or .feather file, a folder of "
        "documents, or - for standard input.",
    ),
]
CollectionOption = Annotated[
    str, typer.Option("--collection", "-c", metavar="NAME", help="The collection.")
]
SourceName = Annotated[
    str,
    typer.Option(
        help="Names the source, for ever: its documents are told from those of other sources of "
        "the collection by it."
    ),
]
IdField = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="FIELD", help="Field of the id.", show_default="id, else _id"),
]
TextField = Annotated[str, typer.Option(metavar="FIELD", help="Field of the text.")]
TitleField = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="FIELD", help="Field of a title that is put before each passage."),
]
Metadata = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="FIELD,...",
        help='Fields that are stored as metadata; "" is none.',
        show_default="all others",
    ),
]
Format = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        help="jsonl, csv, tsv, parquet, arrow or folder.", show_default="by the file's name"
    ),
]
Glob = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="PATTERN", help='Files of a folder, such as "guides/**/*.md".'),
]
ChunkTokens = Annotated[int, typer.Option(help="Most word pieces of a passage.")]
Overlap = Annotated[int, typer.Option(help="Word pieces that a passage repeats.")]
MaxCharacters = Annotated[int, typer.Option(help="Longer texts are rejected.")]
Shard = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="I/N", help="Only part I of N of the documents, from 0, by a hash of their ids."
    ),
]
Limit = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(help="Only the first so many records."),
]
Sparse = Annotated[
    Optional[bool],  # noqa: UP045
    typer.Option(
        "--sparse/--no-sparse",
        help="Whether a new collection can be searched by words too.",
        show_default="no",
    ),
]
VectorName = Annotated[str, typer.Option(help="Name of the vector; it has none by default.")]
Prune = Annotated[
    bool, typer.Option("--prune", help="Delete documents that the source no longer has.")
]
MaxDeleteShare = Annotated[
    float, typer.Option(help="Largest share of the source's documents that --prune deletes.")
]
AllowEmpty = Annotated[
    bool, typer.Option("--allow-empty", help="Let --prune delete all if the source is empty.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@contextmanager
def job_options(parameters: Mapping[str, Any]) -> Iterator[JobOptions]:
    """Make a job's options of the command's parameters; opens the store and closes it."""
    from multiqa_integrations.etl import Fields

    options: JobOptions = {
        "encoder": MultiQAEncoder(
            parameters["model"] or MULTI_QA.name,
            backend=parameters["backend"],
            dtype=parameters["dtype"],
            device=parameters["device"],
            local_files_only=parameters["offline"],
        ),
        "max_characters": parameters["max_characters"],
        "sparse": parameters["sparse"],
        "vector_name": parameters["vector_name"],
        "payload_indexes": parse_indexes(parameters["index"]),
    }
    if "source_name" in parameters:
        metadata = parameters["metadata"]
        options |= {
            "source_name": parameters["source_name"],
            "fields": Fields(
                id=parameters["id_field"],
                text=parameters["text_field"],
                title=parameters["title_field"],
                metadata=None
                if metadata is None
                else [name.strip() for name in metadata.split(",") if name.strip()],
            ),
            "format": parameters["format"],
            "glob": parameters["glob"],
            "chunk_size": parameters["chunk_tokens"],
            "chunk_overlap": parameters["overlap"],
            "shard": _shard(parameters["shard"]),
            "limit": parameters.get("limit"),
        }
    with open_at(parameters["url"], parameters["path"]) as store:
        yield {**options, "store": store}


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal()):
        raise ConfigurationError(f"--shard is {text!r}, expected I/N such as 0/4.")
    return int(part), int(parts)


@contextmanager
def exit_statuses() -> Iterator[None]:
    """Turn errors into messages and the exit statuses of jobs."""
    try:
        yield
    except MultiQAError as error:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print("[bold red]error:[/bold red] ", end="")
        console.print(str(error), markup=False)
        raise typer.Exit(_status(error)) from error


def _status(error: MultiQAError) -> int:
    if isinstance(error, PruneRefusedError | CollectionMismatchError | LeaseError):
        return REFUSED
    if isinstance(error, StoreError | ModelError):
        return UNAVAILABLE
    if isinstance(error, SourceError):
        return USAGE if error.line is None else INCOMPLETE
    if isinstance(error, ConfigurationError | MissingDependencyError):
        return USAGE
    return INCOMPLETE


class Signals:
    """Lets the first Ctrl-C or SIGTERM end a job after the batch in hand, the second at once.

    Attributes:
        stop: Set by the first.
        received: The signal's number, or None.
    """

    def __init__(self) -> None:
        """Begin."""
        self.stop = threading.Event()
        self.received: int | None = None

    def __enter__(self) -> Signals:
        self._before = {
            one: signal.signal(one, self._handle) for one in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for one, before in self._before.items():
            signal.signal(one, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.stop.is_set():
            raise KeyboardInterrupt
        self.received = number
        self.stop.set()
        _end_standard_input()
        sys.stderr.write("\nfinishing the batch in hand; once more to end at once\n")

    def check(self) -> None:
        """Exit with the signal's status, if there was one."""
        if self.received is not None:
            raise typer.Exit(128 + self.received)


def _end_standard_input() -> None:
    """Let a job that waits for the next line of standard input find its end instead."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


class ShowProgress:
    """Shows a job's progress: a bar on a terminal, elsewhere a line every ten seconds."""

    def __init__(self) -> None:
        """Begin."""
        self._began = self._told = time.monotonic()
        self._stack = ExitStack()
        self._bar: Bar | None = None

    def __enter__(self) -> ShowProgress:
        console = Console(stderr=True)
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[said]}"),
                TimeRemainingColumn(),
            )
            self._bar = self._stack.enter_context(Bar(*columns, console=console, transient=True))
            self._task = self._bar.add_task("reading", total=None, said="")
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def __call__(self, progress: Progress) -> None:
        """Show how far a job is."""
        now = time.monotonic()
        seconds = max(now - self._began, 1e-9)
        said = f"{progress.records:,} records, {progress.records / seconds:,.0f}/s"
        if progress.rejected:
            said += f", {progress.rejected:,} rejected"
        fraction = progress.fraction if progress.phase == "reading" else None
        if self._bar is not None:
            self._bar.update(
                self._task,
                description=progress.phase,
                said=said,
                total=None if fraction is None else 1.0,
                completed=fraction or 0.0,
            )
        elif now - self._told >= _LINE_SECONDS:
            self._told = now
            if fraction:
                said += f", {fraction:.0%}, {seconds * (1 / fraction - 1):,.0f} s left"
            sys.stderr.write(f"{progress.phase}: {said}\n")


def say(lines: Mapping[str, int], rejections: list[Any], dead_letter: Path | None = None) -> None:
    """Print what was counted, and the first rejections."""
    width = max((len(f"{count:,}") for count in lines.values()), default=0)
    for what, count in lines.items():
        if count:
            typer.echo(f"  {count:>{width},} {what}")
    for rejection in rejections[:5]:
        typer.echo(f"    line {rejection.line:,}: {rejection.reason}")
    if rejections and dead_letter is not None:
        typer.echo(f"    all of them are in {dead_letter}; multiqa replay takes them up again")
