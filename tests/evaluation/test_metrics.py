"""The measures: a hand-worked example, and another library on random runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from multiqa_integrations.evaluation import METRICS, Hits, read_dataset, score
from tests.support.retrieval_set import MakeSet

NAMES = {f"d{number:03}": ("", "text") for number in range(150)}


def hits_of(rows: list[list[int]], scores: list[list[float]]) -> Hits:
    found = Hits.none(len(rows), max(map(len, rows)))
    for number, (row, values) in enumerate(zip(rows, scores, strict=True)):
        found.rows[number, : len(row)] = row
        found.scores[number, : len(row)] = values
    return found


def test_by_hand(make_set: MakeSet) -> None:
    """Grades 3 and 1 are found at ranks 2 and 4, grade 2 is not found; the other finds nothing."""
    folder = make_set(
        documents=NAMES,
        queries={"some": "a", "none": "b"},
        qrels=[("some", "d001", 3), ("some", "d003", 1), ("some", "d140", 2), ("none", "d000", 1)],
    )
    hits = hits_of([[0, 1, 2, 3], []], [[0.9, 0.8, 0.7, 0.6], []])
    scores = score(read_dataset(folder), hits)
    ideal = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)
    expected = {
        "nDCG@10": (3 / math.log2(3) + 1 / math.log2(5)) / ideal,
        "MRR@10": 1 / 2,
        "recall@100": 2 / 3,
        "MAP": (1 / 2 + 2 / 4) / 3,
    }
    assert list(scores) == list(METRICS)
    for name, value in expected.items():
        assert scores[name].tolist() == pytest.approx([value, 0], abs=1e-9)


@pytest.mark.parametrize(("rank", "value"), [(1, 1), (10, 0.1), (11, 0), (100, 0)])
def test_reciprocal_rank_ends_at_ten(make_set: MakeSet, rank: int, value: float) -> None:
    dataset = read_dataset(
        make_set(documents=NAMES, queries={"q": "a"}, qrels=[("q", f"d{rank - 1:03}", 1)])
    )
    hits = hits_of([list(range(100))], [np.linspace(1, 0, 100).tolist()])
    assert score(dataset, hits)["MRR@10"].tolist() == pytest.approx([value])


def test_recall_ends_at_a_hundred(make_set: MakeSet) -> None:
    judged = [("q", "d099", 1), ("q", "d100", 1)]
    dataset = read_dataset(make_set(documents=NAMES, queries={"q": "a"}, qrels=judged))
    hits = hits_of([list(range(150))], [np.linspace(1, 0, 150).tolist()])
    assert score(dataset, hits)["recall@100"].tolist() == [0.5]


def test_equal_scores_are_ordered_as_trec_eval_does(make_set: MakeSet) -> None:
    dataset = read_dataset(make_set(documents=NAMES, queries={"q": "a"}, qrels=[("q", "d001", 1)]))
    for rows in ([0, 1, 2], [1, 0, 2], [2, 1, 0]):
        assert score(dataset, hits_of([rows], [[0.5] * 3]))["MRR@10"].tolist() == [0.5]


def test_judgements_of_unknown_documents_count_as_not_found(make_set: MakeSet) -> None:
    judged = [("q", "d001", 1), ("q", "gone", 1)]
    dataset = read_dataset(make_set(documents=NAMES, queries={"q": "a"}, qrels=judged))
    assert score(dataset, hits_of([[1]], [[0.5]]))["recall@100"].tolist() == [0.5]


def test_scikit_learn_agrees(make_set: MakeSet) -> None:
    """On 600 random queries with graded judgements, every document ranked, no two scores equal."""
    generator = np.random.default_rng(7)
    grades = generator.choice(4, size=(600, len(NAMES)), p=[0.9, 0.05, 0.03, 0.02])
    grades[:, 0] = 1  # each has a relevant one
    rows = [generator.permutation(len(NAMES)).tolist() for _ in grades]
    scores = [np.sort(generator.random(len(NAMES)))[::-1].tolist() for _ in grades]
    ids = list(NAMES)
    dataset = read_dataset(
        make_set(
            documents=NAMES,
            queries={f"q{number}": "a" for number in range(len(grades))},
            qrels=[
                (f"q{number}", ids[row], int(grade))
                for number, values in enumerate(grades)
                for row, grade in enumerate(values)
            ],
        )
    )
    found = score(dataset, hits_of(rows, scores))
    by_row = np.zeros(grades.shape)
    for number, (row, values) in enumerate(zip(rows, scores, strict=True)):
        by_row[number, row] = values
    theirs = [ndcg_score([g], [s], k=10) for g, s in zip(grades, by_row, strict=True)]
    np.testing.assert_allclose(found["nDCG@10"], theirs, atol=1e-6)
    theirs = [average_precision_score(g > 0, s) for g, s in zip(grades, by_row, strict=True)]
    np.testing.assert_allclose(found["MAP"], theirs, atol=1e-6)
    ranked = np.take_along_axis(grades, np.array(rows), axis=1) > 0
    first = ranked.argmax(axis=1) + 1
    np.testing.assert_allclose(found["MRR@10"], np.where(first <= 10, 1 / first, 0), atol=1e-6)
    recall = ranked[:, :100].sum(axis=1) / ranked.sum(axis=1)
    np.testing.assert_allclose(found["recall@100"], recall, atol=1e-6)
