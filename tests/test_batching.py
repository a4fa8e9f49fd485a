from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from multiqa_integrations.batching import padded_length, plan_batches

lengths_lists = st.lists(st.integers(2, 512), max_size=200)
budgets = st.integers(1, 5000)
caps = st.integers(1, 100)


@given(lengths_lists, budgets, caps)
def test_batches_are_a_permutation_within_the_limits(
    lengths: list[int], batch_tokens: int, max_texts: int
) -> None:
    array = np.array(lengths, np.int64)
    batches = plan_batches(array, batch_tokens=batch_tokens, max_texts=max_texts)
    rows = [row for batch in batches for row in batch.tolist()]
    assert sorted(rows) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= max_texts
        padded = len(batch) * padded_length(int(array[batch].max()), 512)
        assert padded <= batch_tokens or len(batch) == 1


@given(lengths_lists, budgets, caps)
def test_longest_first_and_stable(lengths: list[int], batch_tokens: int, max_texts: int) -> None:
    batches = plan_batches(
        np.array(lengths, np.int64), batch_tokens=batch_tokens, max_texts=max_texts
    )
    order = [row for batch in batches for row in batch.tolist()]
    assert order == sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))


@given(lengths_lists, budgets, caps)
def test_batches_are_full(lengths: list[int], batch_tokens: int, max_texts: int) -> None:
    array = np.array(lengths, np.int64)
    batches = plan_batches(array, batch_tokens=batch_tokens, max_texts=max_texts)
    for batch in batches[:-1]:  # one text more would not have fitted
        one_more = (len(batch) + 1) * padded_length(int(array[batch].max()), 512)
        assert len(batch) == max_texts or one_more > batch_tokens


def test_no_texts_make_no_batches() -> None:
    assert plan_batches(np.empty(0, np.int64), batch_tokens=10, max_texts=10) == []


@given(st.integers(1, 5000), st.integers(3, 512))
def test_padding_is_small_and_within_the_limit(longest: int, limit: int) -> None:
    padded = padded_length(longest, limit)
    assert longest <= padded <= max(limit, longest)
    assert padded - longest <= longest / 16


def test_batches_come_in_few_shapes() -> None:
    assert len({padded_length(longest, 512) for longest in range(1, 513)}) <= 100
