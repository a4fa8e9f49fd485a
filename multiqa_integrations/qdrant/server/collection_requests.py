"""What is asked about collections: one generator of calls for each of the store's methods."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from qdrant_client import QdrantClient, models

from multiqa_integrations.errors import (
    CollectionNotFoundError,
    ConfigurationError,
    StorePermissionError,
    StoreUnavailableError,
)
from multiqa_integrations.qdrant.differences import differences, raise_on_mismatch, report_on
from multiqa_integrations.qdrant.dual import Steps
from multiqa_integrations.qdrant.failures import AlreadyExistsError, CollectionBrokenError
from multiqa_integrations.qdrant.info import (
    CollectionInfo,
    CollectionReport,
    VectorInfo,
    ensured_report,
    missing_indexes,
    written_by_us,
)
from multiqa_integrations.qdrant.names import (
    alias_conflict_error,
    check_name,
    check_no_alias,
    collection_not_found_error,
    is_alias_error,
)
from multiqa_integrations.qdrant.payload import RESERVED_KEY, PointRecord
from multiqa_integrations.qdrant.schema import METADATA_KEY, CollectionSchema, check_metadata
from multiqa_integrations.qdrant.server import features, limits, reserved, settings
from multiqa_integrations.qdrant.server.calls import Call, Connected, call
from multiqa_integrations.qdrant.server.options import CONNECTION_OPTIONS
from multiqa_integrations.qdrant.settings import CollectionSettings

_SAMPLE = 64  # points that are asked who wrote them where the collection does not say
# These belong to the vector, not to the collection.
_VECTOR_OPTIONS = ("on_disk", "memory", "datatype", "vector")
_SPARSE_OPTIONS = ("sparse_index",)
_FROM_SCHEMA = ("vectors_config", "sparse_vectors_config", "metadata")
_CREATE_OPTIONS = sorted(
    {
        *inspect.signature(QdrantClient.create_collection).parameters,
        *(*_VECTOR_OPTIONS, *_SPARSE_OPTIONS, *settings.LATER),
    }
    - {"self", "collection_name", "timeout", "kwargs", *_FROM_SCHEMA}
)


def ensure(
    self: Connected,
    /,
    collection: str,
    schema: CollectionSchema,
    *,
    adopt: bool = False,
    **options: Any,
) -> Steps[CollectionReport]:
    """Create the collection, or make sure that it fits."""
    name = check_name(collection)
    _check_create_options(options)
    asked_for = settings.asked_for(options)
    options = settings.to_models(options)
    indexes = {key: settings.index_model(kind, key) for key, kind in schema.payload_indexes.items()}
    yield from features.server_version(self)
    yield from features.check_options_are_known(self, options)
    yield from features.check_options_are_known(self, {"indexes": list(indexes.values())})
    created = False
    if not (yield call("collection_exists", collection_name=name)):
        try:
            yield _create(name, schema, options)
            created = True
            if later := {key: options[key] for key in settings.LATER if key in options}:
                params = models.CollectionParamsDiff(**later)
                yield call("update_collection", collection_name=name, collection_params=params)
        except AlreadyExistsError:
            pass  # somebody was faster: theirs is checked like any other
    found = yield from describe(self, name)
    raise_on_mismatch(name, differences(schema, found, indexes=False))
    adopted = adopt and not created and not found.fingerprints
    if adopted:
        yield call(
            "update_collection",
            collection_name=name,
            metadata={METADATA_KEY: schema.metadata(found.identity)},
        )
    created_indexes = missing_indexes(schema, found)
    for key in created_indexes:
        yield call(
            "create_payload_index",
            collection_name=name,
            field_name=key,
            field_schema=indexes[key],
            wait=True,
        )
    changed = created or adopted or created_indexes
    if changed:
        self.known.clear()  # by aliases too
    return ensured_report(
        (yield from describe(self, name)) if changed else found,
        found=found,
        created=created,
        adopt=adopted,
        created_indexes=created_indexes,
        asked_for=None if created else asked_for,
    )


def supported(
    self: Connected, wanted: CollectionSettings
) -> Steps[tuple[CollectionSettings, list[str]]]:
    """Return the settings that a new collection can have, and a line for each other one."""
    if self.local:
        return wanted.only(frozenset())
    yield from features.check_options_are_known(self, settings.to_models(wanted.given()))
    return wanted, []


def check_may_create(self: Connected) -> Steps[None]:
    """Raise if this key may not create collections."""
    if not self.local:
        # Nothing is changed: it takes the same right.
        yield call("update_collection_aliases", change_aliases_operations=[])


def check(self: Connected, collection: str, schema: CollectionSchema) -> Steps[CollectionReport]:
    """Check whether the collection fits."""
    return report_on(collection, schema, (yield from info(self, collection)))


def info(self: Connected, collection: str) -> Steps[CollectionInfo | None]:
    """Return what a collection is; None if there is none."""
    check_name(collection)
    try:
        return (yield from describe(self, collection))
    except CollectionNotFoundError:
        return None


def collections(self: Connected) -> Steps[list[str]]:
    """Return the names of the collections."""
    answer = yield call("get_collections")
    return sorted(collection.name for collection in answer.collections)


def broken(self: Connected) -> Steps[dict[str, str]]:
    """Return why collections are broken, by their names."""
    reasons: dict[str, str] = {}
    if self.local:
        return reasons
    for name in (yield from collections(self)):
        try:
            try:
                # Not repeated at first: each that is broken would be waited for.
                info = yield Call("get_collection", {"collection_name": name}, repeat=False)
            except StoreUnavailableError:
                info = yield call("get_collection", collection_name=name)
        except CollectionBrokenError as error:
            reasons[name] = str(error)
        except (CollectionNotFoundError, StorePermissionError):
            pass  # dropped meanwhile, or not for this key to read: nothing is known of it
        else:
            if (reason := _why_broken(info)) is not None:
                reasons[name] = f"the collection {name!r} is broken: {reason}."
    return reasons


def drop(self: Connected, collection: str, *, force: bool = False) -> Steps[bool]:
    """Delete a collection; returns whether there was one."""
    name = check_name(collection)
    self.known.pop(name, None)
    known = yield from aliases(self)
    if name in known:
        raise is_alias_error(name, known[name])
    if not (yield call("collection_exists", collection_name=name)):
        return False
    if not force:
        check_no_alias(name, known)
    yield call("delete_collection", collection_name=name)
    return True


def aliases(self: Connected) -> Steps[dict[str, str]]:
    """Return the collection of each alias."""
    answer = yield call("get_aliases")
    return {alias.alias_name: alias.collection_name for alias in answer.aliases}


def swap(self: Connected, alias: str, collection: str) -> Steps[str | None]:
    """Point an alias at a collection; return the one that it pointed at."""
    name = collection
    self.known.pop(check_name(alias), None)
    known = yield from aliases(self)
    if alias not in known and (yield call("collection_exists", collection_name=alias)):
        known = yield from aliases(self)  # somebody may have made it meanwhile
        if alias not in known:
            raise alias_conflict_error(alias)
    if name in known or not (yield call("collection_exists", collection_name=name)):
        raise collection_not_found_error(name)
    before = known.get(alias)
    operations: list[Any] = []
    if before is not None:
        forget = models.DeleteAlias(alias_name=alias)
        operations.append(models.DeleteAliasOperation(delete_alias=forget))
    create = models.CreateAlias(collection_name=name, alias_name=alias)
    operations.append(models.CreateAliasOperation(create_alias=create))
    # In one request: the server carries out both or neither, atomically.
    yield call("update_collection_aliases", change_aliases_operations=operations)
    return before


def annotations_in_points(self: Connected, collection: str) -> Steps[dict[str, Any]]:
    """Return what `annotate` wrote into points of the collection."""
    return (yield from reserved.read(self, collection))


def annotate(self: Connected, collection: str, key: str, value: Any) -> Steps[None]:
    """Set a value of a collection's metadata; None deletes it."""
    check_metadata(key, value)
    name = (yield from aliases(self)).get(collection, collection)
    # The server merges it into what is there, and drops what is null. A key without the right to
    # do so writes a point instead; what is in a point is newer than the metadata of the same key.
    if isinstance(value, Mapping):
        value = dict(value)
    try:
        yield call("update_collection", collection_name=name, metadata={key: value})
    except StorePermissionError:
        if value is None:
            yield from reserved.delete(self, name, key)
        else:
            yield from reserved.write(self, name, key, value)
    else:
        if key in (yield from reserved.read(self, name)):  # of a key with fewer rights
            yield from reserved.delete(self, name, key)


