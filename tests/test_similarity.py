from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.similarity import similarity
from multiqa_integrations.types import SimilarityScore, Vectors
from tests.support.installed import needs_torch


def unit_vectors(seed: int, n: int) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(n, 384))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5))
def test_scores_of_unit_vectors_agree(seed: int, n: int, m: int) -> None:
    a, b = unit_vectors(seed, n), unit_vectors(seed + 1, m)
    dot = similarity(a, b)
    assert dot.shape == (n, m)
    assert dot.dtype == np.float32
    np.testing.assert_allclose(dot, a @ b.T, atol=1e-6)
    np.testing.assert_allclose(similarity(a, b, "cosine"), dot, atol=1e-6)
    distances = np.linalg.norm(a[:, None].astype(np.float64) - b[None], axis=2)
    np.testing.assert_allclose(similarity(a, b, "euclidean"), -distances, atol=1e-6)
    np.testing.assert_allclose(distances**2, 2 - 2 * dot, atol=1e-5)


def test_the_distance_of_a_vector_to_itself_is_zero() -> None:
    a = unit_vectors(0, 50)
    np.testing.assert_allclose(np.diag(similarity(a, a, "euclidean")), 0, atol=1e-6)


def test_cosine_of_other_lengths() -> None:
    scores = similarity([[3.0, 0.0], [0.0, 0.0]], [[0.5, 0.0], [0.0, 2.0]], "cosine")
    np.testing.assert_allclose(scores, [[1, 0], [0, 0]])


def test_single_vectors_become_rows() -> None:
    assert similarity([1.0, 0.0], [0.0, 1.0]).shape == (1, 1)


def test_no_vectors_give_no_scores() -> None:
    assert similarity(np.empty((0, 384)), unit_vectors(0, 3)).shape == (0, 3)


@needs_torch
@pytest.mark.parametrize("score", ["dot", "cosine", "euclidean"])
def test_agrees_with_sentence_transformers(score: SimilarityScore) -> None:
    from sentence_transformers.util import cos_sim, dot_score, euclidean_sim

    theirs = {"dot": dot_score, "cosine": cos_sim, "euclidean": euclidean_sim}[score]
    a, b = unit_vectors(1, 4), unit_vectors(2, 5)
    np.testing.assert_allclose(similarity(a, b, score), theirs(a, b).numpy(), atol=1e-5)


def test_unknown_score() -> None:
    unknown: Any = "manhattan"
    with pytest.raises(ConfigurationError, match="'manhattan'.*'dot', 'cosine' or 'euclidean'"):
        similarity([[1.0]], [[1.0]], unknown)


def test_vectors_of_different_models() -> None:
    with pytest.raises(ConfigurationError, match="length 384, b of length 768"):
        similarity(np.ones((1, 384)), np.ones((1, 768)))


def test_too_many_dimensions() -> None:
    with pytest.raises(ConfigurationError, match=r"shape \(1, 1, 1\)"):
        similarity([[[1.0]]], [[1.0]])
