"""Where a collection is not what it must be, with what to do about each difference."""

from __future__ import annotations

from dataclasses import dataclass

from multiqa_integrations.errors import CollectionMismatchError
from multiqa_integrations.qdrant.info import CollectionInfo, CollectionReport, ensured_report
from multiqa_integrations.qdrant.schema import CollectionSchema, index_kind


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
                Difference(
                    f"payload index {key}",
                    kind,
                    "none",
                    "ensure_collection() (multiqa collection create --index) creates it.",
                )
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
            "collection",
            "one of that name",
            "none",
            "Create it with ensure_collection() (multiqa collection create).",
        )
        raise mismatch_error(name, [missing])
    raise_on_mismatch(name, differences(schema, info, indexes=True))
    return ensured_report(info, found=info)
