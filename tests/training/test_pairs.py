"""What is read as a pair, and what is rejected, with the reason."""

from __future__ import annotations

import csv
import json
import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from multiqa_integrations.errors import ConfigurationError, SourceError, TrainingError
from multiqa_integrations.training import PairFields, PairSet, read_data_config
from multiqa_integrations.training.pairs import pair_sets
from multiqa_integrations.training.read import PairData, read_pairs
from tests.support.pairs import rows, write_lines


def read(records: object, **settings: Any) -> PairData:
    return read_pairs(pair_sets(records), settings.pop("fields", PairFields()), **settings)


def reasons(data: PairData) -> list[str]:
    return [rejection.reason for _, rejection in data.rejections]


def rejected(*records: Mapping[str, Any]) -> list[str]:
    """Return why records are rejected that stand before enough good ones."""
    data = read([*records, *rows(200)])
    assert len(data.pairs) == 200 + len(records) - len(data.rejections)
    return reasons(data)


def test_the_same_pairs_from_every_source(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    records = rows(200)
    write_lines(tmp_path / "pairs.jsonl", records)
    with (tmp_path / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, records[0])
        writer.writeheader()
        writer.writerows(records)
    parquet.write_table(pyarrow.Table.from_pylist(records), tmp_path / "pairs.parquet")
    read_from = [
        [pair[:4] for pair in read(source).pairs]
        for source in (
            *(tmp_path / name for name in ("pairs.jsonl", "pairs.csv", "pairs.parquet")),
            iter(records),
            pyarrow.Table.from_pylist(records),
        )
    ]
    assert all(pairs == read_from[0] for pairs in read_from)
    assert read_from[0][0] == (records[0]["query"], records[0]["positive"], (), None)


def test_fields_have_names_of_one_s_own() -> None:
    records = [
        {"q": row["query"], "a": {"text": row["positive"], "wrong": ["x " + row["positive"]]}}
        for row in rows(200)
    ]
    fields = PairFields(query="q", positive="a.text", negatives="a.wrong")
    pair = read(records, fields=fields).pairs[7]
    assert (pair.query, pair.positive) == (records[7]["q"], rows(200)[7]["positive"])
    assert pair.negatives == ("x " + rows(200)[7]["positive"],)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"question": "a", "answer": "b"}, "it has no 'query' (the query), but 'question', 'an"),
        ({"query": "a", "positive": " \t"}, "its positive ('positive') is empty"),
        ({"query": "\u00a0", "positive": "b"}, "its query ('query') is empty"),
        ({"query": 7, "positive": "b"}, "its query ('query') is int 7, expected a string"),
        ({"query": "How Long?", "positive": "how  long?"}, "its positive is its query"),
        ({"query": "a", "positive": "b", "negative": "B"}, "its positive is a negative of the sa"),
        ({"query": "a", "positive": "b", "negative": "A"}, "a negative of it is its query"),
        ({"query": "a", "positive": "b", "negatives": "c"}, "its negatives ('negatives') are str"),
        ({"query": "a", "positive": "b", "negatives": ["c", 1]}, "a negative ('negatives') is in"),
        ({"query": "a", "positive": "b", "group": 1.5}, "its group ('group') is float 1.5"),
        ({"query": "a", "positive": "b" * 5_000_001}, "has 5,000,001 characters, the limit is 5"),
    ],
)
def test_a_bad_record_costs_itself(record: Mapping[str, Any], reason: str) -> None:
    (found,) = rejected(record)
    assert reason in found


def test_a_positive_that_is_a_negative_elsewhere() -> None:
    found = rejected(
        {"query": "Where is it?", "positive": "Behind the door."},
        {"query": "where is it?", "positive": "On it.", "negative": "Behind  the door."},
    )
    assert found == [
        "its positive is a negative of the same query in line 2",
        "a negative is a positive of the same query in line 1",
    ]


def test_a_query_of_two_groups() -> None:
    found = rejected(
        {"query": "Where is it?", "positive": "Here.", "group": "place"},
        {"query": "Where is it?", "positive": "Today.", "group": "time"},
    )
    assert found == ["its query has the group 'place' in this line and 'time' in line 2"] * 1 + [
        "its query has the group 'place' in line 1 and 'time' in this line"
    ]


def test_several_positives_of_one_query_are_no_contradiction() -> None:
    assert not rejected(
        {"query": "Where is it?", "positive": "Here.", "group": "place"},
        {"query": "Where is it?", "positive": "Right here.", "group": "place"},
        {"query": "When?", "positive": "Today."},
        {"query": "When?", "positive": "Now."},
    )


