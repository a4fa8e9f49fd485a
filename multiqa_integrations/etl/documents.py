"""From records to documents: which field is what, what is refused, and when it has changed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.etl.records import Record
from multiqa_integrations.texts import repair_surrogates, short
from multiqa_integrations.types import Document
from multiqa_integrations.values import json_value

WRITTEN = ("document_id", "chunk", "start_index", "end_index")
"""Fields of the metadata that are written by the job itself."""

# Part of every hash: raise it where the same text would be stored otherwise than before.
_FORMAT = 1


_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


class RecordError(ValueError):
    """A record is not a document; the other records are not affected."""

    def __init__(self, reason: str, id: str | None = None) -> None:
        super().__init__(reason)
        self.id = id


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Which field of a record is what. A dot leads into an object: `author.name`.

    Attributes:
        id: A string or whole number, different for each document. By default `id`, else `_id`.
        text: What is cut into chunks and encoded.
        title: Put before each chunk, on a line of its own, before it is encoded and stored; a
            missing one is none.
        metadata: What is stored with each chunk; a missing one is left out. By default every
            field but those of the id and the text.
    """

    id: str | None = None
    text: str = "text"
    title: str | None = None
    metadata: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for name in ("id", "text", "title"):
            value = getattr(self, name)
            if value is None and name != "text":
                continue
            if not isinstance(value, str) or not value:
                raise ConfigurationError(f"the {name} field is {value!r}, expected a name.")
        if not isinstance(self.metadata, list | tuple | None) or not all(
            isinstance(path, str) and path for path in self.metadata or ()
        ):
            raise ConfigurationError(f"metadata is {self.metadata!r}, expected a list of names.")
        for path in self.metadata or ():
            if path.partition(".")[0] in WRITTEN:
                raise ConfigurationError(
                    f"the metadata field {path!r} is one that is written anyway "
                    f"({', '.join(WRITTEN)}). Rename it in the source."
                )

    def to_dict(self) -> dict[str, Any]:
        """Return them as `Fields(**…)` takes them."""
        return asdict(self)


class SourceDocument(NamedTuple):
    """A document of the source, as it is to be in the collection.

    Attributes:
        id: Its id.
        text: Its text.
        title: Its title; "" where it has none.
        metadata: JSON values.
        line: Where it is in the source.
        record: The record that it was made of.
    """

    id: str
    text: str
    title: str
    metadata: dict[str, Any]
    line: int
    record: Mapping[str, Any] | Document


def to_document(record: Record, fields: Fields, *, max_characters: int) -> SourceDocument:
    """Make a document of a record.

    Raises:
        RecordError: It has no id or text, or holds what cannot be stored.
    """
    value = record.value
    if isinstance(value, Document):
        found_id, text, rest = value.id, value.text, value.metadata
        if not isinstance(rest, Mapping):
            raise RecordError(f"its metadata is {type(rest).__name__}, expected an object")
        if found_id is None and fields.id is not None:
            found_id = field_value(rest, fields.id)
        used: set[str] = set()
    else:
        rest = value
        id_field = fields.id or ("_id" if "id" not in value and "_id" in value else "id")
        found_id, text = field_value(value, id_field), field_value(value, fields.text)
        used = {id_field, fields.text}
        if found_id is None:
            raise RecordError(
                f"it has no {id_field!r}, but {', '.join(map(repr, list(value)[:8])) or 'nothing'}"
            )
    identity = _identity(found_id)
    try:
        return SourceDocument(
            id=identity,
            text=_text(text, fields.text, max_characters),
            title=_title(field_value(rest, fields.title)) if fields.title else "",
            metadata=_metadata(rest, fields, used),
            line=record.line,
            record=value,
        )
    except (RecordError, ConfigurationError) as error:  # of json_value: what JSON cannot hold
        raise RecordError(str(error), identity) from error
    except Exception as error:  # whatever a value may do: it costs this record alone
        reason = f"it cannot be read ({type(error).__name__}: {error})"
        raise RecordError(reason, identity) from error


