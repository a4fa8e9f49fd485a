"""What a collection is, and the report on it to whoever opens it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from multiqa_integrations.errors import CollectionWarning
from multiqa_integrations.qdrant.schema import METADATA_KEY, SPARSE_NAME, CollectionSchema
from multiqa_integrations.qdrant.settings import CollectionSettings

FingerprintOutcome: TypeAlias = Literal["matches", "created", "adopted", "absent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorInfo:
    """A dense vector that a collection has: its length, metric and type of numbers."""

    size: int
    distance: str
    datatype: str = "float32"
    multivector: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionInfo:
    """What a collection is.

    Attributes:
        name: Its name.
        points: How many points it has.
        vectors: Its dense vectors by name.
        sparse: Its sparse vectors by name; whether they weigh by IDF.
        payload_indexes: Indexed payload fields and their kinds; None where the engine has none
            and compares every payload (the client's local mode).
        fingerprints: Of the models that filled it, as far as it says.
        model: The name of that model, if it says.
        identity: Different for each collection that was ever created, also under the same name;
            None where the collection has none (another program made it).
        indexed_vectors: How many are in an HNSW graph or other index; None if unknown.
        settings: How it is kept; None where the engine has no settings (the client's local mode).
        index_parameters: All parameters of its payload indexes, as JSON.
        metadata: What was written down with `Store.annotate`.
        details: What else the engine tells, such as quantization.
        broken: Why the engine says that the collection is broken; None where it does not.
    """

    name: str
    points: int
    vectors: Mapping[str, VectorInfo]
    sparse: Mapping[str, bool] = field(default_factory=dict)
    payload_indexes: Mapping[str, str] | None = None
    fingerprints: tuple[str, ...] = ()
    model: str | None = None
    identity: str | None = None
    indexed_vectors: int | None = None
    settings: CollectionSettings | None = None
    index_parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    broken: str | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Names and lengths of the dense vectors."""
        return {name: vector.size for name, vector in self.vectors.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionReport:
    """What was found of a collection, and what was done to it.

    Attributes:
        info: What it is now.
        created: Whether it was created.
        fingerprint: "matches" the encoder's; "created" with the collection; "adopted", written
            because of `adopt=True`; "absent", so that only dimension and metric could be checked.
        created_indexes: The payload indexes that were created.
        notes: What is not wrong but good to know.
    """

    info: CollectionInfo
    created: bool = False
    fingerprint: FingerprintOutcome = "matches"
    created_indexes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def collection(self) -> str:
        """The collection's name."""
        return self.info.name


def written_by_us(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return what a collection's metadata says under our key, without what somebody overwrote."""
    ours = metadata.get(METADATA_KEY)
    if not isinstance(ours, Mapping):
        return {}
    return {key: value for key, value in ours.items() if isinstance(value, str) and value}


def missing_indexes(schema: CollectionSchema, info: CollectionInfo) -> list[str]:
    """Return the payload indexes that the collection lacks."""
    if info.payload_indexes is None:
        return []
    return [key for key in schema.payload_indexes if key not in info.payload_indexes]


def filled_sparse_vector(schema: CollectionSchema, report: CollectionReport) -> str | None:
    """Return the sparse vector that documents get.

    Where the collection has ours, every document gets it, asked for or not: one without it
    would silently be missing from hybrid searches.
    """
    if schema.sparse_name is not None:
        return schema.sparse_name
    return SPARSE_NAME if report.info.sparse.get(SPARSE_NAME) else None


def ensured_report(
    info: CollectionInfo,
    *,
    found: CollectionInfo,
    created: bool = False,
    adopt: bool = False,
    created_indexes: Iterable[str] = (),
    asked_for: CollectionSettings | None = None,
) -> CollectionReport:
    """Report on a collection that fits.

    Args:
        info: What it is now.
        found: What it was before anything was changed.
        created: Whether it was created.
        adopt: Whether it was given the fingerprint that it lacked.
        created_indexes: The payload indexes that were created.
        asked_for: Settings that an existing collection was asked for.
    """
    outcome: FingerprintOutcome
    if created:
        outcome = "created"
    elif found.fingerprints:
        outcome = "matches"
    else:
        outcome = "adopted" if adopt else "absent"
    return CollectionReport(
        info=info,
        created=created,
        fingerprint=outcome,
        created_indexes=tuple(created_indexes),
        notes=(
            *([fingerprint_note(info.name)] if outcome == "absent" else []),
            *([broken_note(info)] if info.broken is not None else []),
            *([unweighted_note(info.name)] if info.sparse.get(SPARSE_NAME) is False else []),
            *_settings_notes(info, asked_for),
        ),
    )


def _settings_notes(info: CollectionInfo, asked_for: CollectionSettings | None) -> list[str]:
    """Return a note on the settings that a collection does not have, if there are such."""
    if asked_for is None or info.settings is None:
        return []
    if not (found := asked_for.differences(info.settings)):
        return []
    return [
        f"the collection {info.name!r} exists and keeps its settings, of which other ones were "
        f"asked for: {'; '.join(found)}. Copy it to a new collection with them (multiqa copy), or "
        "leave them out."
    ]


def fingerprint_note(name: str) -> str:
    """Return the note on a collection that does not say which model filled it."""
    return (
        f"the collection {name!r} does not say which model filled it, so that only dimension and "
        "metric could be checked. If it was this model, say so once with adopt=True."
    )


def broken_note(info: CollectionInfo) -> str:
    """Return the note on a collection of which the engine says that it is broken."""
    return (
        f"the collection {info.name!r} is broken: {info.broken}. Look at the server's log; if it "
        "cannot be mended, drop the collection and fill it again."
    )


def unweighted_note(name: str) -> str:
    """Return the note on a collection whose sparse vector is named like ours but is another's."""
    return (
        f"the sparse vector {SPARSE_NAME!r} of the collection {name!r} has no IDF, so it is not "
        "this package's: documents get none, and searches by words are refused. To have both, "
        "update the collection with Modifier.IDF and add the documents again."
    )


def warned(report: CollectionReport, *, stacklevel: int = 3) -> CollectionReport:
    """Warn of what is not wrong but good to know, at the place of the caller's caller."""
    for note in report.notes:
        warnings.warn(note, CollectionWarning, stacklevel=stacklevel)
    return report
