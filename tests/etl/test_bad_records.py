"""One bad record costs that record alone, wherever on its way to a point it breaks."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from multiqa_integrations.errors import SyncIncompleteError
from multiqa_integrations.etl import BadRecord, Fields, plan, sync, verify
from multiqa_integrations.etl.html import parse_html
from multiqa_integrations.etl.ledger import chunk_id
from multiqa_integrations.qdrant import EdgeStore, Point
from multiqa_integrations.testing import FakeEncoder
from multiqa_integrations.types import Document

Options = dict[str, Any]


@pytest.fixture
def options(tmp_path: Path) -> Iterator[Options]:
    with EdgeStore(tmp_path / "store") as store:
        yield {"store": store, "encoder": FakeEncoder()}


def stored(options: Options) -> dict[str, Point]:
    points, _ = options["store"].scroll("docs", limit=1_000)
    return {point.payload["metadata"]["document_id"]: point for point in points}


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = {"a": value}
    return value


def cyclic() -> Any:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


class Hostile(Mapping[str, Any]):
    """A mapping that fails when it is looked at."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("it is gone")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("it is gone")

    def __len__(self) -> int:
        return 1


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("it cannot be shown")


VALUES: dict[str, Any] = {
    "nested": nested(500),
    "nested very deep": nested(100_000),
    "cyclic": cyclic(),
    "digits": 10**5_000,
    "bytes": b"\xff",
    "nan": math.nan,
    "duration": np.timedelta64(5, "ns"),
    "class": Unspeakable(),
    "mapping": Hostile(),
    "keys": {1: 2},
    "late": np.datetime64("20000-01-01"),
}


@pytest.mark.parametrize("place", ["metadata", "id", "text", "title", "document", "record"])
def test_any_value_in_any_place(options: Options, tmp_path: Path, place: str) -> None:
    good = [{"id": f"good{n}", "text": f"text {n}", "head": "x", "m": 1} for n in range(3)]
    bad: list[Any] = []
    for name, value in VALUES.items():
        row = {"id": name, "text": "text", "head": "x", "m": 1}
        if place == "document":
            bad.append(Document("text", name, {"m": value}))
        elif place == "record":
            bad.append(value)
        else:
            bad.append({**row, {"metadata": "m", "title": "head"}.get(place, place): value})
    letters = tmp_path / "letters.jsonl"
    fields = Fields(title="head") if place == "title" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = sync([*bad, *good], "docs", fields=fields, dead_letter=letters, **options)
    assert {f"good{n}" for n in range(3)} <= stored(options).keys()
    assert report.added + report.rejected == len(good) + len(bad)
    assert [one.line for one in report.rejections] == sorted(
        {one.line for one in report.rejections}
    )
    assert all(one.reason for one in report.rejections)
    if place in ("metadata", "title"):  # the id is known, so that what is stored of it stays
        assert {one.id for one in report.rejections} == VALUES.keys()
    assert len(letters.read_bytes().splitlines()) == report.rejected


# --- tables -------------------------------------------------------------------------------------

US = 1_000_000
MOMENTS = pa.struct([("a", pa.timestamp("s"))])
COLUMNS: dict[str, Any] = {
    "zoned": pa.array([0, 253_402_300_799 * US, 1], pa.timestamp("us", "Europe/Berlin")),
    "seconds": pa.array([0, 10**14, 1], pa.timestamp("s")),
    "negative": pa.array([0, -(10**14), 1], pa.timestamp("s", "UTC")),
    "nanoseconds": pa.array([0, 1, 2], pa.timestamp("ns")),
    "date": pa.array([0, 2**31 - 1, 1], pa.int32()).cast(pa.date32()),
    "duration": pa.array([0, 2**62, 1], pa.duration("s")),
    "zone": pa.array([0, 1, 2], pa.timestamp("us", "Nowhere/At_All")),
    "in a list": pa.array([[0], [10**14], [1]], pa.list_(pa.timestamp("s"))),
    "in a struct": pa.array(
        [{"a": 0}, {"a": 10**14}, {"a": 1}], pa.struct([("a", pa.timestamp("s"))])
    ),
}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("format", ["parquet", "feather", "table"])
def test_any_value_of_arrow(options: Options, tmp_path: Path, column: str, format: str) -> None:
    table = pa.table({"id": ["a", "b", "c"], "text": ["a", "b", "c"], "value": COLUMNS[column]})
    source: Any = table
    if format == "parquet":
        source = tmp_path / "a.parquet"
        pq.write_table(table, source)
    elif format == "feather":
        source = tmp_path / "a.feather"
        feather.write_feather(table, source)
    report = sync(source, "docs", **options)
    assert report.added + report.rejected == 3
    if column not in ("duration", "zone"):  # which are rejected altogether
        assert stored(options).keys() >= {"a", "c"}
    assert [one.id for one in report.rejections if one.id is None] == []
    # Where the column is not wanted, nothing is wrong with the records.
    wanted = Fields(metadata=[])
    assert sync(source, "other", fields=wanted, **options).added == 3


