"""What is asked of a server: one generator of calls for each of the store's methods."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

from multiqa_integrations.errors import (
    CollectionNotFoundError,
    ConfigurationError,
    StoreError,
    StoreLimitError,
    StorePermissionError,
    StoreUnavailableError,
)
from multiqa_integrations.qdrant.dual import Steps
from multiqa_integrations.qdrant.failures import AlreadyExistsError, CollectionBrokenError
from multiqa_integrations.qdrant.filters import (
    PayloadEquals,
    check_filter,
    check_selection,
)
from multiqa_integrations.qdrant.indexes import IndexedTest, check_indexes, indexed_tests
from multiqa_integrations.qdrant.payload import RESERVED_KEY, PointRecord
from multiqa_integrations.qdrant.points import (
    Point,
    PointId,
    PointQuery,
    ScoredPoint,
    SparseVector,
    Vector,
    check_points,
    payload_keys,
)
from multiqa_integrations.qdrant.schema import (
    METADATA_KEY,
    CollectionInfo,
    CollectionReport,
    CollectionSchema,
    VectorInfo,
    alias_conflict_error,
    check_metadata,
    check_name,
    check_no_alias,
    collection_not_found_error,
    differences,
    ensured_report,
    is_alias_error,
    missing_indexes,
    raise_on_mismatch,
    report_on,
    written_by_us,
)
from multiqa_integrations.qdrant.server import limits, replicas, reserved, settings
from multiqa_integrations.qdrant.server.calls import Call, Connected, call
from multiqa_integrations.qdrant.server.nulls import with_plain_nulls
from multiqa_integrations.qdrant.server.options import CONNECTION_OPTIONS
from multiqa_integrations.qdrant.settings import CollectionSettings

_IDS = 1_000  # of a request
_QUERIES = 256  # of a request
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
    yield from limits.server_version(self)
    yield from limits.check_options_are_known(self, options)
    yield from limits.check_options_are_known(self, {"indexes": list(indexes.values())})
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
    found = yield from _info(self, name)
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
        (yield from _info(self, name)) if changed else found,
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
    yield from limits.check_options_are_known(self, settings.to_models(wanted.given()))
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
        return (yield from _info(self, collection))
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


def upsert(self: Connected, collection: str, points: Sequence[Point]) -> Steps[None]:
    """Write points; all are checked before the first is sent."""
    if not points:
        return
    name, known = collection, self.known
    if name not in known:
        known[name] = yield from _info(self, name, brief=True)
    check_points(points, known[name].sizes, known[name].sparse)
    if not self.local:
        limits.check_payloads(points, grpc=self.grpc)
    answer = yield call(
        "upsert", collection_name=name, points=[_point_struct(point) for point in points], wait=True
    )
    _completed(answer, "upsert", name)


def retrieve(
    self: Connected,
    collection: str,
    ids: Sequence[PointId],
    *,
    with_payload: bool | Sequence[str] = True,
    with_vectors: bool = False,
) -> Steps[list[Point]]:
    """Read points by their ids, in the order of the ids; missing ones are left out."""
    if not ids:
        return []

    def read(batch: Sequence[PointId]) -> Call:
        return call(
            "retrieve",
            collection_name=collection,
            ids=list(batch),
            with_payload=payload_keys(with_payload),
            with_vectors=with_vectors,
        )

    pages = yield from limits.in_parts(self, collection, list(dict.fromkeys(ids)), _IDS, read)
    read_records = [record for records in pages for record in records]
    yield from _restore_numbers(self, collection, read_records, with_payload)
    found = {record.id: _point(record) for record in read_records}
    return [found[id] for id in dict.fromkeys(ids) if id in found]


def delete(
    self: Connected,
    collection: str,
    *,
    ids: Sequence[PointId] | None = None,
    filter: models.Filter | None = None,
) -> Steps[None]:
    """Delete points by their ids or by a filter that is not empty."""
    check_selection(ids, filter)
    if ids is not None and not ids:
        return
    filter = yield from _filter(self, collection, filter)

    def remove(selector: Any) -> Call:
        return call("delete", collection_name=collection, points_selector=selector, wait=True)

    if filter is not None:
        answers = [(yield remove(models.FilterSelector(filter=filter)))]
    else:
        answers = yield from limits.in_parts(
            *(self, collection, list(ids or ()), _IDS),
            lambda batch: remove(models.PointIdsList(points=batch)),
        )
    for answer in answers:
        _completed(answer, "delete", collection)


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


def query(self: Connected, collection: str, query: PointQuery) -> Steps[list[ScoredPoint]]:
    """Find points."""
    asked = yield from _arguments(self, collection, query)
    answer = yield call("query_points", collection_name=collection, **asked)
    yield from _restore_numbers(self, collection, answer.points, query.with_payload)
    return _scored(answer, query)


def query_batch(
    self: Connected, collection: str, queries: Sequence[PointQuery]
) -> Steps[list[list[ScoredPoint]]]:
    """Find points for several queries in one request."""
    if not queries:
        return []
    requests = []
    for query in queries:
        arguments = yield from _arguments(self, collection, query)
        requests.append(
            models.QueryRequest(
                filter=arguments.pop("query_filter"),
                params=arguments.pop("search_params"),
                with_vector=arguments.pop("with_vectors"),
                **arguments,
            )
        )
    pages = yield from limits.in_parts(
        *(self, collection, requests, _QUERIES),
        lambda batch: call("query_batch_points", collection_name=collection, requests=batch),
    )
    answers = [answer for page in pages for answer in page]
    if len(answers) != len(queries):
        raise StoreError(
            f"the server gave {len(answers)} answers to {len(queries)} queries. Look at what is "
            "there: a proxy, or another server."
        )
    for answer, query in zip(answers, queries, strict=True):
        yield from _restore_numbers(self, collection, answer.points, query.with_payload)
    return [_scored(answer, query) for answer, query in zip(answers, queries, strict=True)]


def _fit(self: Connected, collection: str, query: PointQuery) -> Steps[PointQuery]:
    if self.local:
        return query
    if collection not in self.query_limits:
        yield from _info(self, collection, brief=True)
    try:
        return limits.fit_query(query, self.query_limits[collection], collection)
    except StoreLimitError:  # it may have been raised since it was read
        yield from _info(self, collection, brief=True)
        return limits.fit_query(query, self.query_limits[collection], collection)


def scroll(
    self: Connected,
    collection: str,
    *,
    filter: models.Filter | PayloadEquals | None = None,
    limit: int = 256,
    offset: PointId | None = None,
    with_payload: bool | Sequence[str] = True,
    with_vectors: bool = False,
) -> Steps[tuple[list[Point], PointId | None]]:
    """Read a page of points in the order of their ids; returns where the next one begins."""
    if isinstance(filter, PayloadEquals):
        filter = _all_match(filter)
    filter = yield from _filter(self, collection, filter)
    # One replica names the points, and all of them say what these are.
    by_ids = yield from replicas.agreed(self, collection)

    def read(size: int) -> Call:
        return call(
            "scroll",
            collection_name=collection,
            scroll_filter=filter,
            limit=size,
            offset=offset,
            with_payload=False if by_ids else payload_keys(with_payload),
            with_vectors=with_vectors and not by_ids,
        )

    records, following = yield from limits.page(self, collection, limit, read)
    if self.local:
        return [_point(record) for record in records], following
    limits.check_order([record.id for record in records], offset, following)
    if following is not None and reserved.is_annotation(following):
        following = None
    records = [record for record in records if not reserved.is_annotation(record.id)]
    if by_ids:
        ids = [record.id for record in records]
        points = yield from retrieve(
            self, collection, ids, with_payload=with_payload, with_vectors=with_vectors
        )
        return points, following
    yield from _restore_numbers(self, collection, records, with_payload)
    return [_point(record) for record in records], following


def _restore_numbers(
    self: Connected, collection: str, records: Sequence[Any], with_payload: bool | Sequence[str]
) -> Steps[None]:
    """Read payloads again, by REST, whose whole numbers gRPC may have rounded to floats."""
    rounded = [r for r in records if limits.has_rounded(r.payload)] if self.grpc else []

    def read(batch: Sequence[PointId]) -> Call:
        request = models.PointRequest(
            ids=list(batch), with_payload=payload_keys(with_payload), with_vector=False
        )
        return Call(
            "http.points_api.get_points", {"collection_name": collection, "point_request": request}
        )

    ids = list(dict.fromkeys(record.id for record in rounded))
    answers = yield from limits.in_parts(self, collection, ids, _IDS, read)
    exact = {record.id: record.payload for answer in answers for record in answer.result}
    for record in rounded:
        record.payload = exact.get(record.id, record.payload)


def _filter(
    self: Connected, collection: str, filter: models.Filter | None
) -> Steps[models.Filter | None]:
    """Return a filter as this server is to be asked.

    Raises:
        ConfigurationError: It would ignore it, or read it in another way than other engines.
    """
    check_filter(filter)
    yield from limits.check_filter_is_known(self, filter)
    tests = indexed_tests(filter)
    if filter is None or self.local:
        return filter
    if tests:
        yield from _check_indexes(self, collection, tests)
    return with_plain_nulls(filter, self.version)


def _check_indexes(self: Connected, collection: str, tests: set[IndexedTest]) -> Steps[None]:
    info = self.known.get(collection)
    texts = {test.key for test in tests if test.kind == "text"}
    if info is None or not texts <= (info.payload_indexes or {}).keys():
        info = self.known[collection] = yield from _info(self, collection, brief=True)
    check_indexes(tests, info.payload_indexes or {})


def _all_match(matches: PayloadEquals) -> models.Filter:
    return models.Filter(
        must=[
            models.FieldCondition(
                key=key,
                match=models.MatchValue(value=value)
                if isinstance(value, str)
                else models.MatchAny(any=list(value)),
            )
            for key, value in matches.items()
        ]
    )


def count(
    self: Connected, collection: str, *, filter: models.Filter | PayloadEquals | None = None
) -> Steps[int]:
    """Count points exactly."""
    if isinstance(filter, PayloadEquals):
        filter = _all_match(filter)
    filter = yield from _filter(self, collection, filter)
    try:
        in_points = yield from reserved.read(self, collection, repeat=False)
    except StoreError:  # the count may be too large by as many, and is better than none
        in_points = {}
    filter = reserved.without(filter, list(in_points))
    try:
        answer = yield call("count", collection_name=collection, count_filter=filter, exact=True)
    except StoreLimitError as error:
        if "Exact" not in str(error):
            raise
        return (yield from _count_pages(self, collection, filter))
    return int(answer.count)


def _count_pages(self: Connected, collection: str, filter: models.Filter | None) -> Steps[int]:
    """Count points page by page, where strict mode forbids exact counts."""
    total, offset = 0, None
    while True:
        points, offset = yield from scroll(
            self, collection, filter=filter, limit=2_000, offset=offset, with_payload=False
        )
        total += len(points)
        if offset is None:
            return total


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


def _info(self: Connected, name: str, *, brief: bool = False) -> Steps[CollectionInfo]:
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


def _completed(answer: Any, what: str, name: str) -> None:
    if answer.status != models.UpdateStatus.COMPLETED:
        raise StoreError(
            f"the {what} in {name!r} was only {answer.status.value}, not completed: it may be "
            "done later or fail. Repeat it; the same ids overwrite."
        )


def _point_struct(point: Point) -> models.PointStruct:
    vectors = {name: _vector(vector) for name, vector in point.vectors.items()}
    return models.PointStruct(
        id=point.id,
        vector=vectors[""] if set(vectors) == {""} else vectors,
        payload=dict(point.payload),
    )


def _vector(vector: Vector) -> Any:
    if isinstance(vector, SparseVector):
        return models.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())
    return vector.tolist()


def _vectors(vector: Any) -> dict[str, Vector]:
    if vector is None:
        return {}
    named = vector if isinstance(vector, dict) else {"": vector}
    return {
        name: SparseVector(
            np.asarray(vector.indices, np.uint32), np.asarray(vector.values, np.float32)
        )
        if isinstance(vector, models.SparseVector)
        else np.asarray(vector, np.float32)
        for name, vector in named.items()
    }


def _point(record: Any) -> Point:
    return Point(record.id, _vectors(record.vector), record.payload or {})


def _scored(answer: Any, query: PointQuery) -> list[ScoredPoint]:
    skipped = _skipped_here(query)
    return [_scored_point(point) for point in answer.points[skipped : skipped + query.limit]]


def _scored_point(point: Any) -> ScoredPoint:
    score = float(point.score)
    if not math.isfinite(score):
        raise StoreError(
            f"the server gave the point {point.id!r} the score {score}, which is none: its vector "
            "is broken. Add that document again, or delete it."
        )
    return ScoredPoint(point.id, _vectors(point.vector), point.payload or {}, score=score)


def _skipped_here(query: PointQuery) -> int:
    """Return how many hits are asked for and dropped: with MMR a server takes offset off limit."""
    return 0 if query.diversity is None else query.offset


def _arguments(self: Connected, collection: str, query: PointQuery) -> Steps[dict[str, Any]]:
    """Return the arguments of `query_points`."""
    filter = yield from _filter(self, collection, query.filter)
    query = yield from _fit(self, collection, query)
    return _query(replace(query, filter=filter), self.local)


def _query(query: PointQuery, local: bool) -> dict[str, Any]:
    params = _params(query, local)
    skipped_here = _skipped_here(query)
    arguments: dict[str, Any] = {
        "limit": query.limit + skipped_here,
        "offset": (query.offset - skipped_here) or None,
        "score_threshold": query.score_threshold,
        "query_filter": query.filter,
        "search_params": params,
        "with_payload": query.with_payload,
        "with_vectors": query.with_vectors,
    }
    dense: Any = None if query.vector is None else query.vector.tolist()
    if query.fused:
        arguments["query"] = models.FusionQuery(fusion=models.Fusion.RRF)
        arguments["prefetch"] = [
            models.Prefetch(
                query=dense,
                using=query.vector_name or None,
                filter=query.filter,
                params=params,
                limit=query.candidate_limit,
            ),
            models.Prefetch(
                query=_vector(query.sparse),  # type: ignore[arg-type]  # fused has both
                using=query.sparse_name,
                filter=query.filter,
                limit=query.candidate_limit,
            ),
        ]
    elif query.sparse is not None:
        arguments["query"] = _vector(query.sparse)
        arguments["using"] = query.sparse_name
    else:
        arguments["query"] = (
            dense
            if query.diversity is None
            else models.NearestQuery(
                nearest=dense,
                mmr=models.Mmr(diversity=query.diversity, candidates_limit=query.candidate_limit),
            )
        )
        arguments["using"] = query.vector_name or None
    return arguments


def _params(query: PointQuery, local: bool) -> models.SearchParams | None:
    """Return the search parameters; None where all are the defaults."""
    # Local mode always compares with every point, and warns where one says so.
    exact = query.exact and not local
    quantized = exact or query.rescore is not None or query.oversampling is not None
    if not quantized and query.hnsw_ef is None:
        return None
    return models.SearchParams(
        exact=exact,
        hnsw_ef=query.hnsw_ef,
        quantization=models.QuantizationSearchParams(
            ignore=exact, rescore=query.rescore, oversampling=query.oversampling
        )
        if quantized
        else None,
    )
