"""What of a source cannot be read is unknown, never gone: such a run prunes nothing."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from multiqa_integrations.errors import SyncIncompleteError
from multiqa_integrations.etl import Progress, open_source, plan, sync, verify
from multiqa_integrations.etl.reports import SyncReport
from multiqa_integrations.qdrant import EdgeStore
from multiqa_integrations.testing import FakeEncoder
from tests.support.permissions import without_root

Options = dict[str, Any]


@pytest.fixture
def options(tmp_path: Path) -> Iterator[Options]:
    with EdgeStore(tmp_path / "store") as store:
        yield {"store": store, "encoder": FakeEncoder()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pages, and below them the one of a team."""
    folder = tmp_path / "docs"
    (folder / "team" / "plans").mkdir(parents=True)
    for number in range(12):
        (folder / f"{number}.md").write_text(f"page {number}")
    (folder / "team" / "plans" / "next.md").write_text("the plan of the team")
    return folder


def documents(options: Options) -> set[str]:
    points, _ = options["store"].scroll("docs", limit=10_000)
    return {point.payload["metadata"]["document_id"] for point in points}


def assert_nothing_is_deleted(source: object, options: Options, named: str) -> None:
    before = documents(options)
    with pytest.raises(SyncIncompleteError, match=named) as incomplete:
        sync(source, "docs", prune=True, max_delete_share=1.0, allow_empty=True, **options)
    report = incomplete.value.report
    assert isinstance(report, SyncReport)
    assert (report.deleted, report.pruning, report.complete) == (0, "left out", False)
    assert documents(options) >= before
    for job in (plan, verify):
        with pytest.raises(SyncIncompleteError, match=named):
            job(source, "docs", **options)


# --- folders ------------------------------------------------------------------------------------


def lock(folder: Path) -> None:
    (folder / "team").chmod(0)


def lock_below(folder: Path) -> None:
    (folder / "team" / "plans").chmod(0)


def lock_all(folder: Path) -> None:
    folder.chmod(0)


def link_away(folder: Path) -> None:
    (folder / "team").rename(folder.parent / "away")
    (folder / "team").symlink_to(folder.parent / "nowhere")


def link_file_away(folder: Path) -> None:
    (folder / "team" / "plans" / "next.md").unlink()
    (folder / "team" / "plans" / "next.md").symlink_to("nowhere.md")


def link(folder: Path) -> None:
    (folder / "team").rename(folder.parent / "elsewhere")
    (folder / "team").symlink_to(folder.parent / "elsewhere")


def loop(folder: Path) -> None:
    (folder / "again").symlink_to(folder)


def test_folders_nested_deeper_than_pythons_calls(tmp_path: Path, options: Options) -> None:
    (tmp_path / "docs").mkdir()
    folder = os.open(tmp_path / "docs", os.O_RDONLY)
    for _ in range(1_100):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(os.open("deep.md", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    try:
        report = sync(tmp_path / "docs", "docs", **options)
    finally:  # pytest clears its folders up by recursion, too
        subprocess.run(["/bin/rm", "-rf", tmp_path / "docs"], check=True, timeout=60)
    (rejection,) = report.rejections
    assert rejection.id == "d/" * 1_100 + "deep.md"  # which is empty


def make_a_pipe(folder: Path) -> None:
    (folder / "7.md").unlink()
    os.mkfifo(folder / "7.md")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lock, "team in .* cannot be listed"),
        (lock_below, "team/plans in .* cannot be listed"),
        (lock_all, "docs cannot be listed"),
        (link_away, "team in .* is a link whose target is away"),
        (link_file_away, "next.md in .* is a link whose target is away"),
        (link, "team in .* is a link to a folder"),
        (loop, "again in .* is a link to a folder"),
        (make_a_pipe, "7.md in .* is neither a file nor a folder"),
    ],
)
def test_a_part_of_a_folder(
    folder: Path, options: Options, change: Callable[[Path], None], named: str
) -> None:
    sync(folder, "docs", **options)
    (folder / "11.md").write_text("changed")
    try:
        change(folder)
        without_root(lambda: assert_nothing_is_deleted(folder, options, named))
    finally:
        for locked in (folder, folder / "team", folder / "team" / "plans"):
            if locked.exists():
                locked.chmod(0o755)
    if change is not lock_all:  # all else was stored
        assert "changed" in {
            p.payload["page_content"] for p in options["store"].scroll("docs", limit=99)[0]
        }


