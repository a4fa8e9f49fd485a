"""Sources of every kind, read from real files and real objects."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from datetime import date, datetime, time, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from qdrant_client import QdrantClient

from multiqa_integrations.errors import ConfigurationError, SourceError
from multiqa_integrations.etl import BadRecord, Record, open_source, sync
from multiqa_integrations.testing import FakeEncoder
from multiqa_integrations.types import Document

ROWS = [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}]


def values(source: object, **options: Any) -> list[Any]:
    """What a source has, where all of it can be read."""
    items = list(open_source(source, **options))
    assert all(isinstance(item, Record) for item in items)
    return [item.value for item in items if isinstance(item, Record)]


def read(source: object, **options: Any) -> list[tuple[int | None, str]]:
    """The line of each record, and its id, or why it cannot be read."""
    return [
        (one.line, one.value["id"] if isinstance(one, Record) else one.reason)  # type: ignore[index]
        for one in open_source(source, **options)
    ]


def until_broken(source: object) -> tuple[list[Any], SourceError]:
    """What comes before a source breaks off, and how it does."""
    found: list[Any] = []
    with pytest.raises(SourceError) as caught:
        found.extend(open_source(source))
    return found, caught.value


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


# --- JSON lines -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINES),
        ("a.NDJSON", LINES),
        ("a.jsonl", LINES.rstrip()),
        ("a.jsonl", LINES.replace(b"\n", b"\r\n")),
        ("a.jsonl", b"\xef\xbb\xbf" + LINES),
        ("a.jsonl.gz", gzip.compress(LINES)),
        ("A.JSONL.GZ", gzip.compress(LINES)),
        ("a.jsonl.gz", gzip.compress(LINES[:30]) + gzip.compress(LINES[30:])),
    ],
    ids=["plain", "ndjson", "no last break", "CRLF", "BOM", "gz", "GZ", "gz in two members"],
)
def test_json_lines(tmp_path: Path, name: str, content: bytes) -> None:
    assert values(written(tmp_path / name, content)) == ROWS


def test_json_lines_that_cannot_be_read_keep_their_line_and_bytes(tmp_path: Path) -> None:
    lines = [b'{"id": "a"}', b"", b"  ", b'{"id": "\xff"}', b"{broken", b"[1]", b'{"id": "b"}']
    path = written(tmp_path / "a.jsonl", b"\n".join(lines))
    assert read(path) == [
        (1, "a"),
        (4, "byte 9 of the line is not UTF-8"),
        (5, "this is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 "
            "(char 1)"),
        (6, "this is list in JSON, expected an object"),
        (7, "b"),
    ]  # fmt: skip
    raw = [one.raw for one in open_source(path) if isinstance(one, BadRecord)]
    assert raw == [lines[3], lines[4], lines[5]]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (b'{"id": "a", "text": "A door.", "text": ""}', "text"),
        (b'{"id": "a", "id": "b", "text": "A door."}', "id"),
        (b'{"id": "a", "text": "A door.", "tags": [{"at": 1, "at": 1}]}', "at"),
        (b'{"id": "a", "te\\u0078t": "A door.", "text": "A window."}', "text"),
    ],
)
def test_a_key_that_is_there_twice_is_said(tmp_path: Path, line: bytes, key: str) -> None:
    path = written(tmp_path / "a.jsonl", line + b"\n" + LINES)
    first, *others = read(path)
    assert first == (1, f"this cannot be read: the key {key!r} is there twice")
    assert len(others) == len(ROWS)


def test_json_nested_beyond_measure_is_one_bad_line(tmp_path: Path) -> None:
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    path = written(tmp_path / "a.jsonl", deep + b"\n" + LINES)
    found = list(open_source(path))
    assert [type(one) for one in found] == [BadRecord, Record, Record]


def test_truncated_gzip_breaks_off_after_what_can_be_read(tmp_path: Path) -> None:
    content = b"".join(json.dumps({"id": number}).encode() + b"\n" for number in range(5_000))
    path = written(tmp_path / "a.jsonl.gz", gzip.compress(content)[:-100])
    found, error = until_broken(path)
    assert [one.value["id"] for one in found] == list(range(len(found)))
    assert 1_000 < len(found) < 5_000
    assert error.line == len(found)
    assert error.source == str(path)


@pytest.mark.parametrize("at", [0, 5, 200, 1_000])
def test_damaged_gzip_is_a_source_error(tmp_path: Path, at: int) -> None:
    generator = np.random.default_rng(0)
    content = b"\n".join(b'{"id": %d}' % number for number in generator.integers(0, 1 << 40, 2_000))
    damaged = bytearray(gzip.compress(content))
    damaged[at : at + 60] = b"\xff" * 60
    found, error = until_broken(written(tmp_path / "a.jsonl.gz", bytes(damaged)))
    assert error.line == (len(found) or None)  # none: it is no gzip at all
    assert error.__cause__ is not None


def test_fraction_follows_a_file(tmp_path: Path) -> None:
    source = open_source(written(tmp_path / "a.jsonl", LINES * 10_000))
    assert source.total is None
    assert source.fraction() is None
    seen = []
    for number, _ in enumerate(source):
        if number % 1_000 == 0:
            seen.append(source.fraction())
    assert seen == sorted(seen, key=lambda one: one or 0)
    assert 0.3 < (seen[len(seen) // 2] or 0) < 0.7
    assert source.fraction() == 1.0
    assert len(list(source)) == 20_000  # from its beginning again


# --- CSV and TSV ------------------------------------------------------------------------------


def test_csv_with_quotes_and_line_breaks(tmp_path: Path) -> None:
    content = '\ufeffid,text,note\r\n1,"He said ""no"",\nand left.",\r\n\r\n2,naïve,x\r\n'
    path = written(tmp_path / "a.csv", content.encode())
    assert values(path) == [
        {"id": "1", "text": 'He said "no",\nand left.'},  # an empty value is none
        {"id": "2", "text": "naïve", "note": "x"},
    ]
    assert [line for line, _ in read(path)] == [2, 5]
    assert values(written(tmp_path / "a.csv.gz", gzip.compress(content.encode()))) == values(path)


def test_tsv_and_a_given_format(tmp_path: Path) -> None:
    content = b"id\ttext\na\tone, two\n"
    expected = [{"id": "a", "text": "one, two"}]
    assert values(written(tmp_path / "a.tsv", content)) == expected
    assert values(written(tmp_path / "a.dat", content), format="tsv") == expected


def test_csv_rows_that_cannot_be_read(tmp_path: Path) -> None:
    content = b'id,text\n1,a,x\n2\n3,\xff\n4,"x"y\n5,ok\n6,"open'
    path = written(tmp_path / "a.csv", content)
    assert read(path) == [
        (2, "it has 3 fields, the header has 2"),
        (3, "it has 1 fields, the header has 2"),
        (4, "'text' is not UTF-8"),
        (5, "this is not CSV: ',' expected after '\"'"),
        (6, "5"),
        (7, "a quote is not closed"),
    ]
    raw = [one.raw for one in open_source(path) if isinstance(one, BadRecord)]
    assert raw == [b"1,a,x", b"2", b"3,\xff", b'4,"x"y', b'6,"open']


def test_a_field_larger_than_python_takes_by_itself(tmp_path: Path) -> None:
    text = "word " * 100_000
    path = written(tmp_path / "a.csv", f'id,text\n1,"{text}"\n2,b\n'.encode())
    assert [len(one["text"]) for one in values(path)] == [500_000, 1]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"id,text,id", "has the name 'id' in columns 1 and 3"),
        (b'"id"x,text', "is not CSV"),
        (b"id,\xff", "has a name in column 2 that is not UTF-8"),
        (b'id,"text', "is not CSV"),
    ],
)
def test_a_header_must_name_the_fields(tmp_path: Path, header: bytes, problem: str) -> None:
    found, error = until_broken(written(tmp_path / "a.csv", header + b"\n1,2\n3,4\n"))
    assert found == []
    assert f"the header of {tmp_path / 'a.csv'} {problem}" in str(error)
    assert error.line == 1


def test_a_column_without_a_name_is_ignored(tmp_path: Path) -> None:
    """As pandas writes its index."""
    path = written(tmp_path / "a.csv", b",id,text, \n0,a,first,x\n1,b,second,\n")
    with pytest.warns(UserWarning, match="columns without a name are ignored: 1, 4"):
        report = sync(path, "docs", client=QdrantClient(":memory:"), encoder=FakeEncoder())
    assert (report.added, report.complete) == (2, True)
    assert report.notes == ["columns without a name are ignored: 1, 4"]
    assert values(path)[0] == {"id": "a", "text": "first"}


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_rows_of_delimiters_alone_are_blank(tmp_path: Path, delimiter: str) -> None:
    content = "id,text,lang\na,first,en\n,,\n\nb,second,de\n,,\n , ,\n,,,,\n".replace(
        ",", delimiter
    )
    path = written(tmp_path / ("a.csv" if delimiter == "," else "a.tsv"), content.encode())
    assert read(path) == [(2, "a"), (5, "b")]


@pytest.mark.parametrize("quoted", ["", '9,"a quoted one, with\na line break"\n'])
def test_a_quote_that_is_not_closed_costs_its_line_alone(tmp_path: Path, quoted: str) -> None:
    rows = "".join(f"{number},row {number}\n" for number in range(2, 9))
    content = f'id,text\n1,"the start of a quote\n{rows}{quoted}'
    found = read(written(tmp_path / "a.csv", content.encode()))
    assert found[0][0] == 2
    assert "quote" in found[0][1] or "not CSV" in found[0][1]
    expected = [str(number) for number in range(2, 10 if quoted else 9)]
    assert [id for _, id in found[1:]] == expected


def test_a_quote_that_is_not_closed_costs_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("files", "delimited"):
        monkeypatch.setattr(f"multiqa_integrations.etl.{module}.MAX_RECORD_BYTES", 10_000)
    rows = "".join(f"{number},row {number}\n" for number in range(2, 20_000))
    path = written(tmp_path / "a.csv", f'id,text\n1,"start\n{rows}'.encode())
    found = read(path)
    assert found[0] == (2, "a quote is not closed")
    assert len(found) == 19_999


def test_a_row_without_end_is_one_bad_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("files", "delimited"):
        monkeypatch.setattr(f"multiqa_integrations.etl.{module}.MAX_RECORD_BYTES", 1_000)
    long = "x" * 5_000
    content = f'id,text\na,{long}\nb,"A\ndoor."\nc,"{long}\nd,A window.\n{long}'
    assert read(written(tmp_path / "a.csv", content.encode())) == [
        (2, "the line is longer than 1,000 characters"),
        (3, "b"),
        (5, "the line is longer than 1,000 characters"),
        (6, "d"),
        (7, "the line is longer than 1,000 characters"),
    ]
    with pytest.raises(SourceError, match="the header"):
        read(written(tmp_path / "b.csv", content[8:].encode()))


def test_a_line_without_end_is_not_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("files", "delimited"):
        monkeypatch.setattr(f"multiqa_integrations.etl.{module}.MAX_RECORD_BYTES", 10_000)
    long = '{"id": "b", "text": "' + "x" * 3_000_000 + '"}'
    lines = f'{{"id": "a", "text": "x"}}\n{long}\n{{"id": "c", "text": "x"}}\n{long}'
    path = written(tmp_path / "a.jsonl.gz", gzip.compress(lines.encode()))
    long_line = "the line is longer than 10,000 bytes"
    assert read(path) == [(1, "a"), (2, long_line), (3, "c"), (4, long_line)]


def test_an_empty_csv_has_no_records(tmp_path: Path) -> None:
    assert values(written(tmp_path / "a.csv", b"")) == []
    assert values(written(tmp_path / "a.csv", b"\n\nid,text\n")) == []


# --- Parquet and Arrow ------------------------------------------------------------------------


def typed_table() -> Any:
    import pyarrow as pa

    return pa.table(
        {
            "id": [1, 2],
            "text": ["one", "two"],
            "at": pa.array([datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)] * 2),
            "day": [date(2026, 1, 2), None],
            "price": [Decimal("1.10"), Decimal("2.00")],
            "tags": [["x", "y"], []],
            "author": [{"name": "A", "born": date(1900, 1, 1)}, None],
        }
    )


PLAIN = [
    {
        "id": 1,
        "text": "one",
        "at": "2026-01-02T03:04:05+00:00",
        "day": "2026-01-02",
        "price": "1.10",
        "tags": ["x", "y"],
        "author": {"name": "A", "born": "1900-01-01"},
    },
    {
        "id": 2,
        "text": "two",
        "at": "2026-01-02T03:04:05+00:00",
        "day": None,
        "price": "2.00",
        "tags": [],
        "author": None,
    },
]


@pytest.mark.parametrize("kind", ["parquet", "file", "stream", "feather"])
def test_arrow_files(tmp_path: Path, kind: str) -> None:
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet

    table = typed_table()
    path = tmp_path / {"parquet": "a.parquet", "feather": "a.feather"}.get(kind, "a.arrow")
    if kind == "parquet":
        pyarrow.parquet.write_table(table, path)
    elif kind == "feather":
        pyarrow.feather.write_feather(table, str(path))
    else:
        opened = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
        with opened(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=1)
    source = open_source(path)
    assert [one.value for one in source if isinstance(one, Record)] == PLAIN
    assert [one.line for one in source] == [1, 2]
    assert source.total == (2 if kind == "parquet" else None)
    if kind == "parquet":
        assert source.fraction() == 1.0


def test_a_damaged_arrow_file_does_not_end_the_process(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"id": ["a", "b"], "text": ["one", "two"], "tags": [[1, 2], [3]]})
    file = tmp_path / "damaged.arrow"
    with arrow.OSFile(str(file), "wb") as sink, arrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    ends = np.array([0, 2, 3], np.int32).tobytes()
    content = file.read_bytes()
    assert content.count(ends) == 1
    file.write_bytes(content.replace(ends, np.array([0, 10**9, 3], np.int32).tobytes()))
    script = (
        "import sys\n"
        "from multiqa_integrations.errors import SourceError\n"
        "from multiqa_integrations.etl import open_source\n"
        "try:\n    print(list(open_source(sys.argv[1])))\n"
        "except SourceError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", script, str(file)]
    ended = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    assert "cannot be read on after line 0" in ended.stdout


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="a.parquet cannot be read"):
        open_source(written(tmp_path / "a.parquet", LINES))
    found, error = until_broken(written(tmp_path / "a.arrow", LINES))
    assert found == []
    assert error.line is None


# --- folders ----------------------------------------------------------------------------------

PAGE = """<?xml version="1.0"?><!DOCTYPE html>
<html><head><title>Stop
 &amp; go</title><style>p {}</style></head>
