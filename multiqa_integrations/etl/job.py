"""The settings of a job, and what it opens: a source, a collection and an encoder."""

from __future__ import annotations

import hashlib
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from dataclasses import fields as dataclass_fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiqa_integrations.arguments import check_callable, check_encoder, check_kind, is_whole
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import CollectionWarning, ConfigurationError
from multiqa_integrations.etl.documents import Fields
from multiqa_integrations.etl.ledger import PAYLOAD_INDEXES
from multiqa_integrations.etl.open_source import open_source
from multiqa_integrations.etl.records import Format, Source
from multiqa_integrations.qdrant.differences import differences, raise_on_mismatch
from multiqa_integrations.qdrant.info import CollectionInfo, filled_sparse_vector
from multiqa_integrations.qdrant.lease import Lease
from multiqa_integrations.qdrant.lease_record import LeaseToken
from multiqa_integrations.qdrant.open import split_options, use_store
from multiqa_integrations.qdrant.replicas import reading_all_replicas
from multiqa_integrations.qdrant.retry import JOB_SECONDS, retrying
from multiqa_integrations.qdrant.schema import CollectionSchema
from multiqa_integrations.qdrant.server.options import CONNECTION_OPTIONS
from multiqa_integrations.qdrant.settings import CollectionSettings
from multiqa_integrations.qdrant.store import Store
from multiqa_integrations.qdrant.writer import Writer
from multiqa_integrations.types import Encoder

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, QdrantClient

    from multiqa_integrations.etl.reports import Progress

MAX_CHARACTERS = 5_000_000
"""Longest text of a document: a thick book has a million characters."""

