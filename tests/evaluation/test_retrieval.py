"""The exact search, block by block."""

from __future__ import annotations

import numpy as np
import pytest

from multiqa_integrations.evaluation import Hits, read_dataset, retrieval, search_exactly
from tests.support.retrieval_set import MakeSet


@pytest.mark.parametrize(("documents", "limit"), [(1, 5), (40, 5), (47, 47), (47, 1000)])
def test_blocks_make_no_difference(
    monkeypatch: pytest.MonkeyPatch, documents: int, limit: int
) -> None:
    monkeypatch.setattr(retrieval, "_QUERIES", 4)
    monkeypatch.setattr(retrieval, "_DOCUMENTS", 10)
    generator = np.random.default_rng(1)
    queries, stored = (
        generator.standard_normal((size, 384)).astype(np.float32) for size in (9, documents)
    )
    done: list[int] = []
    hits = search_exactly(queries, stored, limit, lambda _, now, total: done.append(now))
    scores = queries @ stored.T
    expected = np.argsort(-scores, axis=1)[:, :limit]
    assert hits.rows.tolist() == expected.tolist()
    np.testing.assert_allclose(hits.scores, np.take_along_axis(scores, expected, 1), atol=1e-4)
    assert done == [4, 8, 9]


def test_the_document_with_the_id_of_the_query_is_left_out(make_set: MakeSet) -> None:
    dataset = read_dataset(
        make_set(
            documents={name: ("", name) for name in "abc"},
            queries={"a": "a", "q": "q"},
            qrels=[("a", "b", 1), ("q", "c", 1)],
        )
    )
    hits = Hits(
        np.array([[1, 0, 2], [0, 1, -1]], np.int32),
        np.array([[0.9, 0.8, 0.7], [0.6, 0.5, -np.inf]], np.float32),
    )
    kept = hits.without_identical(dataset)
    assert kept.rows.tolist() == [[1, 2], [0, 1]]
    np.testing.assert_allclose(kept.scores, [[0.9, 0.7], [0.6, 0.5]], rtol=1e-6)
