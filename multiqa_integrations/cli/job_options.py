"""Groups of options of `sync`, `plan`, `verify` and `replay`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

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
    """
    from multiqa_integrations.etl import JobOptions

    options = JobOptions() if reading is None else reading.job_options()
    settings = None if kept is None else kept.made()
    with store.open(creates=existing is None) as opened:
        if existing is not None:
            store.find(opened, existing)
        yield replace(
            options,
            store=opened,
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
