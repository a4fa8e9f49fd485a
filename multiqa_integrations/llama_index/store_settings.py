"""From arguments of a vector store to its fields, and into a pickle without its secrets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from typing import Any, TypeVar

from multiqa_integrations.arguments import check_kind
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant.collection import Collection
from multiqa_integrations.qdrant.open import split_options
from multiqa_integrations.qdrant.server.options import split_user

StoreT = TypeVar("StoreT")


def to_fields(settings: dict[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """Return arguments as values of fields: the others as options of creation or connection.

    Raises:
        ConfigurationError: An option is unknown, or cannot be set for nodes.
    """
    for name in ("create_options", "connection_options"):
        given = settings.get(name, {})
        check_kind(name, given, Mapping, "a dict of options by their names", optional=False)
    others = {name: settings.pop(name) for name in settings.keys() - set(fields)}
    connection, creation = split_options(others)
    kept = creation.pop("settings", None)
    create_options = {
        **settings.get("create_options", {}),
        **({} if kept is None else kept.given()),
        **creation,
    }
    if fixed := sorted(create_options.keys() & signature(Collection.open).parameters):
        raise ConfigurationError(f"{', '.join(fixed)} cannot be set for LlamaIndex's nodes.")
    connection = {**settings.get("connection_options", {}), **connection}
    if isinstance(settings.get("url"), str):  # a field that is shown
        settings["url"], authorization = split_user(settings["url"])
        if authorization is not None:
            connection["headers"] = {
                "Authorization": authorization,
                **connection.get("headers", {}),
            }
    return {**settings, "create_options": create_options, "connection_options": connection}


def without_secrets(fields: dict[str, Any]) -> tuple[dict[str, Any], bool, bool]:
    """Return the fields as `reopen` takes them: whether there were a key and headers, not which."""
    connection = dict(fields["connection_options"])
    key_given, headers_given = bool(fields["api_key"]), bool(connection.pop("headers", None))
    settings = {**fields, "connection_options": connection}
    del settings["api_key"]
    return settings, key_given, headers_given


def reopen(
    kind: Callable[..., StoreT],
    settings: dict[str, Any],
    key_given: bool,
    headers_given: bool,
) -> StoreT:
    """Open the vector store of a pickle.

    Raises:
        ConfigurationError: It needs a secret that is not here.
    """
    if key_given and not os.environ.get("QDRANT_API_KEY"):
        raise ConfigurationError(
            f"the vector store of {settings['url']} was opened with an API key, which is never "
            "pickled. Set QDRANT_API_KEY where it is unpickled."
        )
    if headers_given:
        raise ConfigurationError(
            f"the vector store of {settings['url']} was opened with headers=, or a user and "
            "password, which are never pickled. Open it where it is needed."
        )
    return kind(**settings)
