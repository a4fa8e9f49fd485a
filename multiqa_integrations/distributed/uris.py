"""Take URIs and patterns apart: folder, pattern and options, and what may be shown of them."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import quote, unquote

_WILDCARD = re.compile(r"[*?[]")
_OPTIONS = re.compile(r"\?(?=[A-Za-z_]\w*=)")  # of a URI: ?scheme=http&…
# One colon before it makes what stands before an @ a user and a password, which may have a slash
# that should have been escaped, or an @; a port is followed by a path.
_USER = re.compile(r"(?<=://)(?:(?:[^/@]+|[^/@:]+:(?!\d+/)[^@]*)@)+")
_AZURE_CONTAINER = re.compile(r"abfss?://[^/@:]+@")
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ALLOWED = "/:?@!$&'()*+,;=~%"  # in a URI; names of objects have others too


def has_wildcard(path: str) -> bool:
    """Return whether a path of this machine may be a pattern."""
    return _WILDCARD.search(path) is not None


def split_pattern(uri: str) -> tuple[str, str]:
    """Split a URI into a folder, with the options, and the pattern of what is in it.

    Returns:
        The folder before the first part with a wildcard, and the rest; the URI itself and nothing
        where there is no wildcard.

    Examples:
        >>> split_pattern("s3://articles/2026/*/a-?.jsonl?scheme=http")
        ('s3://articles/2026/?scheme=http', '*/a-?.jsonl')
        >>> split_pattern("s3://articles/a.jsonl?versionId=1")
        ('s3://articles/a.jsonl?versionId=1', '')
    """
    path, options = split_options(uri)
    found = _WILDCARD.search(path)
    if found is None or (found[0] == "?" and "*" not in path):
        return uri, ""
    end = path.rindex("/", 0, found.start()) + 1
    return path[:end] + options, _ESCAPES.sub(_literally, path[end:])


def _literally(found: re.Match[str]) -> str:
    return glob.escape(unquote(found[0]))


def split_options(uri: str) -> tuple[str, str]:
    """Split a URI into what it names and its options, with the "?" before them."""
    found = _OPTIONS.search(uri)
    end = len(uri) if found is None else found.start()
    return uri[:end], uri[end:]


def with_option(uri: str, name: str, value: object) -> str:
    """Return a URI with an option more, unless it has that one.

    Examples:
        >>> with_option("gs://articles/a.jsonl?scheme=http", "retry_limit_seconds", 30)
        'gs://articles/a.jsonl?scheme=http&retry_limit_seconds=30'
    """
    _, options = split_options(uri)
    if re.search(rf"[?&]{name}=", options):
        return uri
    return f"{uri}{'&' if options else '?'}{name}={value}"


def matches(path: str, pattern: str) -> bool:
    """Return whether a path is of a pattern: `**` stands for any folders, * for no slash."""
    return _parts_match(path.split("/"), pattern.split("/"))


def _parts_match(path: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_parts_match(path[n:], pattern[1:]) for n in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _parts_match(path[1:], pattern[1:])


def escaped(uri: str) -> str:
    """Return a URI with escapes for what no URI may have, but names of objects may.

    Examples:
        >>> escaped("s3://articles/100% done #1.jsonl?scheme=http")
        's3://articles/100%25%20done%20%231.jsonl?scheme=http'
    """
    path, options = split_options(uri)
    return quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", path), safe=_ALLOWED) + options


def escaped_name(path: str) -> str:
    """Return the path of an object as a URI has it that names this object alone.

    Examples:
        >>> escaped_name("2026/100%25 [draft].jsonl")
        '2026/100%2525 %5Bdraft].jsonl'
    """
    return re.sub(r"[%?#*[]", lambda found: quote(found[0]), path)


def without_secrets(uri: str) -> str:
    """Leave out of a URI what may be a secret: user, password and options.

    Examples:
        >>> without_secrets("s3://key:secret@articles/*.jsonl?scheme=http")
        's3://articles/*.jsonl'
    """
    if _AZURE_CONTAINER.match(uri) is None:
        uri = _USER.sub("", uri)
    shown = split_options(uri)[0]
    return shown if "*" in shown else shown.partition("?")[0]
