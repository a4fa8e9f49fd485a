"""Open a store: a server, a directory, or a client of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiqa_integrations._optional import require
from multiqa_integrations.arguments import check_kind
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant.server.options import CONNECTION_OPTIONS
from multiqa_integrations.qdrant.store import Store

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, QdrantClient


def open_store(
    *,
    url: str | None = None,
    path: str | Path | None = None,
    client: QdrantClient | AsyncQdrantClient | None = None,
    api_key: str | None = None,
    **options: Any,
) -> Store:
    """Open a store: a server, a directory, or a client of yours.

    Args:
        url: Of a server, such as `http://localhost:6333`. Where it names no port, it is 6333.
        path: A directory of embedded collections (Qdrant Edge), one subdirectory each.
        client: A client of qdrant-client, its local mode included; `close()` leaves it open.
        api_key: For `url`; by default that of the environment variable QDRANT_API_KEY; "" is none.
        options: For `url`: those of `ConnectionOptions`, such as `timeout` (30 s by default) and
            `prefer_grpc`.

    Raises:
        ConfigurationError: Not exactly one of url, path and client is given, or something goes
            with another of them only.
        MissingDependencyError: The extra `qdrant` is not installed.

    Examples:
        >>> with open_store(path="./collections") as store:  # doctest: +SKIP
        ...     store.collections()
        []
    """
    given = {"url": url, "path": path, "client": client}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise ConfigurationError(
            f"expected one of url, path and client, got {' and '.join(named) or 'none'}."
        )
    if url is None and (api_key is not None or options):
        names = ", ".join([*(["api_key"] if api_key is not None else []), *options])
        raise ConfigurationError(f"{names}: these go with url, not with {named[0]}.")
    if path is not None:
        require("qdrant_edge", purpose="an embedded collection")
        from multiqa_integrations.qdrant.edge.store import EdgeStore

        return EdgeStore(path)
    require("qdrant_client", purpose="a Qdrant server")
    from multiqa_integrations.qdrant.server.store import ServerStore

    if url is not None:
        return ServerStore.open(url, api_key=api_key, **options)
    return ServerStore(client)  # type: ignore[arg-type]  # it is not None here


def use_store(store: Store | None, where: Mapping[str, Any]) -> Store:
    """Return a store that was given, or open one.

    Args:
        store: The one that was given.
        where: Arguments of `open_store`; None is as good as left out.

    Raises:
        ConfigurationError: Both are given, or neither is.
    """
    given = {name: value for name, value in where.items() if value is not None}
    check_kind("store", store, Store, "that of open_store(...)")
    if store is None:
        return open_store(**given)
    if given:
        raise ConfigurationError(
            "store comes without url, path, client, api_key and the options of a connection; got "
            f"{', '.join(given)} too."
        )
    return store


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of a connection, and the others, which are of a new collection."""
    connection = {name: value for name, value in options.items() if name in CONNECTION_OPTIONS}
    return connection, {n: value for n, value in options.items() if n not in connection}
