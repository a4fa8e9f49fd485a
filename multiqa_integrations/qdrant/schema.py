"""What a collection must be, what one is, and how they differ."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from multiqa_integrations.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    CollectionWarning,
    ConfigurationError,
    StoreError,
)
from multiqa_integrations.qdrant.settings import CollectionSettings
from multiqa_integrations.types import Encoder
from multiqa_integrations.values import json_fault

Distance: TypeAlias = Literal["cosine", "dot"]
FingerprintOutcome: TypeAlias = Literal["matches", "created", "adopted", "absent"]

METADATA_KEY = "multiqa"
"""Where a collection's metadata says which model fills it."""

SPARSE_NAME = "bm25"
"""The sparse vector of hybrid search, unless another name is given."""

INDEX_KINDS = ("keyword", "integer", "float", "bool", "datetime", "text", "uuid", "geo")

_FORBIDDEN_IN_NAMES = frozenset('<>:"/\\|?*')


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSchema:
    """What a collection must be to hold the vectors of one encoder.

    Attributes:
        fingerprint: Of the encoder's weights.
        model: The encoder's name: information, never compared.
        size: Length of a vector.
        distance: How a new collection compares. Unit vectors have the same scores by both, so
            that an existing one may have either.
        vector_name: "" is the unnamed vector.
        sparse_name: The sparse vector of hybrid search; None where there is none.
        sparse_idf: Whether that weighs by IDF: not in copies of other programs' collections.
        payload_indexes: Indexed payload fields and their kinds: one of `INDEX_KINDS`; an object of
            `qdrant_client.models` such as `KeywordIndexParams(is_tenant=True)`; or that as JSON,
            such as `{"type": "keyword", "is_tenant": True}`, which is taken exactly as it is.
    """

    fingerprint: str
    model: str | None = None
    size: int = 384
    distance: Distance = "cosine"
    vector_name: str = ""
    sparse_name: str | None = None
    sparse_idf: bool = True
    payload_indexes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.fingerprint, str) or not self.fingerprint:
            raise ConfigurationError(
                f"fingerprint is {self.fingerprint!r}, expected encoder.fingerprint."
            )
        if self.distance not in ("cosine", "dot"):
            raise ConfigurationError(f"distance is {self.distance!r}, expected 'cosine' or 'dot'.")
        for key, kind in self.payload_indexes.items():
            index_kind(kind, key)

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        *,
        distance: Distance = "cosine",
        vector_name: str = "",
        sparse: bool | str | None = None,
        payload_indexes: Mapping[str, Any] | None = None,
    ) -> CollectionSchema:
        """Return what a collection must be to hold the vectors of an encoder.

        Args:
            encoder: The encoder.
            distance: How a new collection compares.
            vector_name: "" is the unnamed vector.
            sparse: Whether there is a sparse vector for hybrid search, or its name.
            payload_indexes: Indexed payload fields and their kinds.

        Raises:
            ConfigurationError: An argument is wrong.
        """
        return cls(
            fingerprint=encoder.fingerprint,
            model=model_name(encoder),
            size=encoder.dimension,
            distance=distance,
            vector_name=vector_name,
            sparse_name=sparse_name(sparse),
            payload_indexes=payload_indexes or {},
        )

    def metadata(self, identity: str | None = None) -> dict[str, Any]:
        """Return what a collection's metadata says, under the key "multiqa".

        Args:
            identity: The collection's, if it has one; by default a new one.
        """
        return {
            "fingerprint": self.fingerprint,
            "model": self.model,
            "format": 1,
            "identity": identity or uuid.uuid4().hex,
        }


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


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a collection is not what it must be.

    Attributes:
        name: The property.
        expected: What it must be.
        actual: What it is.
        remedy: What to do.
    """

    name: str
    expected: object
    actual: object
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}: expected {self.expected}, found {self.actual}. {self.remedy}"


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


def check_name(name: str) -> str:
    """Return a collection's name.

    Raises:
        ConfigurationError: No engine takes it, or it could not be a directory.
    """
    if (
        not isinstance(name, str)
        or not 0 < len(name.encode("utf-8", "replace")) <= 255
        or not _FORBIDDEN_IN_NAMES.isdisjoint(name)
        or name.startswith(".")
        or not name.isprintable()
        or name != name.strip()
    ):
        raise ConfigurationError(
            f"the collection's name is {name!r}, expected 1 to 255 bytes without "
            f"{' '.join(sorted(_FORBIDDEN_IN_NAMES))}, control characters, outer spaces and a "
            "leading dot."
        )
    return name


def index_kind(kind: object, key: str) -> str:
    """Return the kind of a payload index.

    Raises:
        ConfigurationError: There is no such kind.
    """
    if isinstance(kind, Mapping):
        kind = kind.get("type")
    elif not isinstance(kind, str):  # KeywordIndexParams and its like, of either library
        kind = type(kind).__name__.removesuffix("IndexParams").lower()
    if kind not in INDEX_KINDS:
        raise ConfigurationError(
            f"the index of {key!r} is {kind!r}, expected one of {', '.join(INDEX_KINDS)}, or "
            "parameters of qdrant_client.models such as KeywordIndexParams(...)."
        )
    return str(kind)


def missing_indexes(schema: CollectionSchema, info: CollectionInfo) -> list[str]:
    """Return the payload indexes that the collection lacks."""
    if info.payload_indexes is None:
        return []
    return [key for key in schema.payload_indexes if key not in info.payload_indexes]


def differences(
    schema: CollectionSchema, info: CollectionInfo, *, indexes: bool
) -> list[Difference]:
    """Find everything in which a collection is not what it must be.

    Args:
        schema: What it must be.
        info: What it is.
        indexes: Whether a missing payload index counts.
    """
    found = [
        *sharding_differences(info),
        *_vector_differences(schema, info),
        *_sparse_differences(schema, info),
        *_fingerprint_differences(schema, info),
    ]
    if info.payload_indexes is None:
        return found
    for key, requested in schema.payload_indexes.items():
        kind = index_kind(requested, key)
        actual = info.payload_indexes.get(key)
        if actual is None and indexes:
            found.append(
                Difference(f"payload index {key}", kind, "none", "ensure_collection() creates it.")
            )
        elif actual is not None and actual != kind:
            found.append(
                Difference(
                    f"payload index {key}", kind, actual, "Drop that index, or ask for its kind."
                )
            )
    return found


def sharding_differences(info: CollectionInfo) -> list[Difference]:
    """Find whether a collection is sharded in a way that this package cannot write to."""
    if info.settings is None or info.settings.sharding_method != "custom":
        return []
    remedy = "Points would need a shard key, which this package does not give: use another."
    return [Difference("sharding", "automatic", "custom (by shard keys)", remedy)]


def _vector_differences(schema: CollectionSchema, info: CollectionInfo) -> list[Difference]:
    expected = f"named {schema.vector_name!r}" if schema.vector_name else "unnamed"
    vector = info.vectors.get(schema.vector_name)
    if vector is None:
        if set(info.vectors) == {""}:
            actual, remedy = "unnamed", "Leave vector_name out."
        elif info.vectors:
            actual = "named " + ", ".join(map(repr, info.vectors))
            remedy = "Give one of them as vector_name."
        else:
            actual, remedy = "none", "Use another collection."
        return [Difference("vector", expected, actual, remedy)]
    found = []
    another = "Another model filled it: use that model, or another collection."
    if vector.size != schema.size:
        found.append(Difference("dimension", schema.size, vector.size, another))
    if vector.distance not in ("cosine", "dot"):
        found.append(
            Difference(
                "distance", schema.distance, vector.distance, "Copy it into a cosine collection."
            )
        )
    if vector.datatype == "uint8":
        found.append(
            Difference(
                "datatype",
                "float32 or float16",
                vector.datatype,
                "Numbers between -1 and 1 all become 0 there: copy it into another collection.",
            )
        )
    if vector.multivector:
        found.append(
            Difference("vectors per point", "one", "many (multivector)", "Use another collection.")
        )
    return found


def _sparse_differences(schema: CollectionSchema, info: CollectionInfo) -> list[Difference]:
    name = schema.sparse_name
    if name is None:
        return []
    if name not in info.sparse:
        return [
            Difference(
                "sparse vector",
                f"{name!r} with IDF",
                ", ".join(map(repr, info.sparse)) or "none",
                "Only a collection created with sparse=True (--sparse) has it: create a new one "
                "and add the documents again.",
            )
        ]
    if info.sparse[name] is not schema.sparse_idf:
        with_or_not = {True: f"{name!r} with IDF", False: f"{name!r} without IDF"}
        return [
            Difference(
                "sparse vector",
                with_or_not[schema.sparse_idf],
                with_or_not[info.sparse[name]],
                "Update the collection with Modifier.IDF, or make a new one with sparse=True.",
            )
        ]
    return []


def _fingerprint_differences(schema: CollectionSchema, info: CollectionInfo) -> list[Difference]:
    others = sorted(set(info.fingerprints) - {schema.fingerprint})
    if not others:
        return []
    by = f" ({info.model})" if info.model else ""
    return [
        Difference(
            "fingerprint",
            schema.fingerprint,
            " and ".join(sorted(info.fingerprints)),
            f"A model with other weights filled it{by}; vectors of both cannot be compared. Use "
            "that model, or another collection.",
        )
    ]


def raise_on_mismatch(name: str, found: list[Difference]) -> None:
    """Raise the error that names all differences, if there are any.

    Raises:
        CollectionMismatchError: There are.
    """
    if found:
        raise mismatch_error(name, found)


def mismatch_error(name: str, found: list[Difference]) -> CollectionMismatchError:
    """Build the error that names all differences."""
    lines = "".join(f"\n- {difference}" for difference in found)
    return CollectionMismatchError(
        f"the collection {name!r} does not fit; nothing was changed:{lines}",
        collection=name,
        expected={difference.name: difference.expected for difference in found},
        actual={difference.name: difference.actual for difference in found},
    )


def report_on(name: str, schema: CollectionSchema, info: CollectionInfo | None) -> CollectionReport:
    """Report on a collection that was only looked at.

    Raises:
        CollectionMismatchError: There is none, or it differs.
    """
    if info is None:
        missing = Difference(
            "collection", "one of that name", "none", "Create it with ensure_collection()."
        )
        raise mismatch_error(name, [missing])
    raise_on_mismatch(name, differences(schema, info, indexes=True))
    return ensured_report(info, found=info)


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


def check_metadata(key: str, value: Any) -> None:
    """Make sure that something may be written into a collection's metadata.

    Raises:
        ConfigurationError: The key is not text or this package's own, or the value is not JSON.
    """
    if not isinstance(key, str) or not key or key == METADATA_KEY:
        raise ConfigurationError(
            f"the key of the metadata is {key!r}, expected text other than {METADATA_KEY!r}."
        )
    if fault := json_fault(value, any_integer=True):
        raise ConfigurationError(f"the metadata {key!r} {fault}.")


def filled_sparse_vector(schema: CollectionSchema, report: CollectionReport) -> str | None:
    """Return the sparse vector that documents get.

    Where the collection has ours, every document gets it, asked for or not: one without it
    would silently be missing from hybrid searches.
    """
    if schema.sparse_name is not None:
        return schema.sparse_name
    return SPARSE_NAME if report.info.sparse.get(SPARSE_NAME) else None


def sparse_name(sparse: bool | str | None) -> str | None:
    """Return the name of the sparse vector of hybrid search; None where there is none.

    Raises:
        ConfigurationError: `sparse` is neither a boolean nor a name.
    """
    if sparse is None or isinstance(sparse, bool):
        return SPARSE_NAME if sparse else None
    if not isinstance(sparse, str) or not sparse:
        raise ConfigurationError(f"sparse is {sparse!r}, expected True, False or a name.")
    return sparse


def model_name(encoder: Encoder) -> str | None:
    """Return the name of an encoder's model; None if it does not say."""
    name = getattr(getattr(encoder, "spec", None), "name", None)
    return name if isinstance(name, str) else None