def test_a_negative_from_the_own_group() -> None:
    (found,) = rejected(
        {"query": "Where is it?", "positive": "Here.", "group": "place"},
        {"query": "Whither?", "positive": "There.", "group": "place", "negative": "here."},
    )
    assert found == "a negative is a positive of its group 'place'"


def test_lines_that_are_not_json_and_dead_letters(tmp_path: Path) -> None:
    file, letters = tmp_path / "pairs.jsonl", tmp_path / "letters.jsonl"
    write_lines(file, rows(200))
    with file.open("a", encoding="utf-8") as lines:
        lines.write('{"query": "half a li\n{"query": "Wie?", "positive": ""}\n[1]\n')
    written: list[dict[str, Any]] = []
    for _ in range(2):  # a second run writes no letter twice
        data = read(file, dead_letter=letters)
        assert data.sets[0].rejected == 3
        assert data.sets[0].records == 203
        written = [json.loads(line) for line in letters.read_text(encoding="utf-8").splitlines()]
        assert [letter["line"] for letter in written] == [201, 202, 203]
    assert written[1]["record"] == {"query": "Wie?", "positive": ""}
    assert written[1]["reason"] == "its positive ('positive') is empty"
    assert letters.stat().st_mode & 0o077 == 0


def test_what_occurs_twice_counts_once() -> None:
    records = rows(200)
    twice = [{**record, "query": record["query"].upper()} for record in records[:30]]
    data = read([*records, *twice])
    assert (len(data.pairs), data.sets[0].duplicates) == (200, 30)


def test_too_few() -> None:
    with pytest.raises(SourceError) as caught:
        read([{"question": "a"}, *rows(199)])
    assert str(caught.value) == (
        "pairs to learn from: 199, where at least 200 are needed; records rejected: 1, the first "
        "in line 1 of list: it has no 'query' (the query), but 'question'. Nothing was "
        "trained."
    )


def test_too_many_errors() -> None:
    bad = [{"query": "a"}] * 4
    with pytest.raises(SourceError, match="4 records were rejected, of which 3 are allowed"):
        read([*bad, *rows(200)], max_errors=3)


def test_a_stop_ends_the_reading() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(TrainingError, match="stopped while the pairs were read"):
        read(rows(200), stop=stop)


def test_the_digest_names_the_pairs() -> None:
    first, again, other = read(rows(200)), read(rows(200)), read(rows(201))
    assert first.sets[0].digest == again.sets[0].digest != other.sets[0].digest


def test_sets_of_one_name_are_told_apart(tmp_path: Path) -> None:
    data = read([PairSet(rows(200), name="faq"), PairSet(rows(20, "b"), 2, "faq")])
    assert [(counts.name, counts.pairs) for counts in data.sets] == [
        ("faq (1)", 200),
        ("faq (2)", 20),
    ]


def test_a_data_config(tmp_path: Path) -> None:
    """The form that the model's card shows."""
    file = tmp_path / "data_config.json"
    file.write_text(
        '[{"name": "a.jsonl.gz", "lines": 10009, "weight": 1}, {"name": "b.csv", "weight": 47}]',
        encoding="utf-8",
    )
    assert read_data_config(file) == [
        PairSet(tmp_path / "a.jsonl.gz", 1, "a.jsonl.gz"),
        PairSet(tmp_path / "b.csv", 47, "b.csv"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("{}", "is not a list of data sets"),
        ("[]", "is not a list of data sets"),
        ('["a.jsonl"]', "entry 1 is str 'a.jsonl', expected an object with a name"),
        ('[{"name": "a.jsonl", "weight": 0}]', "entry 1, 'a.jsonl': the weight of a set is 0"),
        ('[{"name": "a.jsonl", "weight": "3"}]', "the weight of a set is '3'"),
    ],
)
def test_a_data_config_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "data_config.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message):
        read_data_config(file)


@pytest.mark.parametrize("weight", [0, -1, math.nan, math.inf, True, "2"])
def test_weights_are_positive_numbers(weight: Any) -> None:
    with pytest.raises(ConfigurationError, match="the weight of a set is"):
        PairSet("a.jsonl", weight)


def test_no_set_at_all() -> None:
    with pytest.raises(ConfigurationError, match="no pairs were given"):
        pair_sets([])
