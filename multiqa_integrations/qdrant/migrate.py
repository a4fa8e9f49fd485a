"""Migrate: copy a collection to another store, or into the vectors of another model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import ParamSpec

from multiqa_integrations.arguments import check_callable, check_encoder, check_kind
from multiqa_integrations.errors import ConfigurationError, StoreError
from multiqa_integrations.qdrant.fingerprints import count_fingerprints
from multiqa_integrations.qdrant.info import CollectionInfo
from multiqa_integrations.qdrant.migrate_collection import (
    check_target,
    describe,
    options_of,
    schema_of,
)
from multiqa_integrations.qdrant.migrate_points import Progress
from multiqa_integrations.qdrant.migration import Migration, MigrationReport
from multiqa_integrations.qdrant.names import check_name
from multiqa_integrations.qdrant.payload import update_record
from multiqa_integrations.qdrant.points import Point
from multiqa_integrations.qdrant.replicas import reading_all_replicas
from multiqa_integrations.qdrant.retry import JOB_SECONDS, retrying
from multiqa_integrations.qdrant.schema import model_name
from multiqa_integrations.qdrant.settings import CollectionSettings
from multiqa_integrations.qdrant.store import Store
from multiqa_integrations.types import Encoder

P = ParamSpec("P")


def _repeating(migrate: Callable[P, MigrationReport]) -> Callable[P, MigrationReport]:
    """Repeat the requests of a migration as those of any job, until its `stop` is set."""

    @wraps(migrate)
    def run(*args: P.args, **kwargs: P.kwargs) -> MigrationReport:
        stop = kwargs.get("stop")
        if not isinstance(stop, threading.Event | None):
            raise ConfigurationError(f"stop is {type(stop).__name__}, expected a threading.Event.")
        check_callable("progress", kwargs.get("progress"))  # type: ignore[arg-type]
        with retrying(JOB_SECONDS, stop=stop), reading_all_replicas():
            return migrate(*args, **kwargs)

    return run


@_repeating
def copy(
    source: Store,
    target: Store,
    collection: str,
    *,
    to: str | None = None,
    prune: bool = False,
    settings: CollectionSettings | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    dry_run: bool = False,
) -> MigrationReport:
    """Copy a collection with its vectors to another store, or to another name.

    Nothing is encoded again. Requests that fail for the time being are repeated for five minutes.
    It may be interrupted and called again: what is there already and equal is not written again.
    At the end the numbers of points and a sample of them are compared.

    Others may write to the collection meanwhile: it is read again until nothing has changed, or
    until that never ends; then `.changing` says how many points still did. Syncs of it are kept
    out. The copy has the settings and indexes of the collection; those that the target cannot have
    are named in a `CollectionWarning` before anything is written.

    Args:
        source: Where from.
        target: Where to; the same store if `to` is another name.
        collection: The collection, or an alias.
        to: Its name in the target; by default the same.
        prune: Delete points of an existing copy that the collection does not have any more. What an
            interrupted call has copied is deleted without that, too.
        settings: Those of the copy that are to be other than those of the collection.
        progress: Called with numbers of points as they are done.
        stop: Set it, from another thread or a signal handler, and it ends after the page in hand.
        dry_run: Check everything and write nothing; the report says what would be written.

    Returns:
        What was copied.

    Raises:
        CollectionMismatchError: The target has a collection of that name that does not fit.
        LeaseError: A sync or another migration of one of the two is at work.
        StoreError: A store failed for good, it was stopped, or the copy is not equal to the source;
            `.report` has what was done.

    Examples:
        >>> from qdrant_client import QdrantClient
        >>> from multiqa_integrations.qdrant import Collection, open_store
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> old = open_store(client=QdrantClient(":memory:"))
        >>> new = open_store(client=QdrantClient(":memory:"))
        >>> ids = Collection.open("docs", encoder=FakeEncoder(), store=old).add(["a", "b"])
        >>> copy(old, new, "docs").written
        2
    """
    for name, store in (("source", source), ("target", target)):
        check_kind(name, store, Store, "that of open_store(...)", optional=False)
    check_kind("settings", settings, CollectionSettings, "CollectionSettings(...)")
    check_name(collection)
    to = check_name(to or collection)
    if source is target and to == collection:
        raise ConfigurationError(f"the copy of {collection!r} needs another store or another name.")
    name = source.aliases().get(collection, collection)
    info = describe(source, name)
    schema = schema_of(info)
    options = options_of(info, source, target, settings)
    existing = check_target(target, to, schema)
    migration = Migration(info, source, target, to, schema, options)
    if dry_run:
        return migration.forecast(existing)
    with migration.points(None, progress, stop, prune=prune) as points:
        return migration.finish(points)


@_repeating
def reembed(
    store: Store,
    collection: str,
    encoder: Encoder,
    *,
    to: str | None = None,
    content_payload_key: str = "page_content",
    settings: CollectionSettings | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    dry_run: bool = False,
) -> MigrationReport:
    """Fill a new collection with the vectors that another model gives the stored texts.

    Ids, payloads, settings and indexes stay. If `collection` is an alias, it stands for the new
    collection at the end, atomically, so that nobody is without answers meanwhile; the old
    collection stays until you drop it. It may be interrupted and called again.

    Others may write to the collection meanwhile, through this package: it is read again until
    nothing has changed. Before the alias moves, the old collection is closed for some seconds:
    writes to it raise `StoreLockedError`, and afterwards `CollectionMismatchError`, since the alias
    then stands for a collection of another model. Syncs of it are kept out all the time.

    A collection that has vectors of several models, since something wrote to it past its
    fingerprint, is repaired by the model that it says it has.

    Args:
        store: The store.
        collection: The collection or, better, an alias.
        encoder: The other model.
        to: The new collection; by default a name with the beginning of the fingerprint.
        content_payload_key: Where the text is in the payload.
        settings: Those of the new collection that are to be other than those of the old one.
        progress: Called with numbers of points as they are done.
        stop: Set it, from another thread or a signal handler, and it ends after the page in hand.
        dry_run: Check everything and write nothing; the report says what would be written.

    Returns:
        What was done.

    Raises:
        ConfigurationError: This encoder filled it already.
        LeaseError: A sync or another migration of it is at work.
        StoreError: Points have no text, the store failed for good, it was stopped, or not all
            points arrived; `.report` has what was done.
    """
    check_kind("store", store, Store, "that of open_store(...)", optional=False)
    check_encoder(encoder)
    check_kind("settings", settings, CollectionSettings, "CollectionSettings(...)")
    check_name(collection)
    aliases = store.aliases()
    alias, name = collection if collection in aliases else None, aliases.get(collection, collection)
    info = describe(store, name)
    if encoder.fingerprint in info.fingerprints and not _is_mixed(store, info):
        raise ConfigurationError(
            f"{collection!r} has the vectors of this model already ({encoder.fingerprint})."
        )
    to = check_name(to or _new_name(name, encoder.fingerprint))
    (vector_name,) = info.vectors
    schema = schema_of(info, fingerprint=encoder.fingerprint, model=model_name(encoder))

    def texts_of(points: Sequence[Point]) -> list[str]:
        texts = [point.payload.get(content_payload_key) for point in points]
        empty = [
            str(p.id) for p, text in zip(points, texts, strict=True) if not isinstance(text, str)
        ]
        if empty:
            raise StoreError(
                f"{len(empty)} points have no text in {content_payload_key!r}, the first is "
                f"{empty[0]}. Name the key with content_payload_key, or delete them."
            )
        return [str(text) for text in texts]

    def encode(points: Sequence[Point]) -> list[Point]:
        vectors = encoder.encode_document(texts_of(points))
        return [
            Point(
                point.id,
                {**point.vectors, vector_name: vector},
                update_record(point.payload, fingerprint=encoder.fingerprint),
            )
            for point, vector in zip(points, vectors, strict=True)
        ]

    options = options_of(info, store, store, settings)
    existing = check_target(store, to, schema)
    if alias is not None:
        store.check_may_create()  # moving an alias takes the same right
    texts_of(store.scroll(name, limit=256)[0])
    migration = Migration(info, store, store, to, schema, options)
    if dry_run:
        return replace(migration.forecast(existing), swapped=alias)
    with migration.points(encode, progress, stop) as points:
        if alias is None:
            return migration.finish(points)
        return replace(migration.finish(points, alias), swapped=alias)


def _is_mixed(store: Store, info: CollectionInfo) -> bool:
    """Return whether a collection has points of another model than it says."""
    return bool(set(count_fingerprints(store, info.name)) - {*info.fingerprints, None})


def _new_name(name: str, fingerprint: str) -> str:
    """Return the name of a new collection: `docs@1f2e3d4c` for `docs` and `docs@old`."""
    new = f"{name.rpartition('@')[0] or name}@{_short(fingerprint)}"
    return f"{new}-2" if new == name else new


def _short(fingerprint: str) -> str:
    """Return eight characters of a fingerprint that may stand in a name: `sha256:1f2e…/mean`."""
    _, _, digest = fingerprint.rpartition(":")
    return "".join(filter(str.isalnum, digest.partition("/")[0]))[:8]
