"""What becomes of each value in metadata: one table for every way into a collection.

The table is in `docs/values.md`. What has no faithful form in JSON is refused. Neither pandas nor
Arrow is imported for it: their values are known by the module of their type.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Set
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import numpy as np

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.texts import repair_surrogates

MAX_DEPTH = 30
"""How deep lists and objects may be nested.

The embedded engine cannot read a collection again that has more than some 120 levels, and gRPC
carries 32.
"""

_SHOWN = 160  # characters of where a value is, in a message about nesting

_YEARS = "Its year is not one of 1 to 9999. Pass str(...)."
_FOUR_DIGITS = re.compile(r"(?!0000)\d{4}(-|$)")


def json_value(value: Any, where: str, *, depth: int = MAX_DEPTH) -> Any:
    """Return the JSON value of a value: strings, finite numbers, booleans, None, lists and dicts.

    Args:
        value: Of Python, NumPy, pandas or Arrow.
        where: What it is, for the message: "the metadata of document 'a'".
        depth: How deep lists and objects may be nested.

    Raises:
        ConfigurationError: It has no faithful form; the message names record, key and type.

    Examples:
        >>> json_value({"at": date(2024, 1, 2), "size": np.int64(3)}, "the metadata")
        {'at': '2024-01-02', 'size': 3}
    """
    kind = type(value)
    if kind is str:
        return value if value.isascii() else repair_surrogates(value)
    if value is None or kind is bool:
        return value
    try:
        return (_object if kind is dict else _converted)(value, where, depth)
    except ConfigurationError:
        raise
    except Exception as error:  # of a class of the user's: its iterator, its zone, its repr
        raise ConfigurationError(
            f"{where} is {kind.__name__}, which cannot be read "
            f"({type(error).__name__}: {error}). Pass str(...), or leave it out."
        ) from error


def _converted(value: Any, where: str, depth: int) -> Any:
    kind = type(value)
    if isinstance(value, Enum):  # before str and int, which it may be too
        return json_value(value.value, where, depth=depth)
    if isinstance(value, str):  # np.str_ and other classes of strings
        return repair_surrogates(str(value))
    if isinstance(value, int):
        return _integer(int(value), where)
    if isinstance(value, float):
        return _float(float(value), where)
    if _is_of(kind, "pyarrow") and hasattr(value, "as_py"):
        return _arrow(value, where, depth)  # before mappings, which maps and structs are too
    if isinstance(value, Mapping):
        return _object(value, where, depth)
    if isinstance(value, list | tuple):
        return _list(value, where, depth)
    if isinstance(value, np.generic | np.ndarray):
        return _numpy(value, where, depth)
    if _is_missing(value):  # before datetime, which NaT is
        return None
    if isinstance(value, datetime | date | time):
        if not 1 <= getattr(value, "year", 1) <= 9999:  # of pandas
            raise _no_json_error(value, where, _YEARS)
        return value.isoformat()
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise _no_json_error(value, where, "Pass None.")
        return str(value)
    if isinstance(value, UUID | PurePath):
        return repair_surrogates(str(value))
    if isinstance(value, Set):
        return _set(value, where, depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _object(fields, where, depth)
    raise _no_json_error(value, where, "Pass str(...), or leave it out.")


def json_fault(value: object, *, depth: int = MAX_DEPTH, any_integer: bool = False) -> str | None:
    """Return what a store could not read back of a value; None if it is plain JSON.

    Args:
        value: What `json_value` returned, or a payload that somebody wrote by hand.
        depth: How deep lists and objects may be nested.
        any_integer: Whether integers may be beyond 64 bits: JSON has them, payloads have not.
    """
    level: list[Any] = [value]
    for _ in range(depth + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, Mapping):
                inner += item
                inner += item.values()
                if not all(isinstance(key, str) for key in item):
                    return "has a key that is not a string"
            elif isinstance(item, list | tuple):
                inner += item
            elif (not any_integer or type(item) is not int) and (fault := _scalar_fault(item)):
                return fault
        if not inner:
            return None
        level = inner
    return f"is nested more than {depth} levels deep"


def _scalar_fault(value: object) -> str | None:
    if isinstance(value, str):
        return None if value == repair_surrogates(value) else "has text with a lone surrogate"
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if -(1 << 63) <= value < 1 << 64 else "has an integer beyond 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"has the number {value}"
    return f"has a {type(value).__name__}, which is not JSON"


def parse_time(text: str) -> datetime:
    """Return the time of an ISO 8601 text; Python 3.10 itself refuses the zone Z.

    Raises:
        ValueError: It is not one.

    Examples:
        >>> parse_time("2024-01-02T03:04:05Z").isoformat()
        '2024-01-02T03:04:05+00:00'
    """
    return datetime.fromisoformat(f"{text[:-1]}+00:00" if text[-1:] in ("Z", "z") else text)


def _integer(value: int, where: str) -> int:
    if not -(1 << 63) <= value < 1 << 64:
        raise ConfigurationError(
            f"{where} is an integer beyond 64 bits (-2**63 to 2**64 - 1). Pass it as a string."
        )
    return value


def _float(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise ConfigurationError(f"{where} is {value}, which JSON cannot hold. Pass None.")
    return value


def _object(value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
    _check_room(where, depth)
    result = {}
    for key, item in value.items():
        name = key.value if isinstance(key, Enum) else key
        if not isinstance(name, str):
            raise ConfigurationError(f"{where} has the key {key!r}, expected a string.")
        name = repair_surrogates(str(name))
        if name in result:
            raise ConfigurationError(f"{where} has two keys that become {name!r}. Rename one.")
        result[name] = (
            item
            if type(item) is str and item.isascii()  # saves the call, and saying where
            else json_value(item, f"{where}[{name!r}]", depth=depth - 1)
        )
    return result


def _list(value: Any, where: str, depth: int) -> list[Any]:
    _check_room(where, depth)
    return [
        json_value(item, f"{where}[{index}]", depth=depth - 1) for index, item in enumerate(value)
    ]


def _set(value: Set[Any], where: str, depth: int) -> list[Any]:
    """Return the items in an order that does not change from run to run."""
    items = _list(list(value), where, depth)
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


def _check_room(where: str, depth: int) -> None:
    if depth <= 0:
        start = where if len(where) <= _SHOWN else f"{where[:_SHOWN]}…"
        raise ConfigurationError(
            f"{start} is nested more than {MAX_DEPTH} levels deep: no store keeps that safely. "
            "Flatten it, or store it as JSON text."
        )


def _numpy(value: np.generic[Any] | np.ndarray[Any, Any], where: str, depth: int) -> Any:
    if value is np.ma.masked:
        return None
    if isinstance(value, np.ndarray):
        if isinstance(value, np.matrix):  # its rows are matrices, too
            value = value.A
        if value.ndim:
            return _list(value, where, depth)
        _check_room(where, depth)
        return json_value(value[()], where, depth=depth - 1)
    if isinstance(value, np.datetime64 | np.timedelta64) and np.isnat(value):
        return None
    if isinstance(value, np.datetime64):
        text = str(np.datetime_as_string(value))
        if not _FOUR_DIGITS.match(text):
            raise _no_json_error(value, where, _YEARS)
        whole, dot, fraction = text.partition(".")
        return whole + (dot + fraction.rstrip("0")).rstrip(".")
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer) and not isinstance(value, np.timedelta64):
        return _integer(int(value), where)
    if isinstance(value, np.floating):
        if np.isfinite(value) and float(value) != value:
            raise _no_json_error(value, where, "It has more digits than a float. Pass float(...).")
        return _float(float(value), where)
    raise _no_json_error(value, where, "Pass .item() or str(...).")


_CHANGED = ("[ns", "time32[", "time64[", "interval", "pandas.")


def is_changed_by_arrow(kind: Any) -> bool:
    """Return whether Arrow may make another value of a value of this type of its own.

    Nanoseconds it refuses without pandas, and with it drops those of a time of the day; a time
    beyond the day's end becomes one of the next day. Intervals and periods become bare numbers.
    """
    name = str(kind)
    return any(part in name for part in _CHANGED)


def _arrow(value: Any, where: str, depth: int) -> Any:
    try:
        found = _exact(value) if is_changed_by_arrow(value.type) else value.as_py()
    except Exception as error:  # durations without pandas, odd years, a field twice
        raise _no_json_error(value, where, f"Arrow says: {error}.") from error
    return json_value(found, where, depth=depth)


def _exact(value: Any) -> Any:
    """Return the Python value of an Arrow scalar; moments as text with all their digits."""
    import pyarrow as pa

    kind = value.type
    if not value.is_valid:
        return None
    if ("interval" in str(kind) and not pa.types.is_nested(kind)) or _of_pandas(kind):
        raise ValueError(f"{kind} is no value of JSON")
    if pa.types.is_time(kind):
        seconds = value.value // {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        if not 0 <= seconds < 86_400:
            raise ValueError(f"{value.value} {kind.unit} is no time of a day")
    if str(kind).startswith(("time64[ns", "timestamp[ns")):
        microseconds, rest = divmod(value.value, 1_000)
        zone = getattr(kind, "tz", None)
        unit = pa.time64("us") if pa.types.is_time64(kind) else pa.timestamp("us", zone)
        moment = pa.scalar(microseconds, pa.int64()).cast(unit).as_py()
        if not rest:
            return moment
        whole, dot, fraction = moment.isoformat(timespec="microseconds").partition(".")
        return f"{whole}{dot}{fraction[:6]}{rest:03}{fraction[6:]}"
    if pa.types.is_map(kind):
        return [[item["key"], item["value"]] for item in value.values]
    if pa.types.is_struct(kind):
        names = list(value)
        if len(set(names)) != len(names):
            raise ValueError("it has two fields of one name")
        return {name: value[name] for name in names}
    if isinstance(inner := getattr(value, "values", None), pa.Array):  # of a list
        return list(inner)
    if isinstance(inner := getattr(value, "value", None), pa.Scalar):  # of a dictionary
        return inner
    return value.as_py()


def _of_pandas(kind: Any) -> bool:
    """Return whether an Arrow type is one of pandas's own: a period, or an interval."""
    return str(getattr(kind, "extension_name", "")).startswith("pandas.")


def _is_missing(value: object) -> bool:
    """Check for NaT and NA of pandas."""
    kind = type(value)
    return kind.__name__ in ("NaTType", "NAType") and _is_of(kind, "pandas")


def _is_of(kind: type, package: str) -> bool:
    """Check for a class of a package that may not be installed."""
    return str(kind.__module__).partition(".")[0] == package


def _no_json_error(value: object, where: str, cure: str) -> ConfigurationError:
    return ConfigurationError(
        f"{where} is {type(value).__name__}, expected a JSON value (string, number, true, false, "
        f"null, list or object) or what becomes one. {cure}"
    )
