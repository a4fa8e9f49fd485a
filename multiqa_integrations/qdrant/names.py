"""Names of collections and aliases: which are allowed, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Mapping

from multiqa_integrations.errors import (
    CollectionNotFoundError,
    ConfigurationError,
    StoreError,
)
from multiqa_integrations.qdrant.failures import RefusedError

_FORBIDDEN_IN_NAMES = frozenset('<>:"/\\|?*')


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


def collection_not_found_error(name: str) -> CollectionNotFoundError:
    """Build the error for a collection that does not exist."""
    return CollectionNotFoundError(
        f"there is no collection {name!r}. Create it: ensure_collection(...), "
        "Collection.open(...), or `multiqa collection create`."
    )


def alias_conflict_error(alias: str) -> StoreError:
    """Build the error for an alias that would have the name of a collection."""
    return RefusedError(
        f"{alias!r} is the name of a collection, so it cannot be an alias too. Copy that "
        "collection to another name, drop it, and point the alias at the copy."
    )


def is_alias_error(alias: str, collection: str) -> StoreError:
    """Build the error for an alias where a collection was to be dropped."""
    return RefusedError(
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
        raise RefusedError(
            f"the collection {name!r} was not dropped: searches find it by the alias "
            f"{', '.join(map(repr, standing))}. Point the alias at another collection first with "
            "swap(), or drop both with force=True."
        )
