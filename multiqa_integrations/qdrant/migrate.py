"""Migrate: copy a collection to another store, or into the vectors of another model."""

from __future__ import annotations

import random
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

from multiqa_integrations.errors import (
    CollectionWarning,
    ConfigurationError,
    StoreError,
    reporting,
)
from multiqa_integrations.qdrant.payload import update_record
from multiqa_integrations.qdrant.points import Point, PointId, SparseVector, Vector
from multiqa_integrations.qdrant.retry import JOB_SECONDS, retrying
from multiqa_integrations.qdrant.schema import (
    CollectionInfo,
    CollectionSchema,
    check_name,
    collection_not_found_error,
    model_name,
    raise_on_mismatch,
    sharding_differences,
    warned,
)
from multiqa_integrations.qdrant.settings import CollectionSettings
from multiqa_integrations.qdrant.store import Store
from multiqa_integrations.qdrant.upload import Uploader
from multiqa_integrations.types import Encoder

_PAGE = 256
_SAMPLE = 200
_TOLERANCE = 1e-6

Progress = Callable[[int], None]


P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What was moved.

    Attributes:
        source: The collection that was read.
        target: The collection that was written.
        points: How many points both have; where an error ended it, how many it came to.
        written: How many were written this time.
        unchanged: How many were there already, from an earlier try.
        swapped: The alias that stands for the target now, if there is one.
    """

    source: str
    target: str
    points: int
    written: int
    unchanged: int
    swapped: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


def _repeating(migrate: Callable[P, MigrationReport]) -> Callable[P, MigrationReport]:
    """Repeat the requests of a migration as those of any job, until its `stop` is set."""

    @wraps(migrate)
    def run(*args: P.args, **kwargs: P.kwargs) -> MigrationReport:
        stop = kwargs.get("stop")
        if not isinstance(stop, threading.Event | None):
            raise ConfigurationError(f"stop is {type(stop).__name__}, expected a threading.Event.")
        with retrying(JOB_SECONDS, stop=stop):
            return migrate(*args, **kwargs)

    return run


@_repeating
def copy(
    source: Store,
    target: Store,
    collection: str,
    *,
    to: str | None = None,
    settings: CollectionSettings | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    dry_run: bool = False,
) -> MigrationReport:
    """Copy a collection with its vectors to another store, or to another name.

    Nothing is encoded again. Requests that fail for the time being are repeated for five minutes.
    It may be interrupted and called again: what is there already and equal is not written again.
    At the end the numbers of points and a sample of them are compared. Nothing should be written to
    the source meanwhile.

    Args:
        source: Where from.
        target: Where to; the same store if `to` is another name.
        collection: The collection, or an alias.
        to: Its name in the target; by default the same.
        settings: Those of the copy that are to be other than those of the collection.
        progress: Called with numbers of points as they are done.
        stop: Set it, from another thread or a signal handler, and it ends after the page in hand.
        dry_run: Check everything and write nothing; the report says what would be written.

    Returns:
        What was copied.

    Raises:
        CollectionMismatchError: The target has a collection of that name that does not fit.
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
    to = check_name(to or collection)
    if source is target and to == collection:
        raise ConfigurationError(f"the copy of {collection!r} needs another store or another name.")
    info = _info_of(source, collection)
    options = _options(info, source, target, settings)
    if dry_run:
        return _forecast(info, target, to, _schema_of(info))
    _create(target, to, _schema_of(info), options, info)
    return _move(source, collection, target, to, lambda points: points, progress, stop)


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

    Ids and payloads stay. If `collection` is an alias, it stands for the new collection at the
    end, atomically, so that nobody is without answers meanwhile; the old
    collection stays until you drop it. It may be interrupted and called again.

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
        StoreError: Points have no text, the store failed for good, it was stopped, or not all
            points arrived; `.report` has what was done.
    """
    info = _info_of(store, collection)
    if encoder.fingerprint in info.fingerprints:
        raise ConfigurationError(
            f"{collection!r} has the vectors of this model already ({encoder.fingerprint})."
        )
    alias = collection if collection in store.aliases() else None
    name = store.aliases().get(collection, collection)
    to = check_name(to or f"{name.rpartition('@')[0] or name}@{_short(encoder.fingerprint)}")
    (vector_name,) = info.vectors
    schema = _schema_of(info, fingerprint=encoder.fingerprint, model=model_name(encoder))

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

    options = _options(info, store, store, settings)
    if dry_run:
        texts_of(next(_pages(store, name), []))
        return replace(_forecast(info, store, to, schema), swapped=alias)
    _create(store, to, schema, options, info)
    report = _move(store, name, store, to, encode, progress, stop, same=_same_but_the_vector)
    if alias is None:
        return report
    store.swap(alias, to)
    return replace(report, swapped=alias)


def _options(
    info: CollectionInfo, source: Store, target: Store, settings: CollectionSettings | None
) -> dict[str, Any]:
    """Return the options of the new collection: those of the old one, as far as it can have them.

    Raises:
        ConfigurationError: It cannot have what was asked for.
    """
    if settings is not None and (refused := target.supported(settings)[1]):
        raise ConfigurationError(f"a collection in {target!r} cannot have {', '.join(refused)}.")
    described = info.settings or CollectionSettings()
    if type(source) is not type(target):
        described = described.without_defaults()  # each engine has its own
    kept, left_out = target.supported(described.updated(settings))
    if left_out:
        warnings.warn(
            f"{target!r} has no such settings, so the new collection is left without these of "
            f"{info.name!r}: {', '.join(left_out)}.",
            CollectionWarning,
            stacklevel=3,
        )
    return kept.given()


def _create(
    target: Store, to: str, schema: CollectionSchema, options: dict[str, Any], old: CollectionInfo
) -> None:
    """Create the new collection, with what others wrote into the metadata of the old one."""
    info = warned(target.ensure(to, schema, **options), stacklevel=4).info
    for key, value in old.metadata.items():
        if not key.startswith("multiqa.") and info.metadata.get(key) != value:
            target.annotate(to, key, value)


def _forecast(
    info: CollectionInfo, target: Store, to: str, schema: CollectionSchema
) -> MigrationReport:
    """Return what a migration would report, by the numbers of points."""
    done = 0
    if (existing := target.info(to)) is not None:
        target.check(to, schema)
        done = min(existing.points, info.points)
    return MigrationReport(info.name, to, info.points, info.points - done, done)


def _move(
    source: Store,
    collection: str,
    target: Store,
    to: str,
    change: Callable[[Sequence[Point]], Sequence[Point]],
    progress: Progress | None,
    stop: threading.Event | None,
    same: Callable[[Point, Point], bool] | None = None,
) -> MigrationReport:
    """Write what differs, page by page; then compare numbers and a sample."""
    same = same or _same
    written = unchanged = 0
    report_progress = progress or (lambda _: None)

    def count_written(points: int) -> None:
        nonlocal written
        written += points
        report_progress(points)

    def report() -> MigrationReport:
        return MigrationReport(collection, to, written + unchanged, written, unchanged)

    with reporting(report):
        begun = target.count(to) > 0
        sample = _Sample()
        with Uploader(target, to, progress=count_written) as uploader:
            for page in _pages(source, collection):
                if stop is not None and stop.is_set():
                    raise StoreError(
                        f"it was stopped: {to!r} does not have all of {collection!r} yet. What was "
                        "written stays; call it again to go on."
                    )
                sample.see(page)
                existing: Mapping[PointId, Point] = {}
                if begun:
                    found = target.retrieve(to, [point.id for point in page], with_vectors=True)
                    existing = {point.id: point for point in found}
                missing = [p for p in page if p.id not in existing or not same(p, existing[p.id])]
                if missing:
                    uploader.add(change(missing))
                unchanged += len(page) - len(missing)
                if len(page) > len(missing):
                    report_progress(len(page) - len(missing))
        _verify(source, collection, target, to, sample.points, same)
    return report()


def _verify(
    source: Store,
    collection: str,
    target: Store,
    to: str,
    sample: Sequence[Point],
    same: Callable[[Point, Point], bool],
) -> None:
    expected, actual = source.count(collection), target.count(to)
    if expected != actual:
        raise StoreError(
            f"{to!r} has {actual:,} points, {collection!r} has {expected:,}. If something was "
            "written meanwhile, try again; points that the source does not have are not deleted."
        )
    found = {p.id: p for p in target.retrieve(to, [p.id for p in sample], with_vectors=True)}
    for point in sample:
        if point.id not in found or not same(point, found[point.id]):
            raise StoreError(
                f"point {point.id} of {to!r} is not that of {collection!r}. Try again."
            )


class _Sample:
    """Some of many points, each as likely as any other (Vitter's algorithm R)."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self._seen = 0
        self._random = random.Random(0)  # noqa: S311  (a sample, not a secret)

    def see(self, points: Sequence[Point]) -> None:
        for point in points:
            self._seen += 1
            if len(self.points) < _SAMPLE:
                self.points.append(point)
            elif (place := self._random.randrange(self._seen)) < _SAMPLE:
                self.points[place] = point


def _pages(store: Store, collection: str) -> Iterator[list[Point]]:
    offset: PointId | None = None
    while True:
        points, offset = store.scroll(collection, limit=_PAGE, offset=offset, with_vectors=True)
        if points:
            yield points
        if offset is None:
            return


def _info_of(store: Store, collection: str) -> CollectionInfo:
    info = store.info(collection)
    if info is None:
        raise collection_not_found_error(collection)
    raise_on_mismatch(collection, sharding_differences(info))
    if len(info.vectors) != 1 or len(info.sparse) > 1:
        raise ConfigurationError(
            f"{collection!r} has the vectors {[*info.vectors, *info.sparse]}, expected one dense "
            "vector and at most one sparse one: others cannot be moved by this package."
        )
    return info


def _schema_of(
    info: CollectionInfo, *, fingerprint: str | None = None, model: str | None = None
) -> CollectionSchema:
    ((vector_name, vector),) = info.vectors.items()
    if fingerprint is None:
        if len(info.fingerprints) != 1:
            raise ConfigurationError(
                f"{info.name!r} does not say which model filled it. Say so first: "
                "ensure_collection(..., adopt=True), or `multiqa collection create --adopt`."
            )
        (fingerprint,) = info.fingerprints
        model = info.model
    return CollectionSchema(
        fingerprint=fingerprint,
        model=model,
        size=vector.size,
        distance="dot" if vector.distance == "dot" else "cosine",
        vector_name=vector_name,
        sparse_name=next(iter(info.sparse), None),
        payload_indexes=info.index_parameters,
    )


def _same(point: Point, other: Point) -> bool:
    return (
        point.payload == other.payload
        and point.vectors.keys() == other.vectors.keys()
        and all(_close(vector, other.vectors[name]) for name, vector in point.vectors.items())
    )


def _same_but_the_vector(point: Point, other: Point) -> bool:
    return update_record(point.payload, fingerprint="") == update_record(
        other.payload, fingerprint=""
    )


def _close(left: Vector, right: Vector) -> bool:
    if isinstance(left, SparseVector) or isinstance(right, SparseVector):
        return (
            isinstance(left, SparseVector)
            and isinstance(right, SparseVector)
            and _entries(left) == _entries(right)
        )
    return left.shape == right.shape and bool(np.allclose(left, right, rtol=0, atol=_TOLERANCE))


def _entries(vector: SparseVector) -> dict[int, float]:
    return dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))


def _short(fingerprint: str) -> str:
    """Return eight characters of a fingerprint that may stand in a name: `sha256:1f2e…/mean`."""
    _, _, digest = fingerprint.rpartition(":")
    return "".join(filter(str.isalnum, digest.partition("/")[0]))[:8]
