"""Reading a set, and saying where it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiqa_integrations.errors import SourceError
from multiqa_integrations.evaluation import read_dataset
from tests.support.retrieval_set import MakeSet


def test_a_set(make_set: MakeSet) -> None:
    dataset = read_dataset(make_set())
    assert dataset.name == "manual"
    assert dataset.document_ids == ["press", "oil", "belt", "lamp", "key"]
    assert list(dataset.queries) == list(dataset.qrels) == ["q1", "q2", "q3", "q4"]
    assert dataset.qrels["q1"] == {"press": 2, "oil": 1}
    assert dataset.unjudged == ("spare",)
    assert dataset.unknown_documents == ("gone",)
    assert dataset.remarks == [
        "Queries without judgements, not searched: 1 ('spare').",
        "Judged documents that are not in corpus.jsonl; relevant ones count as not found: "
        "1 ('gone').",
    ]


def test_title_and_text_are_joined_as_beir_joins_them(make_set: MakeSet) -> None:
    texts = list(read_dataset(make_set()).texts())
    assert texts[0] == "Presses The red button stops the press at once."
    assert texts[2] == "The belt is changed when it squeals."  # it has no title


def test_titles_may_be_missing_and_judgements_may_lie_beside(make_set: MakeSet) -> None:
    folder = make_set()
    (folder / "corpus.jsonl").write_text('{"_id": "press", "text": "one"}\n\n', encoding="utf-8")
    (folder / "qrels" / "test.tsv").rename(folder / "qrels.tsv")
    dataset = read_dataset(folder)
    assert list(dataset.texts()) == ["one"]
    assert len(dataset.unknown_documents) == 5


def test_another_split(make_set: MakeSet) -> None:
    folder = make_set()
    (folder / "qrels" / "dev.tsv").write_text("q2\tbelt\t1\nq9\tkey\t1\n", encoding="utf-8")
    dataset = read_dataset(folder, split="dev")  # without a header
    assert dict(dataset.qrels) == {"q2": {"belt": 1}}
    assert dataset.unknown_queries == ("q9",)
    assert set(dataset.unjudged) == {"q1", "q3", "q4", "spare"}


def test_queries_without_a_relevant_document(make_set: MakeSet) -> None:
    dataset = read_dataset(make_set(qrels=[("q1", "press", 0), ("q2", "belt", 1)]))
    assert dataset.without_relevant == ("q1",)
    assert "they count as 0: 1 ('q1')" in dataset.remarks[-1]


@pytest.mark.parametrize(
    ("file", "content", "line", "message"),
    [
        ("corpus.jsonl", "", None, "it is empty"),
        ("corpus.jsonl", '{"_id": "a", "text": "b"}\n{"_id"\n', 2, "not JSON"),
        ("corpus.jsonl", "[1]\n", 1, "a JSON list, expected an object"),
        ("corpus.jsonl", '{"_id": 7, "text": "b"}\n', 1, "'_id' is 7, expected a string"),
        ("corpus.jsonl", '{"_id": "a"}\n', 1, "'text' is None, expected a string"),
        ("corpus.jsonl", '{"_id": "a", "text": "b", "title": 1}\n', 1, "'title' is 1"),
        ("corpus.jsonl", '{"_id": "a", "text": "b"}\n' * 2, 2, "'a' occurs a second time"),
        ("corpus.jsonl", b'{"_id": "a", "text": "\xff"}\n', 1, "not UTF-8"),
        ("queries.jsonl", "\n", None, "it is empty"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n", None, "there is no judgement in it"),
        ("qrels/test.tsv", "q1\tpress\t1\nq1 press 1\n", 2, "1 fields, expected query-id"),
        ("qrels/test.tsv", "q1\tpress\t1\nq1\toil\thigh\n", 2, "the score is 'high'"),
        ("qrels/test.tsv", "q1\tpress\t1\nq1\tpress\t0\n", 2, "were judged otherwise before"),
        ("qrels/test.tsv", "other\tpress\t1\n", None, "none of the 1 judged queries"),
    ],
)
def test_damage_is_located(
    make_set: MakeSet, file: str, content: str | bytes, line: int | None, message: str
) -> None:
    folder = make_set()
    (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SourceError, match=message) as caught:
        read_dataset(folder)
    assert caught.value.line == line
    assert (f"line {line}" in str(caught.value)) is (line is not None)


@pytest.mark.parametrize("file", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_file_is_missing(make_set: MakeSet, file: str) -> None:
    folder = make_set()
    (folder / file).unlink()
    with pytest.raises(SourceError, match=r"cannot be read \(No such file|has neither"):
        read_dataset(folder)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a directory"):
        read_dataset(tmp_path / "nothing")