<body><!-- not for readers --><h1>Stopping</h1><p>Press the
<b>red</b> button.</p><ul><li>one</li><li>two</li></ul>
<pre>a
b   c</pre><script>alert(1)</script></body></html>"""


def test_a_folder(tmp_path: Path) -> None:
    written(tmp_path / "b.md", b"\xef\xbb\xbf# Title")
    written(tmp_path / "a" / "deep" / "x.TXT", "naïve".encode())
    written(tmp_path / "a" / "y.rst", b"text")
    written(tmp_path / "c.html", PAGE.encode())
    written(tmp_path / "image.png", b"\x89PNG")
    written(tmp_path / ".hidden.md", b"no")
    written(tmp_path / ".git" / "x.md", b"no")
    source = open_source(tmp_path)
    assert source.total == 4
    found = [one.value for one in source if isinstance(one, Record)]
    assert [one["id"] for one in found] == ["a/deep/x.TXT", "a/y.rst", "b.md", "c.html"]  # type: ignore[index]
    assert found[0] == {"id": "a/deep/x.TXT", "text": "naïve", "path": "a/deep/x.TXT"}
    assert found[2]["text"] == "# Title"  # type: ignore[index]
    assert found[3] == {
        "id": "c.html",
        "title": "Stop & go",
        "text": "Stopping\n\nPress the red button.\n\none\ntwo\n\na\nb   c",
        "path": "c.html",
    }
    assert source.fraction() == 1.0


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<p>Café</p>".encode(), "Café"),
        ("\ufeff<p>Café</p>".encode("utf-16"), "Café"),
        ('<meta charset="iso-8859-1"><p>“Café”</p>'.encode("cp1252"), "“Café”"),
        (b"https://example.com/page.html", "https://example.com/page.html"),
        ("<p>Café</p>".encode("latin-1"), None),
        ('<meta charset="utf-8"><p>Café</p>'.encode("latin-1"), None),
        (b'<meta charset="klingon"><p>Caf</p>', None),
    ],
    ids=["utf-8", "marked", "declared", "a mere URL", "undeclared", "declared wrongly", "unknown"],
)
def test_the_encoding_of_html(tmp_path: Path, content: bytes, text: str | None) -> None:
    written(tmp_path / "a.html", content)
    (found,) = open_source(tmp_path)
    if text is None:
        assert isinstance(found, BadRecord)
        assert "a.html is not in" in found.reason
        assert found.id == "a.html"
    else:
        assert isinstance(found, Record)
        assert found.value["text"].lstrip("\ufeff") == text  # type: ignore[index]


def test_an_encoding_with_nul_in_its_name_is_one_bad_page(tmp_path: Path) -> None:
    written(tmp_path / "a.html", b'<meta charset="a\0b"><p>a</p>')
    written(tmp_path / "b.html", b"<p>b</p>")
    assert read(tmp_path)[1] == (2, "b.html")


def test_a_text_that_is_not_utf8_has_an_id_nevertheless(tmp_path: Path) -> None:
    written(tmp_path / "a.md", b"fine\n\xff")
    (found,) = open_source(tmp_path)
    assert isinstance(found, BadRecord)
    assert (found.id, found.reason) == ("a.md", "line 2 of a.md is not UTF-8")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "\udcff.txt").write_text("fine", encoding="utf-8")
    assert [one["id"] for one in values(tmp_path)] == ["\ufffd.txt"]


def test_glob(tmp_path: Path) -> None:
    for name in ("a.md", "guides/b.md", "guides/deep/c.md", "guides/d.png"):
        written(tmp_path / name, b"x")
    assert [one["id"] for one in values(tmp_path, glob="guides/**/*.md")] == [
        "guides/b.md",
        "guides/deep/c.md",
    ]
    with pytest.raises(ConfigurationError, match="selects guides/d.png too"):
        open_source(tmp_path, glob="guides/*")
    with pytest.raises(ConfigurationError, match="glob is '/'"):
        open_source(tmp_path, glob="/")
    assert values(tmp_path, glob="none/*.md") == []


# --- standard input ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "content"), [(None, LINES), ("jsonl", LINES), ("csv", b"id,text\na,one\nb,two\n")]
)
def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, format: str | None, content: bytes
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(content))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert values("-", format=format) == ROWS
    assert not stdin.buffer.closed
    with pytest.raises(ConfigurationError, match="expected jsonl, csv or tsv"):
        open_source("-", format="parquet")


# --- objects of Python ------------------------------------------------------------------------


def test_dicts_and_documents() -> None:
    documents = [Document("one", "a", {"x": 1}), Document("two")]
    assert values(documents) == documents
    assert values({"id": number} for number in range(3)) == [{"id": 0}, {"id": 1}, {"id": 2}]
    source = open_source(ROWS)
    assert (source.total, source.fraction()) == (2, 0.0)
    next(iter(source))
    assert source.fraction() == 0.5
    assert open_source(iter(ROWS)).total is None


def test_values_that_json_has_not() -> None:
    row = {
        "at": datetime(2026, 1, 2, tzinfo=timezone.utc),
        "uuid": UUID(int=1),
        "price": Decimal("0.10"),
        "numbers": (np.int64(1), np.float32(0.5), np.True_),
        "inner": {"day": date(2026, 1, 2)},
    }
    assert values([row]) == [
        {
            "at": "2026-01-02T00:00:00+00:00",
            "uuid": "00000000-0000-0000-0000-000000000001",
            "price": "0.10",
            "numbers": [1, 0.5, True],
            "inner": {"day": "2026-01-02"},
        }
    ]


def test_items_of_another_type_are_bad_records() -> None:
    found = list(open_source(["text", 3, {"id": 1}]))
    assert [type(one) for one in found] == [BadRecord, BadRecord, Record]
    assert isinstance(found[0], BadRecord)
    assert (found[0].reason, found[0].raw) == ("it is str, expected a dict or a document", "text")


def test_langchain_documents_and_loaders() -> None:
    from langchain_core.document_loaders import BaseLoader
    from langchain_core.documents import Document as LangChainDocument

    class Loader(BaseLoader):
        def lazy_load(self) -> Iterator[LangChainDocument]:
            yield LangChainDocument("one", id="a", metadata={"day": date(2026, 1, 2)})
            yield LangChainDocument("two")

    expected = [Document("one", "a", {"day": "2026-01-02"}), Document("two", None, {})]
    assert values(Loader()) == expected
    assert values(list(Loader().lazy_load())) == expected
    assert open_source(Loader()).name == "Loader"


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "batches"])
def test_tables(kind: str) -> None:
    table = typed_table()
    source: object = table
    if kind == "pandas":
        source = table.to_pandas(types_mapper=None)
    elif kind == "polars":
        polars = pytest.importorskip("polars")
        source = polars.from_arrow(table)
    elif kind == "batches":
        source = table.to_reader(max_chunksize=1)
    opened = open_source(source)
    assert opened.total == (None if kind == "batches" else 2)
    found = [one.value for one in opened if isinstance(one, Record)]
    assert len(found) == 2
    for row, expected in zip(found, PLAIN, strict=True):
        assert isinstance(row, dict)
        for name in ("id", "text", "day", "tags", "author"):
            assert row[name] == expected[name], name
        assert Decimal(row["price"]) == Decimal(str(expected["price"]))
        assert datetime.fromisoformat(row["at"]) == datetime.fromisoformat(str(expected["at"]))
    if opened.total:
        assert opened.fraction() == 1.0


def test_a_number_of_pandas_beyond_64_bits_costs_its_row_alone(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"id": ["a", "b"], "text": ["A door.", "A."], "n": [10**30, 1]})
    report = sync(frame, "docs", path=tmp_path, encoder=FakeEncoder())
    assert [rejection.id for rejection in report.rejections] == ["a"]
    assert report.added == 1


def test_periods_and_intervals_are_no_bare_numbers(tmp_path: Path) -> None:
    pandas, arrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    rows = {"id": ["a", "b"], "text": ["A door.", "A window."]}
    interval = arrow.array([(1, 2, 3), None], arrow.month_day_nano_interval())
    for source, added in (
        (pandas.DataFrame({**rows, "at": pandas.period_range("2024-01", periods=2)}), 0),
        (arrow.table({**rows, "at": interval}), 1),
    ):
        path = tmp_path / str(added)
        report = sync(source, "docs", path=path, encoder=FakeEncoder())
        assert (report.added, report.rejected) == (added, 2 - added)


def test_a_missing_number_of_pandas_is_none() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"id": ["a", "b"], "size": [1.5, float("nan")]}, index=[7, 9])
    assert values(frame) == [{"id": "a", "size": 1.5}, {"id": "b", "size": None}]


def test_a_table_that_arrow_refuses() -> None:
    pandas = pytest.importorskip("pandas")
    assert values(pandas.DataFrame({"id": [1, "a"]})) == [{"id": 1}, {"id": "a"}]
    _, error = until_broken(pandas.DataFrame([[1, 2]], columns=["id", "id"]))
    assert "two columns of DataFrame have the name 'id'" in str(error)


def test_objects_in_a_table_of_pandas_stay_what_they_are() -> None:
    """Arrow gives all of a column one type, and so makes others of them."""
    pandas = pytest.importorskip("pandas")
    columns: dict[str, list[Any]] = {
        "number": [1, 2.5],
        "decimal": [Decimal("1.10"), Decimal("1.1234")],
        "day": [date(2024, 1, 1), datetime(2024, 1, 1, 5)],  # noqa: DTZ001
        "zone": [datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2024, 1, 1)],  # noqa: DTZ001
        "time": [time(1, tzinfo=timezone.utc), time(2)],
        "moment": [pandas.Timestamp(1), pandas.NaT],
        "object": [{"a": 1}, {"b": [2.5]}],
        "missing": [float("nan"), None],
    }
    frame = pandas.DataFrame({name: pandas.Series(c, dtype=object) for name, c in columns.items()})
    frame["kind"] = pandas.Categorical(columns["decimal"])
    first, second = values(frame)
    assert repr(first) == repr(
        {
            "number": 1,
            "decimal": "1.10",
            "day": "2024-01-01",
            "zone": "2024-01-01T00:00:00+00:00",
            "time": "01:00:00+00:00",
            "moment": "1970-01-01T00:00:00.000000001",
            "object": {"a": 1},
            "missing": None,
            "kind": "1.10",
        }
    )
    assert second["day"] == "2024-01-01T05:00:00"
    assert second["zone"] == "2024-01-01T00:00:00"
    assert second["object"] == {"b": [2.5]}
    assert (second["moment"], second["missing"]) == (None, None)


def test_hugging_face_data_sets() -> None:
    datasets = pytest.importorskip("datasets")
    found = datasets.Dataset.from_list(ROWS)
    assert values(found) == ROWS
    assert open_source(found).total == 2
    assert values(found.to_iterable_dataset()) == ROWS
    numbers = datasets.Dataset.from_dict({"id": [1]}).with_format("numpy")
    assert values(numbers) == [{"id": 1}]
    assert type(values(numbers)[0]["id"]) is int


def test_a_source_of_ones_own() -> None:
    class Mine:
        name = "mine"
        total: int | None = 1

        def __iter__(self) -> Iterator[Record]:
            yield Record(7, {"id": "a"})

        def fraction(self) -> float | None:
            return None

    mine = Mine()
    assert open_source(mine) is mine
    assert read(mine) == [(7, "a")]


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (b"x.jsonl", {}, "source is bytes"),
        ({"id": 1}, {}, "source is dict"),
        (7, {}, "source is int"),
        ("s3://bucket/x.jsonl", {}, "Fetch it first"),
        ("x.xml", {}, "ends in '.xml'"),
        ("x.xml", {"format": "xml"}, "format is 'xml'"),
        ("x.xml", {"format": "folder"}, "is a file, expected 'folder'"),
        (".", {"format": "jsonl"}, "is a folder, expected 'jsonl'"),
        ("x.xml", {"glob": "*.md"}, "glob goes with a folder"),
        (ROWS, {"format": "jsonl"}, "format goes with a path, not with list"),
        (ROWS, {"glob": "*"}, "glob goes with a path"),
    ],
)
def test_what_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: object,
    options: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "x.xml", b"")
    with pytest.raises(ConfigurationError) as caught:
        open_source(source, **options)
    assert message in str(caught.value)


def test_a_complex_column_of_pandas_costs_what_is_stored_of_it() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"id": ["a"], "text": ["one"], "c": [1j]})
    where: dict[str, Any] = {"client": QdrantClient(":memory:"), "encoder": FakeEncoder()}
    (rejection,) = sync(table, "docs", **where).rejections
    assert rejection.id == "a"
    assert "its metadata['c'] is complex" in rejection.reason


def test_one_column_of_pandas_is_no_table() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ConfigurationError, match="one column of pandas"):
        open_source(pandas.Series(["one"], name="text"))


@pytest.mark.parametrize("path", ["x" * 5_000, "~" + "x" * 500 + "/docs"])
def test_a_path_that_the_system_does_not_take(path: str) -> None:
    with pytest.raises(SourceError, match="cannot be looked at|there is no file"):
        open_source(path)


def test_an_empty_path_is_not_the_working_directory() -> None:
    with pytest.raises(ConfigurationError, match="empty path"):
        open_source("")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(tmp_path / "none.jsonl")
    assert caught.value.line is None


# --- memory -----------------------------------------------------------------------------------


def peak(source: object) -> int:
    """Read a source to its end; returns the most bytes that Python held for it."""
    opened = open_source(source)
    tracemalloc.start()
    try:
        for _ in opened:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_flat_over_a_generator() -> None:
    rows = ({"id": number, "text": "x" * 10_000} for number in range(5_000))  # 50 MB
    assert peak(rows) < 1_000_000


def test_memory_is_flat_over_files(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    line = b'{"id": "a", "text": "' + b"x" * 10_000 + b'"}\n'
    assert peak(written(tmp_path / "a.jsonl.gz", gzip.compress(line * 3_000))) < 2_000_000
    batch = pa.record_batch({"id": range(2_000), "text": ["x" * 1_000] * 2_000})
    path = tmp_path / "a.parquet"
    with pyarrow.parquet.ParquetWriter(path, batch.schema) as writer:
        for _ in range(20):  # 40 MB in 20 row groups
            writer.write_batch(batch)
    assert open_source(path).total == 40_000
    before = pa.default_memory_pool().max_memory()
    assert peak(path) < 10_000_000
    assert pa.default_memory_pool().max_memory() - before < 20_000_000
