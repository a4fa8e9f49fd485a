"""Whatever a source is cut into, its parts have the records of the whole, with their lines."""

from __future__ import annotations

import csv
import gzip
import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from pyarrow import fs

from multiqa_integrations.distributed import sources, splits
from multiqa_integrations.distributed.found import FoundFile, StoredFolder
from multiqa_integrations.distributed.sources import find
from multiqa_integrations.distributed.splits import FilePart, Split, cut
from multiqa_integrations.errors import ConfigurationError, SourceError
from multiqa_integrations.etl.folder import Folder
from multiqa_integrations.etl.open_source import open_source
from multiqa_integrations.etl.records import SourceItem, Unread


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "BYTES", 400)
    monkeypatch.setattr(splits, "LEAST_BYTES", 1)
    monkeypatch.setattr(splits, "_SPLITS", 1)
    monkeypatch.setattr(splits, "RECORDS", 7)
    monkeypatch.setattr(splits, "_LEAST_ROWS", 7)
    monkeypatch.setattr(splits, "_DOCUMENTS", 3)


def read(parts: list[Split]) -> Iterator[SourceItem]:
    """Read splits as the driver does: twice, since lines are known after the first time."""
    counted = 0
    for split in parts:
        split = pickle.loads(pickle.dumps(split))
        assert split.source is not None
        if split.before is not None:
            counted = split.before
        first = split.open(0)
        items = sum(1 for _ in first)
        again = list(split.open(counted))
        assert len(again) == items
        yield from again
        if isinstance(first, FilePart):
            counted += first.counted


def assert_same(source: object, *, least: int, **options: Any) -> list[Split]:
    parts = cut(find(source, **options))
    assert len(parts) >= least
    assert list(read(parts)) == list(open_source(source, **options))
    return parts


def lines(count: int, chance: random.Random) -> list[bytes]:
    kinds: list[Callable[[int], bytes]] = [
        lambda n: json.dumps({"id": n, "text": "word " * chance.randrange(60)}).encode(),
        lambda n: b"",
        lambda n: b"   ",
        lambda n: b"{bad",
        lambda n: b'{"id": "\xff"}',
        lambda n: b'\xef\xbb\xbf{"id": 1}',
        lambda n: json.dumps({"id": n, "text": "long " * 500}).encode(),
    ]
    weights = [20, 1, 1, 1, 1, 1, 1]
    return [chance.choices(kinds, weights)[0](n) for n in range(count)]


@pytest.mark.parametrize("seed", range(10))
def test_json_lines(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(splits, "BYTES", chance.choice([30, 399, 4_000]))
    end = chance.choice([b"\n", b"\r\n"])
    content = end.join(lines(chance.randrange(1, 80), chance)) + chance.choice([b"", end])
    file = tmp_path / "a.jsonl"
    file.write_bytes(chance.choice([b"", b"\xef\xbb\xbf"]) + content)
    assert_same(str(file), least=1)


def test_an_empty_file_is_one_split(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"")
    assert len(assert_same(str(file), least=1)) == 1


def test_a_line_that_is_too_long_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multiqa_integrations.etl.files.MAX_RECORD_BYTES", 1_000)
    monkeypatch.setattr("multiqa_integrations.etl.files._SKIPPED_BYTES", 64)
    file = tmp_path / "a.jsonl"
    rows = [{"id": 1, "text": "a"}, {"id": 2, "text": "b" * 5_000}, {"id": 3, "text": "c"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert_same(str(file), least=12)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv", "a.tsv", "a.csv.gz", "a.arrow"])
def test_what_can_be_read_from_its_beginning_only_is_one_split(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    rows = [{"id": str(n), "text": f'two\nlines, "{n}"'} for n in range(100)]
    if name.endswith("arrow"):
        table = pa.Table.from_pylist(rows)
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        opened: Any = gzip.open if name.endswith("gz") else open
        with opened(file, "wt", newline="") as out:
            if "jsonl" in name:
                out.writelines(json.dumps(row) + "\n" for row in rows)
            else:
                delimiter = "\t" if "tsv" in name else ","
                writer = csv.DictWriter(out, ["id", "text"], delimiter=delimiter)
                writer.writeheader()
                writer.writerows(rows)
    assert len(assert_same(str(file), least=1)) == 1


@pytest.mark.parametrize("group", [1, 10, 1_000])
def test_parquet_is_cut_at_row_groups_and_within_large_ones(
    tmp_path: Path, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "BYTES", 1 << 20)
    monkeypatch.setattr(splits, "LEAST_BYTES", 1 << 20)
    monkeypatch.setattr(splits, "RECORDS", 20)
    file = tmp_path / "a.parquet"
    rows = [{"id": n, "text": "word " * (n % 50)} for n in range(300)]
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), file, row_group_size=group)
    assert len(assert_same(str(file), least=1)) == (1 if group == 1_000 else 15)
    monkeypatch.setattr(splits, "BYTES", 100)
    monkeypatch.setattr(splits, "LEAST_BYTES", 100)
    assert 15 <= len(assert_same(str(file), least=1)) <= 300


def test_files_of_different_formats_are_weighed_alike(tmp_path: Path) -> None:
    """Else the bar would be at its end while all of the Parquet file is still to come."""
    rows = [{"id": n, "text": random.Random(n).randbytes(40).hex()} for n in range(300)]
    lines, table = tmp_path / "a.jsonl", tmp_path / "a.parquet"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), table, row_group_size=90)
    parts = cut(find([str(lines), str(table)]))
    for number, file in enumerate((lines, table)):
        weight = sum(part.weight for part in parts if part.file == number)
        assert weight == pytest.approx(file.stat().st_size, rel=0.01)


