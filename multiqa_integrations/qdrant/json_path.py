"""Paths into payloads: `metadata.title`, `metadata."dc.title"`, `metadata.tags[].name`."""

from __future__ import annotations

import re

from multiqa_integrations.errors import ConfigurationError

# What every engine reads without quotes. They differ in which letters beyond ASCII are such.
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_PLACES = re.compile(r"(?:\[\d*\])*$")  # items of lists: [0] is one, [] is any


# What any engine may read; a quoted key has no quotation mark in it.
_PATH = re.compile(r'(?:[\w-]+|"[^"\\]*")(?:\[\d*\])*(?:\.(?:[\w-]+|"[^"\\]*")(?:\[\d*\])*)*')


def is_path(key: str) -> bool:
    """Check whether a key is written as a path.

    Examples:
        >>> is_path('metadata."valid from"'), is_path("metadata.valid from")
        (True, False)
    """
    return _PATH.fullmatch(key) is not None


def quote(key: str) -> str:
    """Return one key of a payload as a part of a path.

    Raises:
        ConfigurationError: It has a quotation mark or a backslash: there is no way to write it.

    Examples:
        >>> quote("title"), quote("dc.title")
        ('title', '"dc.title"')
    """
    if _PLAIN.fullmatch(key):
        return key
    if '"' in key or "\\" in key:
        raise ConfigurationError(
            f"the metadata key {key!r} has a quotation mark or a backslash: it can be stored, but "
            "Qdrant has no way to filter by it. Rename it."
        )
    return f'"{key}"'


def paths(root: str, key: str) -> list[str]:
    """Return the paths that a metadata key may mean.

    A dot may be part of a key (`{"dc.title": ...}`), or lead into an object (`{"dc": {"title":
    ...}}`): both are looked at. Brackets likewise: `tags[0]` is an item of a list, and `tags[]`
    any of them.

    Args:
        root: The path of the object that has the key, such as "metadata"; "" is the payload.
        key: As a user writes it.

    Raises:
        ConfigurationError: As `quote`.

    Examples:
        >>> paths("metadata", "title")
        ['metadata.title']
        >>> paths("metadata", "dc.title")
        ['metadata."dc.title"', 'metadata.dc.title']
    """
    root = f"{root}." if root else ""
    found = [root + quote(key)]
    if nested := _nested(key):
        found.append(root + nested)
    return found


def _nested(key: str) -> str | None:
    """Read a key as a path; None where it is none."""
    parts = []
    for part in key.split("."):
        name = _PLACES.sub("", part)
        if not name:
            return None
        parts.append(quote(name) + part[len(name) :])
    path = ".".join(parts)
    return None if path == quote(key) else path