def test_two_columns_of_one_name(options: Options, tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"])] * 3, ["id", "text", "text"])
    feather.write_feather(table, tmp_path / "a.feather")
    for source in (table, tmp_path / "a.feather"):
        with pytest.raises(SyncIncompleteError, match="two columns of .* have the name 'text'"):
            sync(source, "docs", **options)
    frame = pd.DataFrame([["a", "b", "c"]], columns=["id", "text", "text"])
    with pytest.raises(SyncIncompleteError, match="two columns of .* have the name 'text'"):
        sync(frame, "docs", **options)


def test_a_column_of_several_types(options: Options) -> None:
    frame = pd.DataFrame(
        {
            "id": ["a", "b", "c", "d"],
            "text": ["x", 5, "z", None],
            "m": [1, "two", None, b"x"],
            "n": [1.0, float("nan"), 2.0, 3.0],
        }
    )
    report = sync(frame, "docs", **options)
    assert [one.id for one in report.rejections] == ["b", "d"]
    assert {id: point.payload["metadata"]["m"] for id, point in stored(options).items()} == {
        "a": 1,
        "c": None,
    }


# --- pages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page",
    [
        *[
            "<![foo",
            "<!DOCTYPE [<!ELEMENT ",
            "<![if IE]>",
            "<!>",
            "<?",
            "&#x110000;",
            "&#99999999;",
        ],
        *["<a " * 10, "\x00", "<p" * 3, "</", "<svg><![CDATA[x", "<title>", "<pre><pre>x", ""],
    ],
)
def test_any_page_is_read_or_rejected(page: str) -> None:
    for text in (page, page * 1_000, f"<p>Before.</p>{page}", f"{page}<p>After.</p>"):
        item = parse_html(1, "a.html", text.encode())
        assert getattr(item, "id", "a.html") == "a.html"