MIN_CHUNK_SIZE = 16
MAX_CHUNK_SIZE = 512
"""Most word pieces of a chunk."""


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """What `sync`, `plan`, `verify` and `replay` take alike: as keywords, or together.

    Attributes:
        url: Of a server. Give one of url, path, client and store.
        path: A directory of embedded collections.
        client: A client of qdrant-client.
        store: A store of `open_store`, which stays open.
        api_key: For `url`; by default that of the environment variable QDRANT_API_KEY.
        connection: For `url`: see `ConnectionOptions`. As keywords they are given by themselves.
        encoder: By default `MultiQAEncoder()`.
        source_name: Names the source: its documents are distinguished by it from those of other
            sources of the collection, never by a path.
        fields: Which field of a record is what.
        format: What a path is, where its name does not say.
        glob: Which files of a folder are read.
        chunk_size: Most word pieces of a chunk.
        chunk_overlap: Most word pieces that a chunk repeats of the one before.
        max_characters: Longer texts are rejected.
        shard: `(i, n)`: only the documents of the i-th of n parts, from 0, by a hash of their ids.
        limit: Only the first so many records.
        sparse: Whether a new collection can be searched by words too.
        vector_name: "" is the unnamed vector.
        settings: How a new collection is kept.
        payload_indexes: Further ones of a new or existing collection: see `ensure_collection`.

    Examples:
        >>> options = JobOptions(path="./collections", fields=Fields(title="headline"))
        >>> sync("articles.jsonl", "articles", options=options)  # doctest: +SKIP
        >>> verify("articles.jsonl", "articles", options=options)  # doctest: +SKIP
    """

    url: str | None = field(default=None, repr=False)  # these may hold secrets
    path: str | Path | None = None
    client: QdrantClient | AsyncQdrantClient | None = None
    store: Store | None = None
    api_key: str | None = field(default=None, repr=False)
    connection: Mapping[str, Any] = field(default_factory=dict, repr=False)
    encoder: Encoder | None = None
    source_name: str = "default"
    fields: Fields = field(default_factory=Fields)
    format: Format | None = None
    glob: str | None = None
    chunk_size: int = 250
    chunk_overlap: int = 0
    max_characters: int = MAX_CHARACTERS
    shard: tuple[int, int] | None = None
    limit: int | None = None
    sparse: bool | str | None = None
    vector_name: str = ""
    settings: CollectionSettings | None = None
    payload_indexes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.source_name, str) or not self.source_name.strip():
            raise ConfigurationError(
                f"source_name is {self.source_name!r}, expected a name that stays the same."
            )
        for name in ("chunk_size", "chunk_overlap", "max_characters", "limit"):
            value = getattr(self, name)
            if not (is_whole(value) or (value is None and name == "limit")):
                raise ConfigurationError(f"{name} is {value!r}, expected a whole number.")
        for name in ("max_characters", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} is {value}, expected 1 or more.")
        if not isinstance(self.fields, Fields):
            raise ConfigurationError(f"fields is {self.fields!r}, expected Fields(...).")
        if not isinstance(self.settings, CollectionSettings | None):
            raise ConfigurationError(
                f"settings is {self.settings!r}, expected CollectionSettings(...)."
            )
        if not isinstance(self.payload_indexes, Mapping):
            raise ConfigurationError(
                f"payload_indexes is {self.payload_indexes!r}, expected a dict of kinds by fields."
            )
        if self.shard is not None:
            if not isinstance(self.shard, tuple | list) or not (
                len(self.shard) == 2 and all(map(is_whole, self.shard))
            ):
                raise ConfigurationError(
                    f"shard is {self.shard!r}, expected two whole numbers such as (0, 4)."
                )
            part, parts = self.shard
            if not 0 <= part < parts:
                raise ConfigurationError(
                    f"shard is {part}/{parts}, expected 0/{parts} to {parts - 1}/{parts}."
                )

    @property
    def place(self) -> dict[str, Any]:
        """Return what `open_store` takes."""
        place = {"url": self.url, "path": self.path, "client": self.client}
        return {**place, "api_key": self.api_key, **self.connection}

    def updated(self, settings: Mapping[str, Any]) -> JobOptions:
        """Return the options with other settings; those that are None are left as they are.

        Raises:
            ConfigurationError: There is no such option, or it cannot be honoured.
        """
        connection, others = split_options(
            {name: value for name, value in settings.items() if value is not None}
        )
        names = [option.name for option in dataclass_fields(self)]
        if unknown := sorted(others.keys() - set(names)):
            raise ConfigurationError(
                f"{', '.join(unknown)}: neither a job nor a connection has such an option. A job "
                f"has {', '.join(names)}; a connection {', '.join(sorted(CONNECTION_OPTIONS))}."
            )
        given = others.pop("connection", {})
        check_kind("connection", given, Mapping, "a dict of options by their names")
        return replace(self, **others, connection={**self.connection, **given, **connection})

    @classmethod
    def of(cls, options: JobOptions | None, settings: Mapping[str, Any]) -> JobOptions:
        """Return the options that a job was given, together or as keywords.

        Raises:
            ConfigurationError: There is no such option, or it cannot be honoured.
        """
        check_kind("options", options, cls, "JobOptions(...)")
        return (options or cls()).updated(settings)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One source on its way into one collection.

    Attributes:
        source: What is read.
        collection: Where its documents go.
        store: Where the collection is.
        encoder: What encodes them.
        options: The other settings.
        stop: Ends the job after the batch in hand, once it is set.
        token: The lease of the run that this is a part of, where another process holds it.
    """

    source: Source
    collection: str
    store: Store
    encoder: Encoder
    options: JobOptions = field(default_factory=JobOptions)
    stop: threading.Event = field(default_factory=threading.Event)
    token: LeaseToken | None = None

    def __post_init__(self) -> None:
        size, overlap = self.options.chunk_size, self.options.chunk_overlap
        limit = min(self.encoder.max_seq_length, MAX_CHUNK_SIZE)
        if not MIN_CHUNK_SIZE <= size <= limit:
            raise ConfigurationError(
                f"chunk_size is {size}, expected {MIN_CHUNK_SIZE} to {limit} word pieces."
            )
        if not 0 <= 2 * overlap < size:
            raise ConfigurationError(
                f"chunk_overlap is {overlap}, expected 0 or more and under half of chunk_size "
                f"({size})."
            )

    @cached_property
    def fingerprint(self) -> str:
        """The encoder's, looked up once: each look-up checks that the file is still the same."""
        return self.encoder.fingerprint

    @cached_property
    def writer(self) -> Writer:
        """What writes to the collection."""
        return Writer(self.store, self.collection, self.schema, token=self.token)

    @property
    def schema(self) -> CollectionSchema:
        """What the collection must be."""
        options = self.options
        return CollectionSchema.of(
            self.encoder,
            vector_name=options.vector_name,
            sparse=options.sparse,
            payload_indexes={**PAYLOAD_INDEXES, **options.payload_indexes},
        )

    def ensure(self) -> str | None:
        """Create the collection, or check that it fits; returns the sparse vector to fill.

        Raises:
            CollectionMismatchError: It does not fit.
        """
        schema = self.schema
        settings = {} if self.options.settings is None else self.options.settings.given()
        report = self.store.ensure(self.collection, schema, **settings)
        # Of the first note, on a collection that names no model, a job's hashes take care.
        for note in report.notes[report.fingerprint == "absent" :]:
            warnings.warn(note, CollectionWarning, stacklevel=3)
        return filled_sparse_vector(schema, report)

    def info(self) -> CollectionInfo | None:
        """Return what the collection is, without changing anything; None if there is none.

        Raises:
            CollectionMismatchError: It does not fit.
        """
        info = self.store.info(self.collection)
        if info is not None:
            raise_on_mismatch(self.collection, differences(self.schema, info, indexes=False))
        return info

    def lease(self, clock: Callable[[], float] = time.monotonic) -> Lease:
        """Return the lease of the job's source, which is not taken yet."""
        options = self.options
        return Lease(
            self.store,
            self.collection,
            source=options.source_name,
            shard=options.shard,
            clock=clock,
        )

    def has(self, id: str) -> bool:
        """Return whether a document belongs to the job's shard."""
        if self.options.shard is None:
            return True
        part, parts = self.options.shard
        digest = hashlib.sha256(id.encode("utf-8", "replace")).digest()
        return int.from_bytes(digest[:8], "big") % parts == part


def check_hooks(
    progress: Callable[[Progress], None] | None, stop: threading.Event | None = None
) -> None:
    """Check what a job calls and asks while it works.

    Raises:
        ConfigurationError: It cannot be called, or is not an event.
    """
    check_callable("progress", progress)
    check_kind("stop", stop, threading.Event, "a threading.Event")


@contextmanager
def open_job(
    source: object, collection: str, options: JobOptions, stop: threading.Event | None = None
) -> Iterator[Job]:
    """Open what a job needs; the store is closed at the end unless it was given.

    Raises:
        ConfigurationError: An option is wrong.
        SourceError: There is no such source.
        StoreError: The store cannot be opened.
    """
    check_encoder(options.encoder, optional=True)
    opened = open_source(source, format=options.format, glob=options.glob)
    stop = stop or threading.Event()
    store = use_store(options.store, options.place)
    try:
        with retrying(JOB_SECONDS, stop=stop), reading_all_replicas():
            yield Job(
                source=opened,
                collection=collection,
                store=store,
                encoder=MultiQAEncoder() if options.encoder is None else options.encoder,
                options=options,
                stop=stop,
            )
    finally:
        if options.store is None:
            store.close()
