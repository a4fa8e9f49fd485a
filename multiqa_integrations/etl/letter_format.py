"""What a dead letter says: what could not be stored, why, and enough to try again.

One JSON object per line:

    {"time": …, "collection": …, "source": …, "line": 17, "id": …, "duplicate": false,
     "reason": …, "known": …, "fields": {…}, "chunk_size": 250, "chunk_overlap": 0,
     "record": {…}}           or "raw": "…", or "raw_base64": "…" where that is not UTF-8

`known` is the hash of what the collection had of the document, so that `replay` does not put an
older version over a newer one. A record is one letter, however many runs reject it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.etl.changes import Rejection
from multiqa_integrations.etl.documents import Fields
from multiqa_integrations.etl.job import MAX_CHUNK_SIZE, MIN_CHUNK_SIZE, Job
from multiqa_integrations.texts import repair_surrogates
from multiqa_integrations.types import Document
from multiqa_integrations.values import json_value

_REQUIRED = {
    "source": (str, "a string"),
    "reason": (str, "a string"),
    "fields": (dict, "an object"),
    "chunk_size": (int, "a whole number"),
    "chunk_overlap": (int, "a whole number"),
}
_OPTIONAL = {
    "collection": (str, "a string"),
    "id": (str, "a string or null"),
    "known": (str, "a string or null"),
    "duplicate": (bool, "true or false"),
    "record": (dict, "an object"),
    "document": (dict, "an object"),
    "raw": (str, "a string"),
    "raw_base64": (str, "a string"),
}

# How deep a letter may be nested: Python reads some 990 levels, and writes a few less.
_MAX_LEVELS = 500


def letter_value(rejection: Rejection, job: Job) -> dict[str, Any]:
    """Return the letter of a rejection."""
    options = job.options
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "collection": job.collection,
        "source": options.source_name,
        **({} if rejection.file is None else {"file": rejection.file}),
        "line": rejection.line,
        "id": rejection.id,
        "duplicate": rejection.duplicate,
        "reason": rejection.reason,
        "known": rejection.stored_hash,
        "fields": options.fields.to_dict(),
        "chunk_size": options.chunk_size,
        "chunk_overlap": options.chunk_overlap,
        **letter_content(rejection.record),
    }


def letter_key(value: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the record of a letter: by its id, or where that says nothing, by what it holds."""
    source, id = value["source"], value.get("id")
    if id is not None and not value.get("duplicate"):
        return source, "id", id
    held = [value.get(name) for name in ("record", "document", "raw", "raw_base64", "repr")]
    if not any(held):
        held = [value.get("line"), value["reason"]]
    return source, "content", id or "", _digest(held)


def dump(value: Mapping[str, Any]) -> bytes:
    """Write a letter as one line of ASCII, which holds lone surrogates too."""
    return json.dumps(value).encode("ascii")


def content_digest(value: Mapping[str, Any]) -> str:
    """Return a digest of what a letter says, wherever and whenever the record was read."""
    return _digest(
        {name: held for name, held in value.items() if name not in ("time", "file", "line")}
    )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("ascii")).hexdigest()


def letter_content(record: object) -> dict[str, Any]:
    """Return what a letter holds of a record, as it was read."""
    if record is None:
        return {}
    if isinstance(record, bytes):
        try:
            return {"raw": record.decode("utf-8")}
        except UnicodeDecodeError:
            return {"raw_base64": base64.b64encode(record).decode("ascii")}
    if isinstance(record, str):
        return {"raw": record}
    name, value = "record", record
    if isinstance(record, Document):
        metadata = record.metadata
        metadata = dict(metadata) if isinstance(metadata, Mapping) else metadata
        name, value = "document", {"text": record.text, "id": record.id, "metadata": metadata}
    try:
        json.dumps(value)
        fits = not _is_deep(value)
    except (TypeError, ValueError, RecursionError):
        fits = False
    if not fits:
        try:
            return {name: json_value(value, "the record")}
        except Exception:  # noqa: BLE001  (of a class of the user's)
            return {"repr": _repr(value)}  # cannot be taken up again, but looked at
    return {name: value}


def _is_deep(value: object) -> bool:
    """Return whether a value of JSON may be nested too deeply for Python to write it."""
    level: list[Any] = [value]
    for _ in range(_MAX_LEVELS):
        objects = [item.values() if isinstance(item, dict) else item for item in level]
        level = [i for items in objects if not isinstance(items, str) for i in items]
        level = [item for item in level if isinstance(item, dict | list | tuple)]
        if not level:
            return False
    return True


def _repr(value: object) -> str:
    try:
        return repr(value)[:10_000]
    except Exception as error:  # noqa: BLE001  (of a class of the user's, or nested too deeply)
        return f"{type(value).__name__}, which cannot be shown ({error})"


def parse(raw: bytes) -> Any:
    """Read a line of JSON."""
    # Of bytes, json would take a line of UTF-16, which cannot be cut into lines.
    return json.loads(raw.decode("utf-8-sig"))


def parse_letter(raw: bytes) -> dict[str, Any] | None:
    """Return the letter of a line; None if it is something else."""
    try:
        value = parse(raw)
    except (ValueError, RecursionError):
        return None
    return value if problem(value) is None else None


def problem(value: Any) -> str | None:
    """Return why a value of JSON is not a letter; None if it is one."""
    if not isinstance(value, dict):
        return f"it is {type(value).__name__}, expected an object"
    for name, (kind, expected) in {**_REQUIRED, **_OPTIONAL}.items():
        found = value.get(name)
        if found is None and name in _OPTIONAL:
            if name in value and "or" not in expected:
                return f"{name!r} is null, expected {expected}"
            continue
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            return f"{name!r} is {found!r}"[:200] + f", expected {expected}"
    source, size, overlap = value["source"], value["chunk_size"], value["chunk_overlap"]
    if not source.strip() or source != repair_surrogates(source):
        return f"'source' is {source!r}, expected the name of a source"
    if not MIN_CHUNK_SIZE <= size <= MAX_CHUNK_SIZE or not 0 <= 2 * overlap < size:
        return (
            f"'chunk_size' is {size} and 'chunk_overlap' {overlap}, expected {MIN_CHUNK_SIZE} to "
            f"{MAX_CHUNK_SIZE} and under half of that"
        )
    if _is_deep(value):
        return f"it is nested more than {_MAX_LEVELS} levels deep"
    try:
        Fields(**value["fields"])
    except (ConfigurationError, TypeError) as error:
        return f"its 'fields': {error}"
    document = value.get("document", {"text": "", "id": None, "metadata": {}})
    if document.keys() != {"text", "id", "metadata"}:
        return f"'document' has {list(document)}, expected text, id and metadata"
    try:
        base64.b64decode(value.get("raw_base64", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        return f"'raw_base64': {error}"
    return None
