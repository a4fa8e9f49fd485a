"""Create a collection that fits an encoder, or make sure that one does."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, overload

from multiqa_integrations.arguments import check_kind
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.model import MULTI_QA, ModelSpec
from multiqa_integrations.qdrant.info import CollectionReport, warned
from multiqa_integrations.qdrant.open import open_store
from multiqa_integrations.qdrant.schema import CollectionSchema, Distance, sparse_name
from multiqa_integrations.qdrant.settings import CollectionSettings
from multiqa_integrations.qdrant.store import Store
from multiqa_integrations.types import Encoder

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, QdrantClient


@overload
def ensure_collection(
    client: AsyncQdrantClient,
    name: str,
    *,
    encoder: Encoder | None = ...,
    fingerprint: str | None = ...,
    spec: ModelSpec = ...,
    distance: Distance = ...,
    vector_name: str = ...,
    payload_indexes: Mapping[str, Any] | None = ...,
    sparse: bool | str = ...,
    adopt: bool = ...,
    settings: CollectionSettings | None = ...,
    **create_options: Any,
) -> Awaitable[CollectionReport]: ...


@overload
def ensure_collection(
    client: QdrantClient | Store,
    name: str,
    *,
    encoder: Encoder | None = ...,
    fingerprint: str | None = ...,
    spec: ModelSpec = ...,
    distance: Distance = ...,
    vector_name: str = ...,
    payload_indexes: Mapping[str, Any] | None = ...,
    sparse: bool | str = ...,
    adopt: bool = ...,
    settings: CollectionSettings | None = ...,
    **create_options: Any,
) -> CollectionReport: ...


def ensure_collection(
    client: QdrantClient | AsyncQdrantClient | Store,
    name: str,
    *,
    encoder: Encoder | None = None,
    fingerprint: str | None = None,
    spec: ModelSpec = MULTI_QA,
    distance: Distance = "cosine",
    vector_name: str = "",
    payload_indexes: Mapping[str, Any] | None = None,
    sparse: bool | str = False,
    adopt: bool = False,
    settings: CollectionSettings | None = None,
    **create_options: Any,
) -> CollectionReport | Awaitable[CollectionReport]:
    """Create a collection for an encoder's vectors, or make sure that an existing one fits.

    Nothing is ever deleted or made anew. Any number of programs may call it at the same time.

    Args:
        client: A client of qdrant-client, or a `Store`. With an `AsyncQdrantClient` the answer
            is to be awaited.
        name: The collection.
        encoder: The encoder; its fingerprint is kept in the collection's metadata.
        fingerprint: Instead of an encoder: its fingerprint, with which no model is loaded.
        spec: With `fingerprint`: the model's contract, for dimension and name.
        distance: How a new collection compares, "cosine" or "dot". Unit vectors have the same
            scores by both, so that an existing one may have either.
        vector_name: "" is the unnamed vector.
        payload_indexes: Payload fields to index, each with its kind: "keyword", "integer",
            "float", "bool", "datetime", "text", "uuid", "geo", or an object such as
            `models.KeywordIndexParams(is_tenant=True)`. Missing ones are created.
        sparse: Whether a new collection gets the sparse vector of hybrid search; or its name.
        adopt: Write the fingerprint into a collection that has none, because you know that this
            model filled it.
        settings: How a new collection is kept: shards, replicas, quantization… Where one exists
            that is kept otherwise, a `CollectionWarning` says so.
        create_options: Settings by themselves, as JSON or as objects of the engine's library:
            `hnsw_config=models.HnswConfigDiff(m=24)`; on a `Store` of a directory, what
            `qdrant_edge.EdgeConfig` takes.

    Returns:
        What was found and done.

    Raises:
        CollectionMismatchError: An existing collection differs; every difference is named.
        ConfigurationError: An argument is wrong.
        StoreError: The server refused or failed.

    Examples:
        >>> from qdrant_client import QdrantClient
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> encoder = FakeEncoder()
        >>> client = QdrantClient(":memory:")
        >>> ensure_collection(client, "docs", encoder=encoder).created
        True
        >>> ensure_collection(client, "docs", encoder=encoder).fingerprint
        'matches'
    """
    schema = _schema(encoder, fingerprint, spec, distance, vector_name, payload_indexes, sparse)
    check_kind("settings", settings, CollectionSettings, "CollectionSettings(...)")
    create_options = {**({} if settings is None else settings.given()), **create_options}
    return _ask(client, Store.ensure, name, schema, adopt=adopt, **create_options)


@overload
def check_collection(
    client: AsyncQdrantClient,
    name: str,
    *,
    encoder: Encoder | None = ...,
    fingerprint: str | None = ...,
    spec: ModelSpec = ...,
    vector_name: str = ...,
    payload_indexes: Mapping[str, Any] | None = ...,
    sparse: bool | str = ...,
) -> Awaitable[CollectionReport]: ...


@overload
def check_collection(
    client: QdrantClient | Store,
    name: str,
    *,
    encoder: Encoder | None = ...,
    fingerprint: str | None = ...,
    spec: ModelSpec = ...,
    vector_name: str = ...,
    payload_indexes: Mapping[str, Any] | None = ...,
    sparse: bool | str = ...,
) -> CollectionReport: ...


def check_collection(
    client: QdrantClient | AsyncQdrantClient | Store,
    name: str,
    *,
    encoder: Encoder | None = None,
    fingerprint: str | None = None,
    spec: ModelSpec = MULTI_QA,
    vector_name: str = "",
    payload_indexes: Mapping[str, Any] | None = None,
    sparse: bool | str = False,
) -> CollectionReport | Awaitable[CollectionReport]:
    """Look whether a collection fits an encoder; nothing is changed.

    The arguments are those of `ensure_collection`; a missing payload index is a difference here.

    Returns:
        What was found.

    Raises:
        CollectionMismatchError: It differs, or there is none; every difference is named, in the
            message and in `.expected` and `.actual`.
        StoreError: The server refused or failed.

    Examples:
        >>> from qdrant_client import QdrantClient
        >>> from multiqa_integrations.errors import CollectionMismatchError
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> client = QdrantClient(":memory:")
        >>> _ = ensure_collection(client, "docs", fingerprint=FakeEncoder(seed=1).fingerprint)
        >>> check_collection(client, "docs", fingerprint=FakeEncoder(seed=1).fingerprint).notes
        ()
        >>> try:
        ...     check_collection(client, "docs", fingerprint=FakeEncoder(seed=2).fingerprint)
        ... except CollectionMismatchError as error:
        ...     error.expected, error.actual
        ({'fingerprint': 'fake:2'}, {'fingerprint': 'fake:1'})
    """
    schema = _schema(encoder, fingerprint, spec, "cosine", vector_name, payload_indexes, sparse)
    return _ask(client, Store.check, name, schema)


def _schema(
    encoder: Encoder | None,
    fingerprint: str | None,
    spec: ModelSpec,
    distance: Distance,
    vector_name: str,
    payload_indexes: Mapping[str, Any] | None,
    sparse: bool | str,
) -> CollectionSchema:
    if (encoder is None) == (fingerprint is None):
        raise ConfigurationError(
            "expected one of encoder and fingerprint, got "
            f"{'none' if encoder is None else 'both'}. Pass encoder=encoder."
        )
    if encoder is not None:
        return CollectionSchema.of(
            encoder,
            distance=distance,
            vector_name=vector_name,
            sparse=sparse,
            payload_indexes=payload_indexes,
        )
    return CollectionSchema(
        fingerprint=fingerprint or "",
        model=spec.name,
        size=spec.dimension,
        distance=distance,
        vector_name=vector_name,
        sparse_name=sparse_name(sparse),
        payload_indexes=payload_indexes or {},
    )


def _ask(
    client: Any, method: Callable[..., CollectionReport], *args: Any, **kwargs: Any
) -> CollectionReport | Awaitable[CollectionReport]:
    """Call a method of the client's store, or the coroutine of it where the client has those."""
    if inspect.iscoroutinefunction(getattr(client, "get_collections", None)):
        return _aask(client, method, *args, **kwargs)
    store = client if isinstance(client, Store) else open_store(client=client)
    return warned(getattr(store, method.__name__)(*args, **kwargs), stacklevel=4)


async def _aask(
    client: Any, method: Callable[..., CollectionReport], *args: Any, **kwargs: Any
) -> CollectionReport:
    async with open_store(client=client) as store:
        return warned(await getattr(store, f"a{method.__name__}")(*args, **kwargs))