def _check_create_options(options: Mapping[str, Any]) -> None:
    """Refuse what nothing would use, whether the collection exists or not."""
    for ours in _FROM_SCHEMA:
        if ours in options:
            raise ConfigurationError(
                f"{ours} is made from the schema. Give the options of a vector "
                f"({', '.join(_VECTOR_OPTIONS)}) by themselves."
            )
    if unknown := sorted(options.keys() - set(_CREATE_OPTIONS)):
        raise ConfigurationError(
            f"neither a collection nor a connection has an option {', '.join(unknown)}. A "
            f"collection has {', '.join(_CREATE_OPTIONS)}; a connection "
            f"{', '.join(sorted(CONNECTION_OPTIONS))}."
        )
    method = options.get("sharding_method")
    if getattr(method, "value", method) == "custom":
        raise ConfigurationError(
            "sharding_method is 'custom', which this package does not support: it gives points no "
            "shard key. Leave it out, and separate tenants by a payload index with is_tenant."
        )


def _create(name: str, schema: CollectionSchema, options: dict[str, Any]) -> Any:
    vector = models.VectorParams(
        size=schema.size,
        distance=models.Distance.COSINE if schema.distance == "cosine" else models.Distance.DOT,
        **{name: options[name] for name in _VECTOR_OPTIONS[:3] if name in options},
        **options.get("vector", {}),
    )
    sparse = models.SparseVectorParams(
        index=options.get("sparse_index"),
        modifier=models.Modifier.IDF if schema.sparse_idf else None,
    )
    elsewhere = (*_VECTOR_OPTIONS, *_SPARSE_OPTIONS, *settings.LATER)
    return call(
        "create_collection",
        collection_name=name,
        vectors_config={schema.vector_name: vector} if schema.vector_name else vector,
        sparse_vectors_config={schema.sparse_name: sparse} if schema.sparse_name else None,
        metadata={METADATA_KEY: schema.metadata()},
        **{key: value for key, value in options.items() if key not in elsewhere},
    )


