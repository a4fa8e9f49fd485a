"""The collection that a migration makes: like the old one, as the engine describes that."""

from __future__ import annotations

import warnings
from typing import Any

from multiqa_integrations.errors import CollectionWarning, ConfigurationError
from multiqa_integrations.qdrant.differences import (
    differences,
    raise_on_mismatch,
    sharding_differences,
)
from multiqa_integrations.qdrant.info import CollectionInfo, CollectionReport, warned
from multiqa_integrations.qdrant.names import collection_not_found_error
from multiqa_integrations.qdrant.schema import CollectionSchema
from multiqa_integrations.qdrant.settings import CollectionSettings
from multiqa_integrations.qdrant.store import Store

FILLING_KEY = "multiqa.filling"
"""Where the metadata of a new collection says what it is being filled from."""

_OURS = "multiqa."


def describe(store: Store, collection: str) -> CollectionInfo:
    """Return what a collection is that can be moved.

    Raises:
        CollectionNotFoundError: There is none.
        CollectionMismatchError: It is sharded by keys.
        ConfigurationError: It has several vectors.
    """
    info = store.info(collection)
    if info is None:
        raise collection_not_found_error(collection)
    raise_on_mismatch(collection, sharding_differences(info))
    if len(info.vectors) != 1 or len(info.sparse) > 1:
        raise ConfigurationError(
            f"{collection!r} has the vectors {[*info.vectors, *info.sparse]}, expected one dense "
            "vector and at most one sparse one: others cannot be moved by this package."
        )
    (vector,) = info.vectors.values()
    if vector.datatype not in ("float32", "float16") or vector.multivector:
        what = "many vectors a point" if vector.multivector else f"vectors of {vector.datatype}"
        raise ConfigurationError(
            f"{collection!r} has {what}, expected one of float32 or float16: others cannot be "
            "moved by this package."
        )
    return info


def schema_of(
    info: CollectionInfo, *, fingerprint: str | None = None, model: str | None = None
) -> CollectionSchema:
    """Return what the new collection must be.

    Args:
        info: What the old one is.
        fingerprint: Of another model; by default that of the old collection.
        model: Its name.

    Raises:
        ConfigurationError: The old one does not say which model filled it.
    """
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
        sparse_idf=all(info.sparse.values()),
        payload_indexes=info.index_parameters,
    )


def options_of(
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
    (vector,) = info.vectors.values()
    if vector.distance not in ("cosine", "dot"):
        left_out = [*left_out, f"distance ({vector.distance}: cosine is equal on unit vectors)"]
    if left_out:
        warnings.warn(
            f"the new collection in {target!r} is left without these settings of {info.name!r}, "
            f"which it cannot have: {', '.join(left_out)}.",
            CollectionWarning,
            stacklevel=5,
        )
    return kept.given()


def check_target(target: Store, to: str, schema: CollectionSchema) -> CollectionInfo | None:
    """Return what there is under the new collection's name; None if it can be created.

    Raises:
        CollectionMismatchError: What is there does not fit.
        ConfigurationError: The name is an alias.
        StorePermissionError: The API key may not create a collection.
        StoreError: The directory cannot be written.
    """
    if (collection := target.aliases().get(to)) is not None:
        raise ConfigurationError(
            f"{to!r} is an alias of {collection!r}, expected the new collection's own name. Point "
            "the alias at it afterwards: swap(), or `multiqa alias`."
        )
    info = target.info(to)
    if info is None:
        target.check_may_create()
        return None
    raise_on_mismatch(to, differences(schema, info, indexes=False))  # indexes are created
    return info


def create(
    target: Store, to: str, schema: CollectionSchema, options: dict[str, Any], old: CollectionInfo
) -> bool:
    """Create the new collection, with what others wrote into the metadata of the old one.

    Returns:
        Whether all that it has comes from the old one.
    """
    report: CollectionReport = warned(target.ensure(to, schema, **options), stacklevel=5)
    metadata = report.info.metadata
    for key, value in old.metadata.items():
        if not key.startswith(_OURS) and metadata.get(key) != value:
            target.annotate(to, key, value)
    filling = {"from": old.identity or old.name}
    if report.created:
        target.annotate(to, FILLING_KEY, filling)
    return report.created or metadata.get(FILLING_KEY) == filling