def test_a_folder_is_cut_and_keeps_its_numbers(tmp_path: Path) -> None:
    for n in range(10):
        (tmp_path / f"{n}.txt").write_text(f"Text {n}.")
    (tmp_path / "link").symlink_to(tmp_path)
    parts = assert_same(str(tmp_path), least=4)
    unread = [item for item in read(parts) if isinstance(item, Unread)]
    assert len(unread) == 1
    assert len(assert_same(str(tmp_path), glob="[0-4].txt", least=2)) == 2


def test_files_are_found_by_patterns_lists_and_uris(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "c.csv"):
        (tmp_path / name).write_text("")
    pattern = str(tmp_path / "*.jsonl")
    names = [item.name for item in find(pattern)]
    assert names == [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    assert [item.name for item in find([str(tmp_path / "c.csv"), pattern, pattern])] == [
        str(tmp_path / "c.csv"),
        *names,
    ]
    uri = f"file://{tmp_path}"
    assert [item.name for item in find(f"{uri}/*.jsonl")] == [
        f"{uri}/a.jsonl",
        f"{uri}/b.jsonl",
    ]
    assert [item.name for item in find([f"{uri}/c.csv"])] == [f"{uri}/c.csv"]


def test_a_file_of_an_object_store_has_the_same_records(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"\n".join(lines(60, random.Random(3))))
    parts = cut(find(f"file://{file}"))
    assert len(parts) > 5
    assert list(read(parts)) == list(open_source(str(file)))
    rows = [{"id": n, "text": "word " * n} for n in range(100)]
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    parts = cut(find(f"file://{tmp_path}/a.parquet"))
    assert list(read(parts)) == list(open_source(str(tmp_path / "a.parquet")))


def test_a_folder_of_an_object_store_has_the_same_documents(tmp_path: Path) -> None:
    for name in ("b.txt", "a/1.md", "a/2.html", "a-b/3.txt", ".hidden/4.txt", "5.pdf", "é.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"<title>T</title>Text of {name}.")
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    assert list(read(cut(find(f"file://{tmp_path}")))) == list(open_source(str(tmp_path)))
    found = find(f"file://{tmp_path}", glob="**/*.md")
    assert list(read(cut(found))) == list(open_source(str(tmp_path), glob="**/*.md"))


@pytest.mark.parametrize(
    ("source", "options", "error", "words"),
    [
        ("{}/no.jsonl", {}, SourceError, "there is no file or folder"),
        ("{}/no-*.jsonl", {}, SourceError, "there is no file or folder"),
        ("file://{}/no.jsonl", {}, SourceError, "there is no file or folder"),
        ("file://{}/no*", {}, SourceError, "there is no file or folder"),
        ("nothing://{}/no", {}, ConfigurationError, "a URI that pyarrow reads"),
        ("-", {}, ConfigurationError, "standard input"),
        ("", {}, ConfigurationError, "standard input"),
        ("{}/a.jsonl", {"glob": "*.md"}, ConfigurationError, "glob goes with a folder"),
        ("{}/a.jsonl", {"format": "folder"}, ConfigurationError, "is a file"),
        ("{}", {"format": "jsonl"}, ConfigurationError, "is a folder"),
        ("{}", {}, ConfigurationError, r"'.*/\*.jsonl'"),
        ("file://{}", {}, ConfigurationError, r"'.*/\*.jsonl'"),
        ("{}/a.pdf", {}, ConfigurationError, "ends in '.pdf'"),
        ("{}/bad.parquet", {}, SourceError, "cannot be read as Parquet"),
    ],
)
def test_what_is_no_source_is_refused(
    tmp_path: Path, source: str, options: Any, error: type[Exception], words: str
) -> None:
    for name in ("a.jsonl", "a.pdf", "bad.parquet"):
        (tmp_path / name).write_text("x")
    with pytest.raises(error, match=words):
        cut(find(source.format(tmp_path), **options))


@pytest.mark.parametrize("source", [[], [{"id": 1}], {"id": 1}, 7, [7]])
def test_objects_of_this_process_are_refused(source: object) -> None:
    with pytest.raises(ConfigurationError, match="reachable from each of them"):
        find(source)


@pytest.mark.parametrize(
    "uri",
    [
        "nothing://me:secret@bucket/a.jsonl?key=secret",
        "nothing://me:secret@bucket/*.jsonl?key=secret",
        "nothing://me:secret/with=slashes+secret@bucket/*.jsonl?scheme=http&key=secret",
    ],
)
def test_a_secret_in_a_uri_is_in_no_message(uri: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        find(uri)
    assert "secret" not in str(refused.value)
    assert ".jsonl'" in str(refused.value)


def test_options_of_a_uri_are_no_part_of_a_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the endpoint of a store of one's own, which is asked with them."""
    for name in ("a1.jsonl", "b2.jsonl", "c.txt"):
        (tmp_path / name).write_text("{}\n")
    asked = []

    def opened(uri: str) -> tuple[fs.FileSystem, str]:
        asked.append(uri)
        return fs.LocalFileSystem(), str(tmp_path)

    monkeypatch.setattr(sources, "_filesystem", opened)
    options = "?endpoint_override=127.0.0.1:9000&scheme=http"
    found = find(f"s3://bucket/?[0-9]*.jsonl{options}")
    assert [item.name for item in found] == ["s3://bucket/a1.jsonl", "s3://bucket/b2.jsonl"]
    assert asked == [f"s3://bucket/{options}"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_worker_that_got_a_file_system_of_s3_ends_in_order(kind: str) -> None:
    pytest.importorskip("pyarrow._s3fs")
    s3 = fs.S3FileSystem(endpoint_override="127.0.0.1:1", scheme="http", anonymous=True)
    file = FoundFile("s3://b/a", "b/a", "jsonl", 1, 1, s3)
    found = FilePart(file=file) if kind == "file" else StoredFolder("s3://b", "b", s3, [])
    code = (
        "import pickle, sys\n"
        "from multiqa_integrations.errors import SourceError\n"
        "source = pickle.load(sys.stdin.buffer)\n"
        "try: print(len(list(source)))\n"
        "except SourceError: print('nobody listens')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(found),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.split() in ([b"0"], [b"nobody", b"listens"])


@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize("kind", ["grown", "written", "gone"])
def test_a_file_that_is_no_longer_what_was_found(tmp_path: Path, kind: str, scheme: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"id": 1, "text": "a"}\n' * 20)
    (found,) = find(f"{scheme}{file}")
    assert isinstance(found, FoundFile)
    parts = cut([found])
    if kind == "grown":
        with file.open("a") as out:
            out.write("\n")
    elif kind == "written":
        os.utime(file, ns=(1, 1))
    else:
        file.unlink()
    for part in parts:
        with pytest.raises(SourceError, match="cannot be read"):
            list(part.open(0))


def test_a_folder_alone_is_a_source_of_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (found,) = find(str(tmp_path))
    assert isinstance(found, Folder)
