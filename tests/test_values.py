"""The table of docs/values.md."""

from __future__ import annotations

import enum
import json
import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.values import MAX_DEPTH, json_fault, json_value

WHERE = "the metadata of document 'a'"


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Pair(NamedTuple):
    left: int
    right: date


@dataclass
class Author:
    name: str
    born: date


KEPT: list[tuple[Any, Any]] = [
    ("é", "é"),
    ("a\ud83d\ude00b\ud83d", "a😀b\ufffd"),
    (np.str_("a"), "a"),
    (None, None),
    (True, True),
    (np.bool_(True), True),
    ((1 << 64) - 1, (1 << 64) - 1),
    (np.int64(-3), -3),
    (1.5, 1.5),
    (np.float32(1.5), 1.5),
    (np.float64(1.5), 1.5),
    (datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05"),  # noqa: DTZ001  (without a zone)
    (datetime(2024, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), "2024-01-02T03:00:00+02:00"),
    (date(2024, 1, 2), "2024-01-02"),
    (time(3, 4), "03:04:00"),
    (np.datetime64("2024-01-02T03:04:05", "ns"), "2024-01-02T03:04:05"),
    (np.datetime64("2024-01-02T03:04:05.120", "ms"), "2024-01-02T03:04:05.12"),
    (np.datetime64("2024-01-02"), "2024-01-02"),
    (np.datetime64("NaT"), None),
    (np.timedelta64("NaT"), None),
    (np.ma.masked, None),
    (Decimal("1.10"), "1.10"),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (PurePosixPath("a/b"), "a/b"),
    (Colour.RED, "red"),
    (Level.HIGH, 3),
    (Author("Ada", date(1815, 12, 10)), {"name": "Ada", "born": "1815-12-10"}),
    ((1, "a"), [1, "a"]),
    (Pair(1, date(2024, 1, 2)), [1, "2024-01-02"]),
    ({"b", "a"}, ["a", "b"]),
    (frozenset({(2, 3), (1, 2)}), [[1, 2], [2, 3]]),
    (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
    (np.array(["2024-01-02"], "datetime64[ns]"), ["2024-01-02T00:00:00"]),
    (np.array(7), 7),
    (np.arange(4).reshape(2, 2).view(np.matrix), [[0, 1], [2, 3]]),
    (np.ma.array([1, 2], mask=[False, True]), [1, None]),
    (np.datetime64(1, "as"), "1970-01-01T00:00:00.000000000000000001"),
    (np.longdouble(0.5), 0.5),
    (OrderedDict(a=1), {"a": 1}),
    ({Colour.RED: 1}, {"red": 1}),
]


@pytest.mark.parametrize(("value", "expected"), KEPT, ids=lambda one: type(one).__name__)
def test_kept(value: Any, expected: Any) -> None:
    assert json_value(value, WHERE) == expected
    found = json_value({"k": [value]}, WHERE)
    assert found == {"k": [expected]}
    assert json.loads(json.dumps(found)) == found


REFUSED = [
    (float("nan"), "is nan"),
    (np.float32("inf"), "is inf"),
    (Decimal("Infinity"), "Decimal"),
    (timedelta(1), "timedelta"),
    (np.timedelta64(5, "ns"), "timedelta64"),
    (np.datetime64(20_000, "Y"), "datetime64"),
    (np.datetime64(-1, "Y") - np.timedelta64(1969, "Y"), "year"),
    (np.longdouble(1) / 3 if np.finfo(np.longdouble).bits > 64 else 1j, "longdouble|complex"),
    (np.array([(1, 2.0)], "i4, f8"), "void"),
    (b"a", "bytes"),
    (np.bytes_(b"a"), "bytes_"),
    (np.complex64(1), "complex64"),
    (1 << 64, "beyond 64 bits"),
    (10**5_000, "beyond 64 bits"),
    (object(), "object"),
    (Author, "type"),
    (iter([1]), "list_iterator"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=lambda one: type(one).__name__)
def test_refused_by_record_key_and_type(value: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        json_value({"k": [0, value]}, WHERE)
    assert f"{WHERE}['k'][1]" in str(caught.value)


def test_keys_are_strings() -> None:
    with pytest.raises(ConfigurationError, match=r"\['k'\] has the key 1"):
        json_value({"k": {1: 2}}, WHERE)


class Odd(tzinfo):
    """A zone whose offset nobody can tell, and a key that nobody can read."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        raise RuntimeError("odd")

    def tzname(self, moment: datetime | None) -> str:
        raise RuntimeError("odd")

    def dst(self, moment: datetime | None) -> timedelta:
        raise RuntimeError("odd")

    def __repr__(self) -> str:
        raise RuntimeError("odd")


class OddList(list[int]):
    def __iter__(self) -> Any:
        raise RuntimeError("odd")


@dataclass
class Unset:
    name: str = field(init=False)


@pytest.mark.parametrize(
    "value",
    [datetime(2024, 1, 2, tzinfo=Odd()), {Odd(): 1}, OddList(), Unset(), {"a": OddList()}],
    ids=lambda value: type(value).__name__,
)
def test_what_fails_when_it_is_looked_at_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"\['k'\].* which cannot be read") as caught:
        json_value({"k": value}, WHERE)
    assert str(caught.value).startswith(WHERE)


def test_two_keys_that_become_one_are_refused() -> None:
    surrogates: dict[Any, int] = dict.fromkeys(["\ud800", "\udfff"], 1)
    for value in ({Colour.RED: 1, "red": 2}, surrogates):
        with pytest.raises(ConfigurationError, match=r"\['k'\] has two keys that become"):
            json_value({"k": value}, WHERE)


def test_pandas_and_arrow() -> None:
    pandas, arrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    moment = pandas.Timestamp("2024-01-02T03:04:05.123456789")
    kept = {
        moment: "2024-01-02T03:04:05.123456789",
        pandas.NaT: None,
        pandas.NA: None,
        arrow.scalar(3): 3,
        arrow.scalar(None): None,
        arrow.scalar(moment, arrow.timestamp("ns")): "2024-01-02T03:04:05.123456789",
    }
    for value, expected in kept.items():
        assert json_value({"k": value}, WHERE) == {"k": expected}
    pairs = arrow.map_(arrow.string(), arrow.int64())
    assert json_value({"k": arrow.scalar([("a", 1)], pairs)}, WHERE) == {"k": [["a", 1]]}
    twice = arrow.StructArray.from_arrays([arrow.array([1]), arrow.array([2])], ["a", "a"])[0]
    for value in (
        pandas.Timedelta(1),
        arrow.scalar(timedelta(1)),
        pandas.Period("2024-01"),
        pandas.Timestamp(np.datetime64("20000-01-01", "s")),
        pandas.Timestamp(np.datetime64("-0005-01-01", "s")),
        twice,
    ):
        with pytest.raises(ConfigurationError, match=r"\['k'\]"):
            json_value({"k": value}, WHERE)


NANOSECONDS = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pandas" and "without" in sys.argv:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())
import pyarrow as pa
from multiqa_integrations.etl.records import rows
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.values import json_value

hour = 3_600 * 10**9
moment = pa.timestamp("ns")
at = pa.struct([("at", moment)])
columns = {
    "time": pa.array([1, hour, hour + 5_000, None], pa.int64()).cast(pa.time64("ns")),
    "moment": pa.array([-1, 10**18, 1_000, None], pa.int64()).cast(moment),
    "zone": pa.array([1, 10**18, 1_000, None], pa.int64()).cast(pa.timestamp("ns", "+02:00")),
    "list": pa.array([[1], [10**18, None], [], None], pa.list_(moment)),
    "object": pa.array([{"at": 1}, {"at": None}, None, {"at": 10**18}], at),
    "map": pa.array([[("a", 1)], [], None, [("b", None)]], pa.map_(pa.string(), moment)),
    "set": pa.array([1, 1, 10**18, None], moment).dictionary_encode(),
}
found = [record.value for record in rows(pa.record_batch(columns), 0, "x")]
assert found == [
    {
        "time": "00:00:00.000000001",
        "moment": "1969-12-31T23:59:59.999999999",
        "zone": "1970-01-01T02:00:00.000000001+02:00",
        "list": ["1970-01-01T00:00:00.000000001"],
        "object": {"at": "1970-01-01T00:00:00.000000001"},
        "map": [["a", "1970-01-01T00:00:00.000000001"]],
        "set": "1970-01-01T00:00:00.000000001",
    },
    {
        "time": "01:00:00",
        "moment": "2001-09-09T01:46:40",
        "zone": "2001-09-09T03:46:40+02:00",
        "list": ["2001-09-09T01:46:40", None],
        "object": {"at": None},
        "map": [],
        "set": "1970-01-01T00:00:00.000000001",
    },
    {
        "time": "01:00:00.000005",
        "moment": "1970-01-01T00:00:00.000001",
        "zone": "1970-01-01T02:00:00.000001+02:00",
        "list": [],
        "object": None,
        "map": None,
        "set": "2001-09-09T01:46:40",
    },
    {
        "time": None,
        "moment": None,
        "zone": None,
        "list": None,
        "object": {"at": "2001-09-09T01:46:40"},
        "map": [["b", None]],
        "set": None,
    },
], found
refused = [
    pa.array([1], pa.duration("ns"))[0],
    pa.array([24 * hour], pa.int64()).cast(pa.time64("ns"))[0],
    pa.array([-1], pa.int64()).cast(pa.time64("us"))[0],
    pa.array([86_400], pa.int32()).cast(pa.time32("s"))[0],
]
for value in refused:
    try:
        print(json_value(value, "it"))
    except ConfigurationError:
        continue
    raise AssertionError(value)
"""


@pytest.mark.parametrize("pandas", ["with", "without"])
def test_nanoseconds_of_arrow_are_kept_with_or_without_pandas(pandas: str) -> None:
    pytest.importorskip("pyarrow")
    subprocess.run([sys.executable, "-c", NANOSECONDS, pandas], check=True, timeout=280)


def test_neither_pandas_nor_arrow_is_imported() -> None:
    script = (
        "import sys, multiqa_integrations.values as values\n"
        "values.json_value({'a': [1]}, 'x')\n"
        "assert not {'pandas', 'pyarrow'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, cwd=Path.cwd())


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"k": value}
    return value


def test_depth_is_bounded() -> None:
    assert json_value(nested(MAX_DEPTH), WHERE) == nested(MAX_DEPTH)
    assert json_fault(nested(MAX_DEPTH)) is None
    for depth in (MAX_DEPTH + 1, 10_000):
        with pytest.raises(ConfigurationError, match="is nested more than 30 levels") as caught:
            json_value({"key": nested(depth)}, WHERE)
        assert str(caught.value).startswith(f"{WHERE}['key']")
        assert json_fault(nested(depth)) == "is nested more than 30 levels deep"
    endless: list[Any] = []
    endless.append(endless)
    box = np.empty((), object)
    box[()] = box
    for value in (endless, box):
        with pytest.raises(ConfigurationError, match="nested"):
            json_value(value, WHERE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


@given(json_values)
def test_json_stays_as_it_is(value: Any) -> None:
    repaired = json_value(value, WHERE)
    assert json_fault(repaired) is None
    assert json_fault(value) is None
    assert repaired == value


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (1 << 64, "has an integer beyond 64 bits"),
        (-(1 << 63) - 1, "has an integer beyond 64 bits"),
        (float("inf"), "has the number inf"),
        ("\ud800", "has text with a lone surrogate"),
        ({1: 2}, "has a key that is not a string"),
        ({"\ud800": 2}, "has text with a lone surrogate"),
        (date(2024, 1, 2), "has a date, which is not JSON"),
    ],
)
def test_what_a_store_could_not_read_back(value: Any, fault: str) -> None:
    assert json_fault({"k": [value]}) == fault
    assert json_fault({"k": [10**30]}, any_integer=True) is None