class FieldUse:
    """Notes which of the named fields the records of a source have had.

    A name with a mistake in it stores everything without its titles, and no record complains.
    """

    def __init__(self, fields: Fields) -> None:
        """Begin with no record."""
        named = {"title": fields.title, "text": fields.text, "id": fields.id}
        self._missing = {name: what for what, name in named.items() if name is not None}
        self._missing |= dict.fromkeys(fields.metadata or (), "metadata")
        self._present: dict[str, None] = {}
        self._records = 0

    def note(self, record: Record) -> None:
        """Take a record into account."""
        value = record.value
        self._records += 1
        if not self._missing:
            return
        if isinstance(value, Document):
            attributes = ("text", "id") if value.id is not None else ("text",)
            self._missing = {name: w for name, w in self._missing.items() if w not in attributes}
            value = value.metadata if isinstance(value.metadata, Mapping) else {}
        for name in [name for name in self._missing if _has(value, name)]:
            del self._missing[name]
        if len(self._present) < 100:
            self._present.update(dict.fromkeys(map(str, value)))

    def merge(self, other: FieldUse) -> None:
        """Take the records of another part of the source into account."""
        if not other._records:
            return
        self._records += other._records
        self._missing = {n: what for n, what in self._missing.items() if n in other._missing}
        if len(self._present) < 100:
            self._present.update(other._present)

    def take_notes(self, *kinds: str) -> list[str]:
        """Return what there is to say about fields of these kinds, once."""
        if not self._records:
            return []
        wrong = {name: what for name, what in self._missing.items() if what in kinds}
        self._missing = {name: w for name, w in self._missing.items() if name not in wrong}
        present = ", ".join(map(repr, self._present)) or "none"
        return [
            f"no record has the {what} field {name!r}; the records have: {present}"
            for name, what in wrong.items()
        ]


def text_hash(document: SourceDocument, chunk_size: int, chunk_overlap: int) -> str:
    """Name what is encoded: title, text, and how it is cut. 128 bits, in hexadecimal.

    The weights are named beside it, by the fingerprint.
    """
    title = document.title.encode()
    digest = hashlib.sha256(f"{_FORMAT} {chunk_size} {chunk_overlap} {len(title)}\0".encode())
    digest.update(title)
    digest.update(document.text.encode())
    return digest.hexdigest()[:32]


def metadata_hash(document: SourceDocument) -> str:
    """Name the metadata. 128 bits, in hexadecimal."""
    return hashlib.sha256(_canonical(document.metadata).encode()).hexdigest()[:32]


def _identity(value: object) -> str:
    if isinstance(value, str) and value:
        return repair_surrogates(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None:
        raise RecordError("it has no id")
    if value == "":
        raise RecordError("its id is an empty string")
    raise RecordError(f"its id is {shown(value)}, expected a string or a whole number")


def _text(value: object, field: str, max_characters: int) -> str:
    if not isinstance(value, str):
        raise RecordError(f"its text ({field!r}) is {shown(value)}, expected a string")
    if len(value) > max_characters:
        raise RecordError(
            f"its text has {len(value):,} characters, the limit is {max_characters:,} "
            "(max_characters)"
        )
    if not value.strip():
        raise RecordError(f"its text ({field!r}) is empty")
    return repair_surrogates(value)


def _title(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RecordError(f"its title is {shown(value)}, expected a string")
    return repair_surrogates(value).strip()


def _metadata(value: Mapping[str, Any], fields: Fields, used: set[str]) -> dict[str, Any]:
    if fields.metadata is None:
        chosen = {name: item for name, item in value.items() if name not in used}
        for path in used:
            if "." in path and path not in value:
                chosen = _without(chosen, path)
    else:
        chosen = {}
        for path in fields.metadata:
            item = field_value(value, path)
            if path in value:
                chosen[path] = item
            elif item is not None:
                _set(chosen, path, item)
    for name in WRITTEN:
        if name in chosen:
            raise RecordError(
                f"it has the field {name!r}, which is written anyway; rename it, or name the "
                "metadata that is wanted"
            )
    payload: dict[str, Any] = json_value(chosen, "its metadata")
    return payload


def _has(value: Mapping[str, Any], path: str) -> bool:
    """Return whether there is a field, be it null."""
    parent, _, name = path.rpartition(".")
    inner = field_value(value, parent) if parent else value
    return path in value or (isinstance(inner, Mapping) and name in inner)


def field_value(value: Any, path: str) -> Any:
    """Follow a dotted path; a field whose own name has the dots comes first."""
    if isinstance(value, Mapping) and path in value:
        return value[path]
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _without(value: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Copy an object but for the field that `field_value` finds there."""
    name, _, rest = path.partition(".")
    if path in value or not rest:
        return {key: item for key, item in value.items() if key != path}
    inner = value.get(name)
    return {**value, name: _without(inner, rest)} if isinstance(inner, Mapping) else dict(value)


def _set(target: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        target = target.setdefault(parent, {})
    target[name] = value


def shown(value: object) -> str:
    """Show a value of a record, in the bounds of a message."""
    if value is None:
        return "missing"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return f"{type(value).__name__} {short(value)}"