def describe(self: Connected, name: str, *, brief: bool = False) -> Steps[CollectionInfo]:
    """Return what a collection is; in brief, by one request, without what only points tell."""
    try:
        info = yield call("get_collection", collection_name=name)
    except CollectionNotFoundError as error:
        raise collection_not_found_error(name) from error
    self.query_limits[name] = limits.query_limit(info)
    params = info.config.params
    vectors = params.vectors or {}
    metadata = getattr(info.config, "metadata", None) or {}
    ours = written_by_us(metadata)
    fingerprints = [ours["fingerprint"]] if "fingerprint" in ours else []
    if not fingerprints and not brief:

        def read(size: int) -> Call:
            return call(
                "scroll",
                collection_name=name,
                limit=size,
                with_payload=[RESERVED_KEY],
                with_vectors=False,
            )

        records, _ = yield from limits.page(self, name, _SAMPLE, read)
        found = {PointRecord.of(record.payload or {}).fingerprint for record in records}
        fingerprints = sorted(fingerprint for fingerprint in found if fingerprint)
    return CollectionInfo(
        name=name,
        points=info.points_count or 0,
        vectors={
            name: VectorInfo(
                size=vector.size,
                distance=str(vector.distance.value).lower(),
                datatype=vector.datatype.value if vector.datatype else "float32",
                multivector=vector.multivector_config is not None,
            )
            for name, vector in (vectors if isinstance(vectors, dict) else {"": vectors}).items()
        },
        sparse={
            name: sparse.modifier == models.Modifier.IDF
            for name, sparse in (params.sparse_vectors or {}).items()
        },
        payload_indexes=None
        if self.local
        else {key: str(index.data_type.value) for key, index in info.payload_schema.items()},
        index_parameters={}
        if self.local
        else {
            key: {"type": str(index.data_type.value), **(settings.as_json(index.params) or {})}
            for key, index in info.payload_schema.items()
        },
        settings=None if self.local else settings.settings_of(info.config),
        fingerprints=tuple(fingerprints),
        model=ours.get("model"),
        identity=ours.get("identity"),
        indexed_vectors=None if self.local else info.indexed_vectors_count,
        metadata={key: value for key, value in metadata.items() if key != METADATA_KEY},
        details=_details(info),
        broken=_why_broken(info),
    )


def _why_broken(info: Any) -> str | None:
    error = getattr(info.optimizer_status, "error", None)
    if error is not None:
        return f"its optimizer has failed: {' '.join(str(error).split())}"
    if info.status == models.CollectionStatus.RED:
        return "its status is red: operations have failed on the server"
    return None


def _details(info: Any) -> dict[str, Any]:
    details: dict[str, Any] = {"status": str(info.status.value), "segments": info.segments_count}
    if info.config.quantization_config is not None:
        details["quantization"] = info.config.quantization_config.model_dump(
            mode="json", exclude_none=True
        )
    return details
