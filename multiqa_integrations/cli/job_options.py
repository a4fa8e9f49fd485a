"""Groups of options of `sync`, `plan`, `verify` and `replay`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from multiqa_integrations.cli.group import NO_ADDRESS
from multiqa_integrations.cli.options import (
    EncoderOptions,
    Index,
    StoreOptions,
    VectorName,
    parse_indexes,
)
from multiqa_integrations.cli.settings import SettingsOptions
from multiqa_integrations.errors import ConfigurationError

if TYPE_CHECKING:
    from multiqa_integrations.etl import JobOptions

Format: TypeAlias = Literal["jsonl", "csv", "tsv", "parquet", "arrow", "folder"]

SourceArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="A .jsonl, .csv, .tsv (also .gz), .parquet, .arrow or .feather file, a folder of "
        "documents, or - for standard input. With --ray also patterns, URIs of object stores, and "
        "several of all these.",
    ),
]
CollectionOption = Annotated[
    str, typer.Option("--collection", "-c", metavar="NAME", help="The collection.")
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Read only this many records.", show_default="all")
]


@dataclass(frozen=True)
class SourceOptions:
    """How the source is read."""

    source_name: Annotated[
        str,
        typer.Option(
            help="Name of the source; never change it. It separates the source's documents from "
            "those of other sources in the collection."
        ),
    ] = "default"
    id_field: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="Field of the id.", show_default="id, else _id"),
    ] = None
    text_field: Annotated[str, typer.Option(metavar="FIELD", help="Field of the text.")] = "text"
    title_field: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="Field of a title to put before each chunk.",
            show_default="no title",
        ),
    ] = None
    metadata: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD,...",
            help='Fields stored as metadata; "" for none.',
            show_default="all others",
        ),
    ] = None
    format: Annotated[
        Format | None, typer.Option(help="Format of the source.", show_default="by its name")
    ] = None
    glob: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help='Which files of a folder to read, such as "guides/**/*.md".',
            show_default="all documents",
        ),
    ] = None
    chunk_size: Annotated[int, typer.Option(help="Largest number of word pieces per chunk.")] = 250
    chunk_overlap: Annotated[
        int, typer.Option(help="Word pieces that each chunk repeats from the one before.")
    ] = 0
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Only part I of N of the documents, from 0, by a hash of their ids.",
            show_default="all documents",
        ),
    ] = None

    def job_options(self) -> JobOptions:
        """Return them as options of a job."""
        from multiqa_integrations.etl import Fields, JobOptions

        metadata = self.metadata
        return JobOptions(
            source_name=self.source_name,
            fields=Fields(
                id=self.id_field,
                text=self.text_field,
                title=self.title_field,
                metadata=None
                if metadata is None
                else [name.strip() for name in metadata.split(",") if name.strip()],
            ),
            format=self.format,
            glob=self.glob,
            chunk_size=self.chunk_size,
            chunk_overlap=self.chunk_overlap,
            shard=_parse_shard(self.shard),
        )


_RAY_PANEL = "Several machines"


@dataclass(frozen=True)
class RayOptions:
    """Where workers are, where there are any."""

    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS|local]",
            help="Use workers on the cluster of Ray at this address; without one, on that which "
            "RAY_ADDRESS names or which runs here; local: on this machine alone. Needs --url.",
            show_default="this process alone",
            rich_help_panel=_RAY_PANEL,
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of workers.",
            show_default="as many as there is room for",
            rich_help_panel=_RAY_PANEL,
        ),
    ] = None
    worker_cpus: Annotated[
        float | None,
        typer.Option(
            help="Processors of each worker.", show_default="1", rich_help_panel=_RAY_PANEL
        ),
    ] = None
    worker_gpus: Annotated[
        float | None,
        typer.Option(
            help="Accelerators of each worker.", show_default="0", rich_help_panel=_RAY_PANEL
        ),
    ] = None

    def arguments(self) -> dict[str, Any] | None:
        """Return them as arguments of `distributed`; None where no workers are wanted.

        Raises:
            ConfigurationError: An option is given that goes with --ray.
        """
        given = {
            "workers": self.workers,
            "worker_cpus": self.worker_cpus,
            "worker_gpus": self.worker_gpus,
        }
        given = {name: value for name, value in given.items() if value is not None}
        if self.ray is not None:
            return {"address": None if self.ray == NO_ADDRESS else self.ray, **given}
        if given:
            names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ConfigurationError(f"{names} without --ray: there are no workers then.")
        return None

    def job(self, name: Literal["sync", "plan", "verify"]) -> Callable[..., Any]:
        """Return the function of a job: of this process, or of one with workers."""
        arguments = self.arguments()
        if arguments is None:
            from multiqa_integrations import etl

            return getattr(etl, name)  # type: ignore[no-any-return]
        from multiqa_integrations import distributed

        return functools.partial(getattr(distributed, name), **arguments)

    def one_source(self, sources: Sequence[str]) -> Any:
        """Return what the job reads.

        Raises:
            ConfigurationError: There are several, and no workers.
        """
        if self.ray is not None:
            return list(sources)
        if len(sources) > 1:
            raise ConfigurationError(
                f"{len(sources)} sources are given, which go with --ray only. Give a folder, or "
                "run the command for each, with a --source-name of its own."
            )
        return sources[0]


@dataclass(frozen=True)
class PruneOptions:
    """What may be deleted."""

    prune: Annotated[
        bool, typer.Option("--prune", help="Delete documents that the source no longer has.")
    ] = False
    max_delete_share: Annotated[
        float,
        typer.Option(help="Largest share of the source's documents that --prune may delete."),
    ] = 0.2
    allow_empty: Annotated[
        bool,
        typer.Option("--allow-empty", help="Let --prune delete everything if the source is empty."),
    ] = False


@dataclass(frozen=True)
class TargetOptions:
    """What the collection is, and what it takes."""

    max_characters: Annotated[
        int, typer.Option(help="Longest text of a document; longer ones are rejected.")
    ] = 5_000_000
    index: Index = None
    sparse: Annotated[
        bool | None,
        typer.Option(
            "--sparse/--no-sparse",
            help="Whether a new collection has the sparse vector of hybrid search.",
            show_default="no",
        ),
    ] = None
    vector_name: VectorName = ""


@contextmanager
def job_options(
    store: StoreOptions,
    encoder: EncoderOptions,
    target: TargetOptions,
    reading: SourceOptions | None = None,
    *,
    limit: int | None = None,
    existing: str | None = None,
    kept: SettingsOptions | None = None,
    connects: bool = True,
) -> Iterator[JobOptions]:
    """Make the options of a job; opens the store, and closes it at the end.

    Args:
        store: Where the collection is.
        encoder: What fills it.
        target: What the collection is.
        reading: How the source is read; None where it is not.
        limit: Only the first so many records.
        existing: A collection that must exist.
        kept: How a new collection is kept.
        connects: Whether this process alone does the job: workers connect by themselves.
    """
    from multiqa_integrations.etl import JobOptions

    options = JobOptions() if reading is None else reading.job_options()
    settings = None if kept is None else kept.made()
    with ExitStack() as stack:
        place: dict[str, Any] = {}
        if connects or existing is not None:
            opened = stack.enter_context(store.open(creates=existing is None))
            if existing is not None:
                store.find(opened, existing)
            place = {"store": opened}
        if not connects:
            place = store.place
        yield replace(
            options,
            **place,
            encoder=encoder.encoder(),
            max_characters=target.max_characters,
            limit=limit,
            sparse=target.sparse,
            vector_name=target.vector_name,
            settings=settings,
            payload_indexes=parse_indexes(target.index),
        )


def _parse_shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal()):
        raise ConfigurationError(f"--shard is {text!r}, expected I/N such as 0/4.")
    return int(part), int(parts)