def test_a_part_that_the_pattern_does_not_select(folder: Path, options: Options) -> None:
    (folder / "team").chmod(0)
    for glob in ("*.md", "guides/**/*.md", "t*/*.txt"):
        (folder / "guides").mkdir(exist_ok=True)
        select = lambda glob=glob: sync(folder, "docs", glob=glob, **options)  # noqa: E731
        if glob == "t*/*.txt":
            with pytest.raises(SyncIncompleteError, match="team"):
                without_root(select)
        else:
            assert without_root(select).complete
    (folder / "team").chmod(0o755)


@pytest.mark.parametrize("how", ["locked", "vanished", "a folder now", "in a locked folder"])
def test_a_file_of_a_folder(folder: Path, options: Options, how: str) -> None:
    """It is a rejection with its id: the others are read, and what is stored of it stays."""
    name = "team/plans/next.md" if how == "in a locked folder" else "7.md"
    sync(folder, "docs", **options)
    source = open_source(folder)
    (folder / name).unlink()
    if how == "locked":
        (folder / "7.md").write_text("secret")
        (folder / "7.md").chmod(0)
    elif how == "a folder now":
        (folder / "7.md").mkdir()
    elif how == "in a locked folder":
        (folder / name).write_text("secret")
        (folder / name).parent.chmod(0o600)  # its files can be listed, but not opened
    (folder / "3.md").write_text("changed")
    report = without_root(lambda: sync(source, "docs", prune=True, **options))
    assert [rejection.id for rejection in report.rejections] == [name]
    assert f"{name} cannot be read" in report.rejections[0].reason
    assert (report.changed, report.deleted, report.complete) == (1, 0, False)
    assert len(documents(options)) == 13


# --- files --------------------------------------------------------------------------------------

ROWS = [
    {"id": f"{number:05}", "text": f"document {number % 7} " + "x" * 200} for number in range(5_000)
]


def write_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())


def write_csv(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in rows))


def write_parquet(file: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=500)


def write_stream(file: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=500)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "write", "size"),
    [
        ("a.jsonl", write_lines, "shrinks"),
        ("a.jsonl", write_lines, "grows"),
        ("a.jsonl", write_lines, "is written over"),
        ("a.jsonl.gz", write_lines, "grows"),
        ("a.csv", write_csv, "shrinks"),
        ("a.parquet", write_parquet, "is written over"),
        ("a.arrow", write_stream, "grows"),
    ],
)
def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, options: Options, name: str, write: Callable[..., None], size: str
) -> None:
    file = tmp_path / name
    write(file, ROWS)
    sync(file, "docs", **options)
    before = file.stat()
    written = file.read_bytes()
    changed: list[bool] = []

    def change(now: Progress) -> None:
        if now.records < 128 or changed:
            return
        changed.append(True)
        if size == "shrinks":
            os.truncate(file, before.st_size // 2)
        elif size == "grows":
            with file.open("ab") as end:
                end.write(b"\n")
        else:
            file.write_bytes(written)
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))

    with pytest.raises(SyncIncompleteError, match="a.*cannot be read on"):
        sync(file, "docs", prune=True, max_delete_share=1.0, progress=change, **options)
    assert changed
    assert len(documents(options)) == len(ROWS)


def test_another_file_in_its_place_is_of_no_concern(tmp_path: Path, options: Options) -> None:
    """As programs write that do it right: the old file is read to its end."""
    file = tmp_path / "a.jsonl"
    write_lines(file, ROWS)

    def replace(now: Progress) -> None:
        write_lines(tmp_path / "new", ROWS[:1])
        (tmp_path / "new").replace(file)

    report = sync(file, "docs", prune=True, progress=replace, **options)
    assert (report.added, report.complete) == (len(ROWS), True)


def test_an_arrow_stream_without_its_end(tmp_path: Path, options: Options) -> None:
    file = tmp_path / "a.arrow"
    write_stream(file, ROWS[:700])
    sync(file, "docs", **options)
    os.truncate(file, file.stat().st_size - 8)
    assert_nothing_is_deleted(file, options, "end-of-stream mark")