@pytest.mark.parametrize(
    "markup", ["<!--", "<!", "<a ", "&#", "</", "<![CDATA[", "<div>", "<p>x", "<b></i>"]
)
def test_no_page_takes_time_that_grows_faster_than_its_length(markup: str) -> None:
    """Counted in function calls: some of these took a hundred times more for ten times as much."""

    def calls(repeat: int) -> int:
        count = 0

        def trace(*_: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(trace)
        try:
            parse_html(1, "a.html", (markup * repeat).encode())
        finally:
            sys.setprofile(None)
        return count

    calls(1)  # what is imported at the first page is not counted
    assert calls(20_000) < 20 * calls(2_000) + 10_000


# --- what others have done to stored points ---------------------------------------------------

ROWS = [{"id": f"d{n}", "text": f"text {n}", "lang": "en"} for n in range(4)]


def change(key: str, value: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda payload: {**payload, key: value}


def change_record(**values: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda payload: {**payload, "_multiqa": {**payload["_multiqa"], **values}}


EDITS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "other metadata": change("metadata", {"reviewed": True}),
    "no metadata": lambda payload: {k: v for k, v in payload.items() if k != "metadata"},
    "metadata of another type": change("metadata", "text"),
    "no text": lambda payload: {k: v for k, v in payload.items() if k != "page_content"},
    "nothing": lambda payload: {},
    "record of another type": change("_multiqa", [1]),
    "record without hashes": lambda p: {
        **p,
        "_multiqa": {"source": "default", "document": p["_multiqa"]["document"]},
    },
    "many chunks": change_record(chunks=10**12),
    "odd numbers": change_record(chunk=-5, chunks=-1),
    "other types": change_record(chunk="x", chunks=None, hash=5, metadata_hash=[], fingerprint=1),
    "several documents": change_record(document=["d0", "d1"]),
    "another document": change_record(document="d3"),
    "other text": change("page_content", "something else"),
    "places of other types": change(
        "metadata", {"document_id": 5, "chunk": "x", "start_index": None, "end_index": []}
    ),
    "the places of another document": change(
        "metadata", {"document_id": "d3", "chunk": 0, "start_index": 0, "end_index": 6}
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_whatever_others_do_to_a_point(options: Options, edit: str) -> None:
    store = options["store"]
    sync(ROWS, "docs", **options)
    point = stored(options)["d0"]
    (point,) = store.retrieve("docs", [point.id], with_vectors=True)
    store.upsert("docs", [Point(point.id, point.vectors, EDITS[edit](dict(point.payload)))])
    plan(ROWS, "docs", **options)
    verify(ROWS, "docs", **options)
    changed = [{**row, "lang": "de"} for row in ROWS]
    report = sync(changed, "docs", prune=True, **options)
    assert report.complete
    points = stored(options)
    assert {id: point.payload["metadata"]["lang"] for id, point in points.items()} == {
        row["id"]: "de" for row in ROWS
    }
    assert {point.payload["page_content"] for point in points.values()} == {
        row["text"] for row in ROWS
    }
    assert verify(changed, "docs", **options).fits


def test_a_point_that_others_made_one_of_a_later_document(options: Options) -> None:
    """Its own document is written before it is looked at as a stale point of the other one."""
    store = options["store"]
    rows = [{"id": f"d{n}", "text": f"text {n}"} for n in range(900)]
    sync(rows, "docs", **options)
    (point,) = store.retrieve("docs", [chunk_id("default", "d0", 0)], with_vectors=True)
    payload = EDITS["another document"](dict(point.payload))
    payload["_multiqa"]["document"] = "d899"
    store.upsert("docs", [Point(point.id, point.vectors, payload)])
    changed = [{**row, "text": f"{row['text']} anew"} for row in rows]
    assert sync(changed, "docs", **options).complete
    assert store.count("docs") == 900
    assert verify(changed, "docs", **options).fits


def test_points_of_others_that_look_like_ours_stay(options: Options) -> None:
    store = options["store"]
    sync(ROWS, "docs", **options)
    (point,) = store.retrieve("docs", [stored(options)["d0"].id], with_vectors=True)
    foreign = "11111111-1111-1111-1111-111111111111"
    store.upsert("docs", [Point(foreign, point.vectors, {"_multiqa": {"source": "default"}})])
    assert sync(ROWS, "docs", prune=True, **options).deleted == 0
    assert store.count("docs") == 5


# --- fields that no record has ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "what"),
    [
        ({"title": "headlin"}, "title"),
        ({"metadata": ["lnag", "headline"]}, "metadata"),
        ({"metadata": ["author.nmae"]}, "metadata"),
        ({"text": "txt"}, "text"),
        ({"id": "key"}, "id"),
    ],
)
@pytest.mark.parametrize("documents", [False, True])
def test_a_field_that_no_record_has(
    options: Options, named: dict[str, Any], what: str, documents: bool
) -> None:
    rows: list[Any] = [
        {"id": n, "headline": f"No. {n}", "text": "words", "author": {"name": "x"}}
        for n in range(5)
    ]
    if documents:
        if what in ("text", "id"):
            pytest.skip("a document has both")
        rows = [Document(row["text"], str(row.pop("id")), row) for row in rows]
    fields = Fields(**named)
    for job in (sync, plan):
        with pytest.warns(UserWarning, match=f"no record has the {what} field") as caught:
            report = job(rows, "docs", fields=fields, **options)
        assert len(caught) == len(report.notes) == 1
        assert "'headline'" in report.notes[0]


def test_a_field_that_one_record_has_is_not_told(options: Options) -> None:
    rows = [{"id": 1, "text": "x"}, {"id": 2, "text": "x", "head": None, "a": {"b": None}}]
    fields = Fields(title="head", metadata=["a.b"])
    assert sync(rows, "docs", fields=fields, **options).notes == []
    assert sync([], "docs", fields=fields, **options).notes == []


@pytest.mark.parametrize("format", ["parquet", "arrow"])
@pytest.mark.parametrize("field", ["text", "tag", "tags", "box"])
def test_text_of_arrow_that_is_not_utf8_costs_its_row_alone(
    options: Options, tmp_path: Path, format: str, field: str
) -> None:
    ends = pa.array([0, 1, 2], pa.int32()).buffers()[1]
    bad = pa.Array.from_buffers(pa.string(), 2, [None, ends, pa.py_buffer(b"\xffa")])
    columns = {
        "id": ["a", "b"],
        "text": ["A door.", "A window."],
        **({} if field in ("tags", "box") else {field: bad}),
        **({"tags": pa.ListArray.from_arrays([0, 1, 2], bad)} if field == "tags" else {}),
        **({"box": pa.StructArray.from_arrays([bad], ["tag"])} if field == "box" else {}),
    }
    path = tmp_path / f"a.{format}"
    write = pq.write_table if format == "parquet" else feather.write_feather
    write(pa.table(columns), path)
    report = sync(path, "docs", **options)
    assert [rejection.id for rejection in report.rejections] == ["a"]
    assert list(stored(options)) == ["b"]


BYTES = pa.array([b"\xffa", b"good"])
NOT_UTF8 = BYTES.view(pa.string())
ONE_EACH = [0, 1, 2]
RUNS = pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int32()), BYTES)


@pytest.mark.parametrize(
    "values",
    [
        pa.DictionaryArray.from_arrays([0, 1], NOT_UTF8),
        pa.MapArray.from_arrays(ONE_EACH, ["a", "b"], NOT_UTF8),
        pa.MapArray.from_arrays(ONE_EACH, NOT_UTF8, [1, 2]),
        pa.FixedSizeListArray.from_arrays(NOT_UTF8, 1),
        pa.ListViewArray.from_arrays([0, 1], [1, 1], NOT_UTF8),
        pa.LargeListViewArray.from_arrays([0, 1], [1, 1], NOT_UTF8),
        pa.ListArray.from_arrays(ONE_EACH, pa.DictionaryArray.from_arrays([0, 1], NOT_UTF8)),
        pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [NOT_UTF8]),
        BYTES.cast(pa.binary_view()).view(pa.string_view()),
        RUNS.view(pa.run_end_encoded(pa.int32(), pa.string())),
        *([pa.ExtensionArray.from_storage(pa.json_(), NOT_UTF8)] if hasattr(pa, "json_") else []),
    ],
    ids=lambda values: type(values).__name__,
)
def test_such_text_within_any_type_of_arrow_costs_its_row_alone(
    options: Options, tmp_path: Path, values: Any
) -> None:
    table = pa.table({"id": ["a", "b"], "text": ["A door.", "A window."], "field": values})
    path = tmp_path / "a.arrow"
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)
    report = sync(path, "docs", **options)
    assert [rejection.id for rejection in report.rejections] == ["a"]
    assert list(stored(options)) == ["b"]


@pytest.mark.parametrize("encoding", ["punycode", "idna"])
def test_a_page_is_not_read_as_a_domain_name(encoding: str) -> None:
    """Which takes hours for one of a few megabytes."""
    found = parse_html(1, "a.html", b"<meta charset=%s>a-" % encoding.encode() + b"zz9" * 1_000)
    assert isinstance(found, BadRecord)
    assert f"is not in {encoding}" in found.reason
