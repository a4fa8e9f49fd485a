"""A dead-letter file over many runs: each record once, nobody's letters lost, private."""

from __future__ import annotations

import json
import os
import resource
import stat
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from multiqa_integrations.errors import MultiQAError, SourceError, SyncIncompleteError
from multiqa_integrations.etl import Progress, replay, sync
from multiqa_integrations.etl.letter_file import LetterFile
from multiqa_integrations.qdrant import EdgeStore
from multiqa_integrations.testing import FakeEncoder
from tests.support.permissions import without_root

Row = dict[str, Any]


@pytest.fixture
def where(tmp_path: Path) -> Any:
    with EdgeStore(tmp_path / "store") as store:
        yield {"store": store, "encoder": FakeEncoder()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "letters.jsonl"


def letters_in(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def ids(file: Path) -> list[Any]:
    return [letter["id"] for letter in letters_in(file)]


def texts(where: Row) -> dict[str, str]:
    points, _ = where["store"].scroll("docs")
    return {p.payload["metadata"]["document_id"]: p.payload["page_content"] for p in points}


def edit(file: Path, line: int, **changes: Any) -> None:
    letters = letters_in(file)
    letters[line] |= changes
    file.write_text("".join(json.dumps(letter) + "\n" for letter in letters))


# --- a record is a letter once ----------------------------------------------------------------


def test_however_many_runs_reject_it(where: Row, file: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.jsonl"
    source.write_text(
        '{"id": 1, "text": null}\nnot JSON\n{"text": "no id"}\n{"id": 2, "text": ""}\n'
    )
    for _ in range(3):
        sync(source, "docs", dead_letter=file, **where)
    assert ids(file) == ["1", None, None, "2"]
    # Another line of the file, another reason: still the same record.
    source.write_text('\n\n{"id": 1, "text": 5}\nnot JSON\n')
    sync(source, "docs", dead_letter=file, **where)
    assert ids(file) == [None, None, "2", "1"]
    assert letters_in(file)[-1]["record"] == {"id": 1, "text": 5}


def test_until_it_is_stored(where: Row, file: Path) -> None:
    rows: list[Row] = [{"id": n, "text": "" if n % 2 else f"text {n}"} for n in range(6)]
    sync(rows, "docs", dead_letter=file, **where)
    assert ids(file) == ["1", "3", "5"]
    sync(rows, "docs", dead_letter=file, source_name="other", **where)
    rows[1]["text"] = rows[5]["text"] = "mended"
    sync(rows, "docs", dead_letter=file, **where)
    assert [(letter["source"], letter["id"]) for letter in letters_in(file)] == [
        *[("default", "3"), ("other", "1"), ("other", "3"), ("other", "5")]
    ]
    rows[3]["text"] = "mended"
    sync(rows, "docs", dead_letter=file, **where)
    sync(rows, "docs", dead_letter=file, source_name="other", **where)
    assert not file.exists()


def test_copies_of_earlier_runs_are_cleared_up(where: Row, file: Path) -> None:
    bad: list[Row] = [{"id": 1, "text": None}, {"id": 2, "text": None}]
    sync(bad, "docs", dead_letter=file, **where)
    file.write_text(file.read_text() * 3)
    sync([bad[0], {"id": 2, "text": ""}], "docs", dead_letter=file, **where)
    assert ids(file) == ["1", "2"]


def test_also_where_another_record_of_its_id_is_stored(where: Row, file: Path) -> None:
    for night in range(3):
        rows: list[Row] = [{"id": "a", "text": f"night {night}"}, {"id": "a", "text": None}]
        sync(rows, "docs", dead_letter=file, **where)
        assert ids(file) == ["a"]


def test_collections_that_share_a_file_keep_their_letters(where: Row, file: Path) -> None:
    sync([{"id": 1, "text": None}], "docs", dead_letter=file, **where)
    sync([{"id": 1, "text": "fine"}, {"id": 2, "text": None}], "faq", dead_letter=file, **where)
    assert [(letter["collection"], letter["id"]) for letter in letters_in(file)] == [
        ("docs", "1"),
        ("faq", "2"),
    ]
    edit(file, 0, record={"id": 1, "text": "mended"})
    edit(file, 1, record={"id": 2, "text": "mended"})
    report = replay(file, "faq", **where)
    assert (report.entries, report.stored, report.left) == (2, 1, 1)
    assert "rejected by the collection 'docs', and this is 'faq'" in report.rejections[0].reason
    assert ids(file) == ["1"]
    assert replay(file, "docs", **where).stored == 1
    assert texts(where) == {"1": "mended"}


# --- duplicates ---------------------------------------------------------------------------------


def test_a_duplicate_never_replaces_the_right_document(where: Row, file: Path) -> None:
    rows = [
        {"id": "a", "text": "right"},
        *[{"id": "a", "text": "wrong"}] * 5,
        {"id": "b", "text": "b"},
    ]
    for _ in range(2):
        sync(rows, "docs", dead_letter=file, **where)
    assert len(letters_in(file)) == 1
    report = replay(file, "docs", **where)
    assert (report.stored, report.outdated, report.left) == (0, 1, 0)
    assert texts(where) == {"a": "right", "b": "b"}


def test_a_duplicate_waits_for_the_first_record_of_its_id(where: Row, file: Path) -> None:
    rows: list[Row] = [{"id": "a", "text": None}, {"id": "a", "text": "the duplicate"}]
    sync(rows, "docs", dead_letter=file, **where)
    report = replay(file, "docs", **where)
    assert (report.stored, report.outdated, report.left) == (0, 0, 2)
    edit(file, 0, record={"id": "a", "text": "the first"})
    report = replay(file, "docs", **where)
    assert (report.stored, report.outdated, report.left) == (1, 1, 0)
    assert texts(where) == {"a": "the first"}


def test_a_duplicate_that_gets_an_id_of_its_own_is_stored(where: Row, file: Path) -> None:
    sync(
        [{"id": "a", "text": "first"}, {"id": "a", "text": "b"}], "docs", dead_letter=file, **where
    )
    edit(file, 0, record={"id": "b", "text": "b"})
    assert replay(file, "docs", **where).stored == 1
    assert texts(where) == {"a": "first", "b": "b"}


def test_a_letter_does_not_replace_a_document_that_it_was_not_about(where: Row, file: Path) -> None:
    sync([{"id": "a", "text": "newer"}, "{torn"], "docs", dead_letter=file, **where)
    edit(file, 0, raw='{"id": "a", "text": "older"}')
    report = replay(file, "docs", **where)
    assert (report.stored, report.left) == (0, 1)
    assert "has a document 'a' already" in report.rejections[0].reason
    assert texts(where) == {"a": "newer"}


# --- several writers --------------------------------------------------------------------------


def test_letters_that_others_write_during_a_replay_stay(where: Row, file: Path) -> None:
    sync([{"id": 1, "text": None}, {"id": 2, "text": None}], "docs", dead_letter=file, **where)
    edit(file, 0, record={"id": 1, "text": "mended"})
    done: list[bool] = []

    def meanwhile(_: Progress) -> None:
        if not done:
            done.append(True)
            bad = [{"id": 3, "text": None}]
            sync(bad, "docs", dead_letter=file, source_name="other", **where)

    replay(file, "docs", progress=meanwhile, **where)
    assert ids(file) == ["2", "3"]


def test_lines_are_neither_lost_nor_torn_by_many_writers(file: Path) -> None:
    def append(writer: int) -> None:
        for number in range(50):
            LetterFile(file).append(f"{writer} {number} ".encode() + b"x" * 5_000)

    def rewrite() -> None:
        for _ in range(50):
            LetterFile(file).rewrite(lambda lines: [line for line in lines if line])

    threads = [threading.Thread(target=append, args=(writer,)) for writer in range(4)]
    threads.append(threading.Thread(target=rewrite))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = file.read_bytes().splitlines()
    assert sorted(line.rstrip(b"x") for line in lines) == sorted(
        f"{writer} {number} ".encode() for writer in range(4) for number in range(50)
    )
    assert all(line.endswith(b"x" * 5_000) for line in lines)
    assert [path.name for path in file.parent.iterdir() if "letters" in path.name] == [file.name]


# --- the file itself ----------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files are different there")
def test_only_its_owner_can_read_it(where: Row, file: Path) -> None:
    sync([{"id": 1, "text": None}, {"id": 2, "text": None}], "docs", dead_letter=file, **where)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    edit(file, 0, record={"id": 1, "text": "mended"})
    assert replay(file, "docs", **where).left == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)  # a group of the user's may
    sync([{"id": 2, "text": ""}, {"id": 3, "text": ""}], "docs", dead_letter=file, **where)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_link_stays_one(where: Row, file: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "letters.jsonl"
    target.parent.mkdir()
    file.symlink_to(target)
    sync([{"id": 1, "text": None}, {"id": 2, "text": None}], "docs", dead_letter=file, **where)
    edit(file, 0, record={"id": 1, "text": "mended"})
    assert replay(file, "docs", **where).left == 1
    assert file.is_symlink()
    assert ids(target) == ["2"]


def test_a_torn_line_costs_one_line(where: Row, file: Path) -> None:
    sync([{"id": 1, "text": None}, {"id": 2, "text": None}], "docs", dead_letter=file, **where)
    torn = file.read_bytes()[:-40]
    file.write_bytes(torn)
    sync([{"id": 1, "text": None}, {"id": 3, "text": None}], "docs", dead_letter=file, **where)
    lines = file.read_bytes().splitlines()
    assert len(lines) == 3
    edit_line = json.loads(lines[0])
    edit_line["record"]["text"] = "mended"
    file.write_bytes(b"\n".join([json.dumps(edit_line).encode(), *lines[1:]]) + b"\n")
    report = replay(file, "docs", **where)
    assert (report.entries, report.stored, report.left) == (3, 1, 2)
    assert "not JSON" in report.rejections[0].reason
    assert file.read_bytes().splitlines()[0] == lines[1]  # byte by byte


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_file_that_an_editor_has_saved(where: Row, file: Path, end: bytes) -> None:
    """With a byte order mark, and white space that is no line end."""
    sync([{"id": 1, "text": None}, {"id": 2, "text": None}], "docs", dead_letter=file, **where)
    edit(file, 0, record={"id": 1, "text": "mended"})
    lines = [line.replace(b'", "', b'",\r "') for line in file.read_bytes().splitlines()]
    file.write_bytes(b"\xef\xbb\xbf" + end.join(lines) + end)
    assert replay(file, "docs", **where).stored == 1
    assert ids(file) == ["2"]


def test_a_file_of_another_encoding_is_refused(where: Row, file: Path) -> None:
    sync([{"id": 1, "text": None}, {"id": 2, "text": None}], "docs", dead_letter=file, **where)
    content = file.read_text().encode("utf-16")
    file.write_bytes(content)
    with pytest.raises(SourceError, match=r"line 1 .* is not a dead letter"):
        replay(file, "docs", **where)
    assert file.read_bytes() == content


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit there")
def test_a_disk_without_room(where: Row, file: Path) -> None:
    """What is there stays whole, and the error says which file it was."""
    sync([{"id": 1, "text": None}], "docs", dead_letter=file, **where)
    before = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    letters = LetterFile(file)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
    try:
        with pytest.raises(SourceError, match="letters.jsonl cannot be written"):
            letters.append(b"x" * 10_000)
        with pytest.raises(SourceError, match="letters.jsonl cannot be written"):
            letters.rewrite(lambda lines: [*lines, b"x" * 10_000])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir() if "letters" in path.name] == [file.name]


def test_the_first_error_is_the_one_that_is_told(
    where: Row, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync([{"id": 1, "text": None}], "docs", dead_letter=file, **where)

    def failing() -> Any:
        yield {"id": 1, "text": "mended"}
        for number in range(2_000):
            yield {"id": f"d{number}", "text": "text"}
        file.unlink()
        file.mkdir()  # so that letters cannot be written any more
        raise RuntimeError("the first error")

    with pytest.raises(RuntimeError, match="the first error"):
        sync(failing(), "docs", dead_letter=file, **where)


def test_a_place_that_cannot_be_written_is_told_first(where: Row, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked").chmod(0o500)
    (tmp_path / "a file").write_text("")
    for path in (tmp_path, tmp_path / "a file" / "letters", tmp_path / "locked" / "letters"):
        run = partial(sync, [{"id": 1, "text": "x"}], "docs", dead_letter=path, **where)
        with pytest.raises(SourceError, match="cannot be written"):
            without_root(run)
    assert where["store"].collections() == []


def test_a_bad_record_whose_letter_cannot_be_written_costs_itself_alone(
    where: Row, file: Path
) -> None:
    def rows() -> Any:
        file.mkdir()  # what was writable at first, and is not when the letter comes
        yield {"id": 0, "text": None}
        yield from ({"id": number, "text": f"text {number}"} for number in range(1, 60))

    with pytest.raises(SyncIncompleteError, match="letters.jsonl cannot be written") as error:
        sync(rows(), "docs", dead_letter=file, **where)
    report = error.value.report
    assert (report.added, report.rejected, report.unwritten) == (59, 1, 1)
    assert len(texts(where)) == 59
    file.rmdir()
    assert sync([{"id": 0, "text": None}], "docs", dead_letter=file, **where).unwritten == 0
    assert ids(file) == ["0"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_device_without_end_is_not_read(where: Row) -> None:
    with pytest.raises(SyncIncompleteError, match="cannot be written"):
        sync([{"id": 1, "text": None}], "docs", dead_letter="/dev/full", **where)
    assert sync([{"id": 1, "text": None}], "docs", dead_letter="/dev/null", **where).rejected == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are none")
def test_a_pipe_that_would_lose_letters_is_refused(where: Row, file: Path) -> None:
    os.mkfifo(file)
    with pytest.raises(SourceError, match="is a pipe or a socket"):
        sync([{"id": 1, "text": None}], "docs", dead_letter=file, **where)
    with pytest.raises(SourceError, match="is a pipe or a socket"):
        replay(file, "docs", **where)


def test_what_a_replay_stored_is_told_where_the_file_cannot_be_rewritten(
    where: Row, tmp_path: Path
) -> None:
    file = tmp_path / "locked" / "letters.jsonl"
    sync([{"id": 1, "text": None}, {"id": 2, "text": None}], "docs", dead_letter=file, **where)
    edit(file, 0, record={"id": 1, "text": "mended"})
    before = file.read_bytes()
    file.parent.chmod(0o500)
    try:
        with pytest.raises(SourceError, match="cannot be written") as error:
            without_root(partial(replay, file, "docs", **where))
    finally:
        file.parent.chmod(0o700)
    assert (error.value.report.stored, error.value.report.left) == (1, 1)
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_file_that_cannot_be_is_a_typed_error(where: Row, tmp_path: Path, name: str) -> None:
    for run in (
        partial(replay, tmp_path / name, "docs", **where),
        partial(sync, [{"id": 1, "text": None}], "docs", dead_letter=tmp_path / name, **where),
    ):
        with pytest.raises(SourceError):
            run()


# --- letters that were edited -------------------------------------------------------------------

VALUES: list[Any] = [
    *[None, True, -1, 10**30, 1.5, "x", "", "\ud800", [], [1], {}],
    *[{"no": 1}, {"text": {}}, {"text": None}],
]


FIELDS = [
    *["source", "id", "reason", "known", "duplicate", "fields", "chunk_size", "chunk_overlap"],
    *["record", "document", "raw", "raw_base64", "time", "line", "of the user's own"],
]


@pytest.mark.parametrize("field", FIELDS)
def test_any_value_in_any_field(where: Row, file: Path, field: str) -> None:
    """Either the error names line and field, or the letter is left; nothing is lost."""
    sync([{"id": 1, "text": None}, {"id": 2, "text": None}], "docs", dead_letter=file, **where)
    original = file.read_text()
    for value in [*VALUES, ...]:
        file.write_text(original)
        letters = letters_in(file)
        if value is ...:
            letters[1].pop(field, None)
        else:
            letters[1][field] = value
            if field in ("document", "raw", "raw_base64"):
                del letters[1]["record"]
        file.write_text("".join(json.dumps(letter) + "\n" for letter in letters))
        edited = file.read_bytes()
        error = outcome_of(file, where)
        if error is None:
            assert len(letters_in(file)) == 2
            continue
        assert file.read_bytes() == edited
        assert field in str(error)
        assert getattr(error, "line", None) == 2
        assert "line 2" in str(error)


def outcome_of(file: Path, where: Row) -> MultiQAError | None:
    try:
        replay(file, "docs", **where)
    except MultiQAError as error:
        return error
    return None


@pytest.mark.parametrize("depth", [100, 480, 600, *range(970, 1_000, 3)])
def test_a_record_of_any_depth(where: Row, file: Path, depth: int) -> None:
    sync([{"id": 1, "text": None}], "docs", dead_letter=file, **where)
    deep = '{"id": "1", "text": "mended", "v": ' + "[" * depth + "]" * depth + "}"
    (letter,) = letters_in(file)
    file.write_text(json.dumps({**letter, "record": "…"}).replace(json.dumps("…"), deep) + "\n")
    before = file.read_bytes()
    sync([{"id": 2, "text": "two"}], "docs", dead_letter=file, **where)
    assert file.read_bytes() == before
    assert outcome_of(file, where) is not None or letters_in(file)
