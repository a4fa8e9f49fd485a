"""Open the store that a command names, and find collections in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from multiqa_integrations.cli.outputs import check_folder
from multiqa_integrations.errors import CollectionNotFoundError, ConfigurationError
from multiqa_integrations.qdrant import CollectionInfo, Store, open_store

_SHOWN = 20


def open_at(
    url: str | None, path: Path | None, *, creates: bool = False, **connection: Any
) -> Store:
    """Open the store at a URL or in a folder.

    Args:
        url: Of a server.
        path: A folder of embedded collections.
        creates: Whether the command may create the folder and writes into it.
        connection: Options of the connection to `url`.

    Raises:
        ConfigurationError: Not exactly one is given, or the folder does not exist, or it cannot
            be written.
    """
    if (url is None) == (path is None):
        raise ConfigurationError(
            "give --url (a Qdrant server) or --path (a folder of embedded collections)"
            f"{', not both' if url is not None else ''}."
        )
    if path is not None and creates:
        check_folder(path, "--path")
    elif path is not None and not path.expanduser().exists():
        raise ConfigurationError(
            f"--path is {str(path)!r}, and there is no such folder. multiqa sync and "
            "multiqa collection create make one."
        )
    return open_store(url=url, path=path, **connection)


def find_collection(store: Store, name: str, place: str) -> CollectionInfo:
    """Describe a collection.

    Raises:
        CollectionNotFoundError: It does not; the message names those that do.
    """
    info = store.info(name)
    if info is not None:
        return info
    aliases = store.aliases()
    names = [*store.collections(), *aliases]
    similar = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {similar[0]!r}?" if similar else ""
    raise CollectionNotFoundError(
        f"there is no collection {name!r} in {place}.{hint} "
        + (f"It has: {_listed(names)}." if names else "It has no collections yet.")
    )


def _listed(names: Iterable[str]) -> str:
    first, *rest = names
    shown = [first, *rest[: _SHOWN - 1]]
    more = len(rest) + 1 - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")
