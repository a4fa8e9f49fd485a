"""Examples to train on: a query, the text that answers it, and texts that do not."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.etl.documents import RecordError, field_value, shown
from multiqa_integrations.etl.job import MAX_CHARACTERS
from multiqa_integrations.etl.records import Record
from multiqa_integrations.texts import repair_surrogates
from multiqa_integrations.types import Document


class Pair(NamedTuple):
    """A query with one text that answers it.

    Attributes:
        query: The query.
        positive: The text that answers it.
        negatives: Texts that do not answer it, though they may look so.
        group: Names the examples whose positives answer each other's queries; None for none.
        set: The number of its set.
        line: Where it is in the source of that set.
    """

    query: str
    positive: str
    negatives: tuple[str, ...] = ()
    group: str | None = None
    set: int = 0
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFields:
    """Which field of a record is what. A dot leads into an object: `answer.text`.

    Attributes:
        query: The query.
        positive: The text that answers it.
        negative: One that does not; a missing one is none.
        negatives: A list of such texts; a missing one is none.
        group: A string or whole number that examples have in common whose positives answer each
            other's queries, such as an intent; a missing one is none.
    """

    query: str = "query"
    positive: str = "positive"
    negative: str = "negative"
    negatives: str = "negatives"
    group: str = "group"

    def __post_init__(self) -> None:
        for name, value in self.to_dict().items():
            if not isinstance(value, str) or not value:
                raise ConfigurationError(f"the {name} field is {value!r}, expected a name.")

    def to_dict(self) -> dict[str, str]:
        """Return them as `PairFields(**…)` takes them."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PairSet:
    """A data set, and how often it is drawn.

    Attributes:
        source: What `open_source` takes.
        weight: How often batches are drawn from it, in proportion to the weights of the others.
        name: How reports call it; by default what the source is called.

    Examples:
        >>> PairSet("faq.jsonl", weight=3)
        PairSet(source='faq.jsonl', weight=3, name=None)
    """

    source: Any
    weight: float = 1.0
    name: str | None = None

    def __post_init__(self) -> None:
        weight = self.weight
        fits = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not fits or not (math.isfinite(weight) and weight > 0):
            raise ConfigurationError(f"the weight of a set is {weight!r}, expected more than 0.")


def pair_sets(pairs: object) -> list[PairSet]:
    """Return the sets that a user has given: one source, or a list of sources or sets.

    Raises:
        ConfigurationError: The list is empty.

    Examples:
        >>> [made.source for made in pair_sets(["faq.jsonl", PairSet("tickets.csv", 2)])]
        ['faq.jsonl', 'tickets.csv']
    """
    if isinstance(pairs, PairSet):
        return [pairs]
    if isinstance(pairs, list | tuple) and all(
        isinstance(item, str | Path | PairSet) for item in pairs
    ):
        if not pairs:
            raise ConfigurationError("no pairs were given. Name a file, or pass records.")
        return [item if isinstance(item, PairSet) else PairSet(item) for item in pairs]
    return [PairSet(pairs)]


def read_data_config(file: str | Path) -> list[PairSet]:
    """Read a `data_config.json`, the list of weighted data sets that the model's card shows.

    A JSON list of objects with `name`, the path of a file beside this one, and `weight`; whatever
    else they have is not looked at.

    Source: https://huggingface.co/sentence-transformers/multi-qa-MiniLM-L6-cos-v1

    Raises:
        ConfigurationError: It cannot be read, or is something else; says where.
    """
    file = Path(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be read ({error.strerror or error}). Name a data_config.json."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{file} is not JSON: {error}.") from error
    if not isinstance(content, list) or not content:
        raise ConfigurationError(
            f"{file} is not a list of data sets, expected "
            '[{"name": "faq.jsonl", "weight": 3}, …].'
        )
    sets = []
    for number, entry in enumerate(content, 1):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if not isinstance(name, str) or not name:
            raise ConfigurationError(
                f"{file}: entry {number} is {shown(entry)}, expected an object with a name."
            )
        try:
            sets.append(PairSet(file.parent / name, entry.get("weight", 1), name))
        except ConfigurationError as error:
            raise ConfigurationError(f"{file}: entry {number}, {name!r}: {error}") from error
    return sets


def to_pair(record: Record, fields: PairFields, number: int) -> Pair:
    """Make a pair of a record of the set of that number.

    Raises:
        RecordError: It lacks a text, or holds what cannot be learned from.
    """
    value = record.value
    if isinstance(value, Document):
        raise RecordError("it is a document, expected an object with a query and a positive")
    query = _text(value, fields.query, "query")
    positive = _text(value, fields.positive, "positive")
    negatives = _negatives(value, fields)
    key = text_key(query)
    if text_key(positive) == key:
        raise RecordError("its positive is its query: there is nothing to learn from it")
    if key in map(text_key, negatives):
        raise RecordError("a negative of it is its query")
    return Pair(query, positive, negatives, _group(value, fields.group), number, record.line)


def text_key(text: str) -> str:
    """Return what texts have in common that the model sees as one: it is uncased.

    Examples:
        >>> text_key("Where  is it?") == text_key("where is it? ")
        True
    """
    return " ".join(text.casefold().split())


def _text(value: Mapping[str, Any], field: str, what: str) -> str:
    text = field_value(value, field)
    if text is None:
        named = ", ".join(map(repr, list(value)[:8])) or "nothing"
        raise RecordError(f"it has no {field!r} (the {what}), but {named}")
    return _checked(text, f"its {what} ({field!r})")


def _negatives(value: Mapping[str, Any], fields: PairFields) -> tuple[str, ...]:
    found: list[str] = []
    one, several = field_value(value, fields.negative), field_value(value, fields.negatives)
    if one is not None and one != "":  # an empty cell of CSV is none
        found.append(_checked(one, f"its negative ({fields.negative!r})"))
    if several is not None and several != "":
        if not isinstance(several, Sequence) or isinstance(several, str | bytes):
            raise RecordError(
                f"its negatives ({fields.negatives!r}) are {shown(several)}, expected a list"
            )
        found += [_checked(text, f"a negative ({fields.negatives!r})") for text in several]
    return tuple({text_key(text): text for text in found}.values())


def _checked(text: object, what: str) -> str:
    if not isinstance(text, str):
        raise RecordError(f"{what} is {shown(text)}, expected a string")
    if len(text) > MAX_CHARACTERS:
        raise RecordError(f"{what} has {len(text):,} characters, the limit is {MAX_CHARACTERS:,}")
    if not text_key(text):
        raise RecordError(f"{what} is empty")
    return repair_surrogates(text).strip()


def _group(value: Mapping[str, Any], field: str) -> str | None:
    group = field_value(value, field)
    if group is None or group == "":
        return None
    if isinstance(group, str):
        return repair_surrogates(group)
    if isinstance(group, int) and not isinstance(group, bool):
        return str(group)
    raise RecordError(f"its group ({field!r}) is {shown(group)}, expected a string or number")
