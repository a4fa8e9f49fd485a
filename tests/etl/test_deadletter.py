"""Dead letters hold whatever was rejected, and give it back."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from qdrant_client import QdrantClient

from multiqa_integrations.errors import ConfigurationError, SourceError
from multiqa_integrations.etl import replay, sync
from multiqa_integrations.etl.letter_file import LetterFile
from multiqa_integrations.etl.letters import read_letters
from multiqa_integrations.etl.records import BadRecord, Record, SourceItem
from multiqa_integrations.testing import FakeEncoder
from multiqa_integrations.types import Document


@pytest.fixture
def where() -> dict[str, Any]:
    return {"client": QdrantClient(":memory:"), "encoder": FakeEncoder()}


def letters(source: object, file: Path, where: dict[str, Any]) -> list[SourceItem]:
    sync(source, "manual", dead_letter=file, **where)
    found, torn = read_letters(LetterFile(file))
    assert not torn
    return [letter.item() for letter in found]


def test_records_come_back_as_they_were(tmp_path: Path, where: dict[str, Any]) -> None:
    document = Document("", "b", MappingProxyType({"x": 1}))
    record = {"id": "a", "text": "", "m": ["naïve\ud800"]}
    found = letters([record, document], tmp_path / "letters.jsonl", where)
    repaired = {**record, "m": ["naïve\ufffd"]}  # as texts are
    assert found == [Record(1, repaired), Record(2, Document("", "b", {"x": 1}))]


def test_lines_come_back_byte_by_byte(tmp_path: Path, where: dict[str, Any]) -> None:
    source = tmp_path / "a.csv"
    source.write_bytes("id,text\n1,naïve,x\n2,\udcff,y\n".encode("utf-8", "surrogateescape"))
    found = letters(source, tmp_path / "letters.jsonl", where)
    assert [one.raw for one in found if isinstance(one, BadRecord)] == [
        "1,naïve,x".encode(),
        b"2,\xff,y",
    ]


def test_a_text_with_lone_surrogates_stays_in_the_file(
    tmp_path: Path, where: dict[str, Any]
) -> None:
    file = tmp_path / "letters.jsonl"
    letters(["no record \udcff"], file, where)
    report = replay(file, "manual", **where)
    assert (report.entries, report.left) == (1, 1)


def test_a_row_of_csv_keeps_its_reason_until_it_is_mended(
    tmp_path: Path, where: dict[str, Any]
) -> None:
    source, file = tmp_path / "rows.csv", tmp_path / "letters.jsonl"
    source.write_text("id,text\n1,The chain,is new\n", encoding="utf-8")
    letters(source, file, where)
    report = replay(file, "manual", **where)
    assert [one.reason for one in report.rejections] == ["it has 3 fields, the header has 2"]
    assert report.rejections[0].line == 1

    letter = json.loads(file.read_text(encoding="utf-8"))
    letter["raw"] = '{"id": "1", "text": "The chain, is new"}'
    file.write_text(json.dumps(letter), encoding="utf-8")
    assert replay(file, "manual", **where).stored == 1


def test_what_json_cannot_hold_is_shown_at_least(tmp_path: Path, where: dict[str, Any]) -> None:
    (found,) = letters([{"id": "a", "text": "x", "m": b"\x00"}], tmp_path / "letters.jsonl", where)
    assert isinstance(found, BadRecord)
    assert found.id == "a"
    assert "b'\\\\x00'" in (tmp_path / "letters.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("option", [{"shard": (0, 2)}, {"limit": 1}, {"source_name": "x"}])
def test_replay_takes_up_all_of_a_file(
    tmp_path: Path, where: dict[str, Any], option: dict[str, Any]
) -> None:
    file = tmp_path / "letters.jsonl"
    letters([{"id": "a", "text": ""}], file, where)
    before = file.read_bytes()
    with pytest.raises(ConfigurationError, match="replay does not go with"):
        replay(file, "manual", **option, **where)
    assert file.read_bytes() == before


@pytest.mark.parametrize("line", ["no json", "{}", "[]", '{"fields": {"nonsense": 1}}'])
def test_a_file_of_something_else(tmp_path: Path, where: dict[str, Any], line: str) -> None:
    file = tmp_path / "letters.jsonl"
    file.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(SourceError, match="line 1 of .* is not a dead letter"):
        replay(file, "manual", **where)
    assert file.exists()
