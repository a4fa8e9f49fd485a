"""What a server knows: which version brought a condition, a test or an option.

A server leaves out what it is too old to know: by gRPC, a condition of a newer client reads as one
that is true of every point, and a delete by it deletes them all. So whatever is newer than the
oldest supported version is checked against the server's before it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from qdrant_client import models

from multiqa_integrations.errors import ConfigurationError, MultiQAError
from multiqa_integrations.qdrant.dual import Steps
from multiqa_integrations.qdrant.server.calls import Call, Connected

Version = tuple[int, int]

OLDEST: Version = (1, 10)
"""The oldest version of the server that is supported."""

# Which version brought which condition, by the class of the client; all that are sent are here.
CONDITIONS: Mapping[str, Version] = {
    **dict.fromkeys(
        (
            *("DatetimeRange", "FieldCondition", "Filter", "GeoBoundingBox", "GeoLineString"),
            *("GeoPoint", "GeoPolygon", "GeoRadius", "HasIdCondition", "IsEmptyCondition"),
            *("IsNullCondition", "MatchAny", "MatchExcept", "MatchText", "MatchValue"),
            *("MinShould", "Nested", "NestedCondition", "PayloadField", "Range", "ValuesCount"),
        ),
        OLDEST,
    ),
    "HasVectorCondition": (1, 13),
    "MatchPhrase": (1, 15),
    "MatchTextAny": (1, 16),
    "MatchPrefix": (1, 20),
    "MatchSubstring": (1, 20),
    "Slice": (1, 20),
    "SliceCondition": (1, 20),
}

# Tests of a FieldCondition, by their names there.
TESTS: Mapping[str, Version] = {"is_empty": (1, 14), "is_null": (1, 14)}

# Options of collections and indexes: (class of the client or "", name).
OPTIONS: Mapping[tuple[str, str], Version] = {
    ("", "id_tracker"): (1, 20),
    ("", "payload"): (1, 20),
    ("", "memory"): (1, 20),
    ("", "metadata"): (1, 16),
    ("KeywordIndexParams", "prefix"): (1, 20),
    ("TextIndexParams", "scoring"): (1, 20),
    ("TextIndexParams", "phrase_matching"): (1, 15),
}
_ANYWHERE: Mapping[str, Version] = {"memory": (1, 20), "nested": (1, 20)}


def server_version(self: Connected) -> Steps[Version | None]:
    """Return the server's version, read once; None where it does not tell.

    Raises:
        ConfigurationError: It is older than what is supported.
    """
    if self.local or self.version is not None:
        return self.version
    try:
        answer = yield Call("info", {}, repeat=False)
    except MultiQAError:  # a proxy that forwards collections alone, or no server at all
        return None
    number = re.match(r"(\d+)\.(\d+)", str(answer.version))
    if number is None:
        return None
    version = int(number[1]), int(number[2])
    if version < OLDEST:
        raise ConfigurationError(
            f"the server is Qdrant {answer.version}, and this package needs {_shown(OLDEST)} or "
            "newer. Upgrade it, one minor version at a time."
        )
    self.version = version
    return version


def check_filter_is_known(self: Connected, filter: models.Filter | None) -> Steps[None]:
    """Refuse a filter with a condition, or a test in one, that the server does not know.

    Raises:
        ConfigurationError: There is one.
    """
    if filter is None or self.local:
        return
    needed, what = OLDEST, ""
    for model in _models(filter):
        kind = type(model).__name__
        if kind not in CONDITIONS:
            raise ConfigurationError(
                f"the filter has a {kind}, which this package does not know: it cannot tell "
                "whether the server does. Write it with other conditions."
            )
        tests = model.model_fields_set & TESTS.keys() if kind == "FieldCondition" else ()
        for since, name in [
            (CONDITIONS[kind], kind),
            *((TESTS[test], test) for test in tests if getattr(model, test) is not None),
        ]:
            if since > needed:
                needed, what = since, name
    yield from _check_version(self, needed, f"the filter has a {what}")


def check_options_are_known(self: Connected, options: Mapping[str, Any]) -> Steps[None]:
    """Refuse options of a collection or index that the server does not know.

    Raises:
        ConfigurationError: There is one.
    """
    if self.local:
        return
    needed, what = OLDEST, ""
    found = [("", name) for name, value in options.items() if value is not None]
    for value in options.values():
        for model in _models(value):
            kind = type(model).__name__
            found += [(kind, name) for name in model.model_fields_set if getattr(model, name)]
    for kind, name in found:
        since = OPTIONS.get((kind, name)) or (_ANYWHERE.get(name, OLDEST) if kind else OLDEST)
        if since > needed:
            needed, what = since, f"{kind}.{name}" if kind else name
    yield from _check_version(self, needed, f"the option {what} is given")


def _check_version(self: Connected, needed: Version, reason: str) -> Steps[None]:
    if needed <= OLDEST:
        return
    version = yield from server_version(self)
    if version is None and self.grpc:
        raise ConfigurationError(
            f"{reason}, which came with Qdrant {_shown(needed)}, and the server does not tell its "
            "version. By gRPC it would be left out silently where the server is older: use REST."
        )
    if version is not None and version < needed:
        raise ConfigurationError(
            f"{reason}, which came with Qdrant {_shown(needed)}, and the server is "
            f"{_shown(version)}: it would leave it out. Leave it out, or upgrade the server."
        )


def _models(value: Any) -> Iterator[BaseModel]:
    """Yield the client's models in a value, itself among them."""
    if isinstance(value, BaseModel):
        yield value
        for name in value.model_fields_set:
            yield from _models(getattr(value, name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _models(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _models(item)


def _shown(version: Version) -> str:
    return ".".join(map(str, version))