def collection_not_found_error(name: str) -> CollectionNotFoundError:
    """Build the error for a collection that does not exist."""
    return CollectionNotFoundError(
        f"there is no collection {name!r}. Create it: ensure_collection(...), "
        "Collection.open(...), or `multiqa collection create`."
    )


def alias_conflict_error(alias: str) -> StoreError:
    """Build the error for an alias that would have the name of a collection."""
    return StoreError(
        f"{alias!r} is the name of a collection, so it cannot be an alias too. Copy that "
        "collection to another name, drop it, and point the alias at the copy."
    )


def is_alias_error(alias: str, collection: str) -> StoreError:
    """Build the error for an alias where a collection was to be dropped."""
    return StoreError(
        f"{alias!r} is an alias of the collection {collection!r}; it was not dropped. Drop that "
        "collection by its own name, if it is what you mean."
    )


def check_no_alias(name: str, aliases: Mapping[str, str]) -> None:
    """Raise if an alias stands for a collection that is to be dropped.

    Raises:
        StoreError: At least one does.
    """
    standing = sorted(alias for alias, collection in aliases.items() if collection == name)
    if standing:
        raise StoreError(
            f"the collection {name!r} was not dropped: searches find it by the alias "
            f"{', '.join(map(repr, standing))}. Point the alias at another collection first with "
            "swap(), or drop both with force=True."
        )


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
