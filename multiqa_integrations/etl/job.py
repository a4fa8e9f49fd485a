"""A job: what a source, a collection and an encoder have to do with each other."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from multiqa_integrations.errors import ConfigurationError, SourceError
from multiqa_integrations.etl.changes import Change, ChangeKind, Rejection
from multiqa_integrations.etl.documents import (
    Fields,
    RecordError,
    SourceDocument,
    metadata_hash,
    text_hash,
    to_document,
)
from multiqa_integrations.etl.ledger import PAYLOAD_INDEXES, Ledger, Seen, StoredChunk
from multiqa_integrations.etl.open_source import open_source
from multiqa_integrations.etl.records import BadRecord, Format, Source, SourceItem
from multiqa_integrations.qdrant.open import open_store
from multiqa_integrations.qdrant.retry import JOB_SECONDS, retrying
from multiqa_integrations.qdrant.schema import (
    CollectionInfo,
    CollectionSchema,
    differences,
    filled_sparse_vector,
    raise_on_mismatch,
)
from multiqa_integrations.qdrant.store import Store
from multiqa_integrations.types import Document, Encoder

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, QdrantClient

_WINDOW_RECORDS = 1_000
_WINDOW_CHARACTERS = 8_000_000

MAX_CHARACTERS = 5_000_000
"""Longest text of a document: a thick book has a million characters."""


class JobOptions(TypedDict, total=False):
    """What `sync`, `plan` and `verify` take alike.

    Attributes:
        url: Of a server. Give one of url, path, client and store.
        path: A directory of embedded collections.
        client: A client of qdrant-client.
        store: A store of `open_store`, which stays open.
        api_key: For `url`; by default that of the environment variable QDRANT_API_KEY.
        encoder: By default `MultiQAEncoder()`.
        source_name: Names the source: its documents are told from those of other sources of the
            collection by it, never by a path. "default" unless given.
        fields: Which field of a record is what.
        format: Says what a path is, where its name does not.
        glob: Which files of a folder are read.
        chunk_size: Most word pieces of a chunk; 250 by default.
        chunk_overlap: Most word pieces that a chunk repeats of the one before.
        max_characters: Longer texts are refused; 5 million by default.
        shard: `(i, n)`: only the documents of the i-th of n parts, from 0, by a hash of their ids.
        limit: Only the first so many records.
        sparse: Whether a new collection can be searched by words too.
        vector_name: "" is the unnamed vector.
        payload_indexes: Further ones of a new or existing collection: see `ensure_collection`.
    """

    url: str | None
    path: str | Path | None
    client: QdrantClient | AsyncQdrantClient | None
    store: Store | None
    api_key: str | None
    encoder: Encoder | None
    source_name: str
    fields: Fields | None
    format: Format | None
    glob: str | None
    chunk_size: int
    chunk_overlap: int
    max_characters: int
    shard: tuple[int, int] | None
    limit: int | None
    sparse: bool | str | None
    vector_name: str
    payload_indexes: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One source on its way into one collection."""

    store: Store
    collection: str
    encoder: Encoder
    source: Source
    source_name: str = "default"
    fields: Fields = field(default_factory=Fields)
    chunk_size: int = 250
    chunk_overlap: int = 0
    max_characters: int = MAX_CHARACTERS
    shard: tuple[int, int] | None = None
    limit: int | None = None
    sparse: bool | str | None = None
    vector_name: str = ""
    payload_indexes: Mapping[str, Any] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        if not isinstance(self.source_name, str) or not self.source_name.strip():
            raise ConfigurationError(
                f"source_name is {self.source_name!r}, expected a name that stays the same."
            )
        limit = min(self.encoder.max_seq_length, 512)
        if not 16 <= self.chunk_size <= limit:
            raise ConfigurationError(
                f"chunk_size is {self.chunk_size}, expected 16 to {limit} word pieces."
            )
        if not 0 <= 2 * self.chunk_overlap < self.chunk_size:
            raise ConfigurationError(
                f"chunk_overlap is {self.chunk_overlap}, expected 0 or more and under half of "
                f"chunk_size ({self.chunk_size})."
            )
        for name, least in (("max_characters", 1), ("limit", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigurationError(f"{name} is {value}, expected {least} or more.")
        if self.shard is not None:
            part, parts = self.shard
            if not 0 <= part < parts:
                raise ConfigurationError(
                    f"shard is {part}/{parts}, expected 0/{parts} to {parts - 1}/{parts}."
                )

    @cached_property
    def fingerprint(self) -> str:
        """The encoder's, looked up once: it makes sure each time that the file is the same."""
        return self.encoder.fingerprint

    @property
    def schema(self) -> CollectionSchema:
        """What the collection must be."""
        return CollectionSchema.of(
            self.encoder,
            vector_name=self.vector_name,
            sparse=self.sparse,
            payload_indexes={**PAYLOAD_INDEXES, **self.payload_indexes},
        )

    def ensure(self) -> str | None:
        """Create the collection, or make sure that it fits; returns the sparse vector to fill."""
        schema = self.schema
        return filled_sparse_vector(schema, self.store.ensure(self.collection, schema))

    def info(self) -> CollectionInfo | None:
        """Look at the collection without changing anything; None if there is none.

        Raises:
            CollectionMismatchError: It does not fit.
        """
        info = self.store.info(self.collection)
        if info is not None:
            raise_on_mismatch(self.collection, differences(self.schema, info, indexes=False))
        return info

    def windows(self, ledger: Ledger, seen: Seen) -> Iterator[list[Change | Rejection]]:
        """Read the source, and decide about its records, some hundreds at a time.

        Documents of other shards are left out.

        Raises:
            SourceError: The source cannot be read on; what came before has been decided.
        """
        items = islice(self.source, self.limit)
        while True:
            window: list[SourceDocument | Rejection] = []
            broken: SourceError | None = None
            try:
                self._fill(window, items, seen)
            except SourceError as error:
                broken = error
            stored = ledger.look_up([one.id for one in window if one.id is not None])
            if window:
                yield [
                    self._decide(one, stored.get(one.id, []))
                    if isinstance(one, SourceDocument)
                    else _with_known(one, stored)
                    for one in window
                ]
            if broken is not None:
                raise broken
            if not window:
                return

    def _fill(
        self, window: list[SourceDocument | Rejection], items: Iterator[SourceItem], seen: Seen
    ) -> None:
        characters = 0
        for item in items:
            if self.stop.is_set():
                return  # and what a signal has cut short, is no record
            try:
                found: SourceDocument | Rejection | None = self._read(item, seen)
            except RecordError as error:
                value = item.raw if isinstance(item, BadRecord) else item.value
                found = Rejection(item.line, error.id, str(error), value)
                if error.id is not None and not self.is_mine(error.id):
                    found = None
                elif error.id is not None:
                    seen.add(error.id, item.line)  # what is stored of it stays
            if found is not None:
                window.append(found)
                characters += _characters(item)
            if len(window) >= _WINDOW_RECORDS or characters >= _WINDOW_CHARACTERS:
                return

    def _read(self, item: SourceItem, seen: Seen) -> SourceDocument | None:
        if isinstance(item, BadRecord):
            raise RecordError(item.reason, item.id)
        document = to_document(item, self.fields, max_characters=self.max_characters)
        if not self.is_mine(document.id):
            return None
        before = seen.add(document.id, document.line)
        if before is not None:
            raise RecordError(f"its id was that of line {before:,} already", document.id)
        return document

    def is_mine(self, id: str) -> bool:
        """Tell whether a document is of this shard."""
        if self.shard is None:
            return True
        part, parts = self.shard
        digest = hashlib.sha256(id.encode("utf-8", "replace")).digest()
        return int.from_bytes(digest[:8], "big") % parts == part

    def _decide(self, document: SourceDocument, stored: Sequence[StoredChunk]) -> Change:
        texts = text_hash(document, self.chunk_size, self.chunk_overlap)
        about = metadata_hash(document)
        if not stored:
            return Change(ChangeKind.NEW, document, texts, about)
        fitting = {
            one.chunk: one
            for one in stored
            if one.hash == texts and one.fingerprint == self.fingerprint
        }
        points = {one.point for one in fitting.values()}
        stale = [one.point for one in stored if one.point not in points]
        total = next(iter(fitting.values())).chunks if fitting else 0
        if not fitting or fitting.keys() != set(range(total)):
            old = [one.point for one in stored]
            return Change(ChangeKind.CHANGED, document, texts, about, [], old, stored[0].hash)
        chunks = [fitting[number] for number in range(total)]
        same = all(one.metadata_hash == about for one in chunks)
        kind = ChangeKind.UNCHANGED if same else ChangeKind.METADATA
        return Change(kind, document, texts, about, chunks, stale, texts)


def _characters(item: SourceItem) -> int:
    """Tell about how much memory a record takes; one that is rejected is kept for a while too."""
    if isinstance(item, BadRecord):
        return len(item.raw or "")
    value = item.value
    if isinstance(value, Document):
        return len(value.text) if isinstance(value.text, str) else 0
    return sum([len(one) for one in value.values() if isinstance(one, str)])


def _with_known(rejection: Rejection, stored: Mapping[str, list[StoredChunk]]) -> Rejection:
    known = stored.get(rejection.id or "")
    if not known:
        return rejection
    return Rejection(
        rejection.line, rejection.id, rejection.reason, rejection.record, known[0].hash
    )


@contextmanager
def opened(
    source: object, collection: str, options: JobOptions, stop: threading.Event
) -> Iterator[Job]:
    """Open what a job needs; the store is closed at the end unless it was given."""
    given = dict(options)
    where = {name: given.pop(name, None) for name in ("url", "path", "client", "api_key")}
    store: Store | None = given.pop("store", None)  # type: ignore[assignment]
    opened_source = open_source(
        source,
        format=given.pop("format", None),  # type: ignore[arg-type]
        glob=given.pop("glob", None),  # type: ignore[arg-type]
    )
    encoder: Encoder | None = given.pop("encoder", None)  # type: ignore[assignment]
    if encoder is None:
        from multiqa_integrations.encoder import MultiQAEncoder

        encoder = MultiQAEncoder()
    settings: dict[str, Any] = {name: one for name, one in given.items() if one is not None}
    if store is not None and any(one is not None for one in where.values()):
        raise ConfigurationError("store comes without url, path, client and api_key.")
    mine = store is None
    if store is None:
        store = open_store(**where)  # type: ignore[arg-type]
    try:
        with retrying(JOB_SECONDS, stop=stop):
            yield Job(
                store=store,
                collection=collection,
                encoder=encoder,
                source=opened_source,
                stop=stop,
                **settings,
            )
    finally:
        if mine:
            store.close()
