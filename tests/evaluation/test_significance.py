"""The test and the interval of a difference."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from multiqa_integrations.evaluation import compare


def test_the_p_value_of_few_queries_is_exact() -> None:
    """Of 8 queries all 256 choices of signs are looked at; here, they are counted by hand."""
    differences = np.array([0.3, 0.1, -0.2, 0.25, 0.4, -0.05, 0.15, 0.35])
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product([-1, 1], repeat=8)]
    expected = np.mean([total >= abs(differences.sum()) - 1e-12 for total in sums])
    compared = compare(np.full(8, 0.5), 0.5 + differences)
    assert compared.p_value == pytest.approx(expected)
    assert compared.mean == pytest.approx(differences.mean())
    assert (compared.better, compared.worse) == (6, 2)


def test_the_interval_is_near_the_normal_one() -> None:
    generator = np.random.default_rng(3)
    base = generator.random(500)
    differences = generator.normal(0.02, 0.1, 500)
    compared = compare(base, base + differences)
    half = 1.96 * differences.std(ddof=1) / np.sqrt(500)
    assert compared.low == pytest.approx(differences.mean() - half, abs=0.001)
    assert compared.high == pytest.approx(differences.mean() + half, abs=0.001)
    assert compared.p_value is not None
    assert compared.p_value < 0.01


def test_the_seed_decides() -> None:
    generator = np.random.default_rng(3)
    base, other = generator.random(50), generator.random(50)

    def figures(seed: int) -> tuple[float | None, ...]:
        compared = compare(base, other, seed=seed)
        return compared.low, compared.high, compared.p_value

    assert figures(1) == figures(1) != figures(2)


def test_no_difference_at_all() -> None:
    compared = compare(np.ones(5), np.ones(5))
    assert (compared.mean, compared.low, compared.high, compared.p_value) == (0, 0, 0, 1)


def test_a_single_query_shows_nothing() -> None:
    compared = compare(np.zeros(1), np.ones(1))
    assert (compared.mean, compared.low, compared.high, compared.p_value) == (1, None, None, None)
