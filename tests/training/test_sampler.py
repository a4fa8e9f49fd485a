"""What stands in one batch, and how often a data set is drawn."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations, islice
from typing import Any

import pytest

pytest.importorskip("sentence_transformers")

from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import ConcatDataset

from multiqa_integrations.training.pairs import Pair, text_key
from multiqa_integrations.training.sampler import (
    GroupedBatchSampler,
    WeightedBatchSampler,
    conflicts,
)
from multiqa_integrations.training.trainer import parts_of


def sampler(pairs: list[Pair], batch_size: int = 16, seed: int = 0) -> GroupedBatchSampler:
    return GroupedBatchSampler(
        pairs, conflicts=conflicts(pairs), batch_size=batch_size, drop_last=False, seed=seed
    )


def intents(groups: int, each: int) -> list[Pair]:
    """Return pairs of intents, the messages of which answer each other."""
    rng = random.Random(0)
    made = []
    for group in range(groups):
        texts = [f"message {number} of intent {group}" for number in range(each)]
        made += [
            Pair(text, rng.choice([other for other in texts if other != text]), (), str(group))
            for text in texts
        ]
    return made


def collisions(batch: list[Pair], every: list[Pair]) -> list[tuple[Pair, Pair]]:
    """Return the examples of a batch of which a text is right for another's query.

    Written anew, and slowly, so that it does not repeat a mistake of the sampler.
    """
    right = {(text_key(pair.query), text_key(pair.positive)) for pair in every}
    groups = {(text_key(pair.positive), pair.group) for pair in every if pair.group}
    found = []
    for one, other in combinations(batch, 2):
        texts = [text_key(text) for text in (one.query, one.positive, *one.negatives)]
        others = [text_key(text) for text in (other.query, other.positive, *other.negatives)]
        if (
            set(texts) & set(others)
            or (one.group and one.group == other.group)
            or any((text_key(one.query), text) in right for text in others)
            or any((text_key(other.query), text) in right for text in texts)
            or any((text, one.group) in groups for text in others)
            or any((text, other.group) in groups for text in texts)
        ):
            found.append((one, other))
    return found


def test_no_two_examples_of_a_group_stand_in_one_batch() -> None:
    pairs = intents(20, 30)
    batches = list(sampler(pairs))
    assert sum(map(len, batches)) > 0.9 * len(pairs)
    assert sum(len(collisions([pairs[row] for row in batch], pairs)) for batch in batches) == 0
    # Drawn without a thought for groups, most batches have such examples.
    shuffled = random.Random(0).sample(pairs, len(pairs))
    assert sum(len(collisions(shuffled[i : i + 16], pairs)) > 0 for i in range(0, 600, 16)) > 30


texts = st.integers(0, 12).map(lambda number: f"text {number}")
some_pairs = st.builds(
    Pair,
    query=texts.map(lambda text: f"query {text}"),
    positive=texts,
    negatives=st.lists(texts, max_size=1).map(tuple),
    group=st.none() | st.integers(0, 5).map(str),
    set=st.just(0),
    line=st.just(0),
)


@settings(max_examples=40)
@given(st.lists(some_pairs, min_size=1, max_size=40), st.integers(2, 8), st.integers(0, 3))
def test_no_batch_ever_has_a_collision(pairs: list[Pair], batch_size: int, seed: int) -> None:
    drawn: Counter[int] = Counter()
    for batch in sampler(pairs, batch_size, seed):
        assert 0 < len(batch) <= batch_size
        assert collisions([pairs[row] for row in batch], pairs) == []
        drawn.update(batch)
    assert drawn
    assert max(drawn.values()) == 1


def test_a_group_that_is_most_of_the_set_does_not_stop_the_others() -> None:
    pairs = [*intents(1, 900), *intents(40, 25)[25:]]
    batches = list(sampler(pairs))
    drawn = {row for batch in batches for row in batch}
    assert len(drawn & set(range(900, len(pairs)))) > 0.95 * (len(pairs) - 900)
    assert all(len(batch) == 16 for batch in batches[:-1])


def test_every_pass_is_another_one_and_known_by_the_seed() -> None:
    pairs = intents(20, 30)
    one, again, other = sampler(pairs), sampler(pairs), sampler(pairs, seed=1)
    assert list(one) == list(again) != list(other)
    first = list(one)
    one.set_epoch(1)
    assert list(one) != first
    one.set_epoch(0)
    assert list(one) == first


def weighted(sizes: list[int], weights: list[float], steps: int) -> tuple[Any, list[list[Pair]]]:
    sets = [
        [Pair(f"q{number} {row}", f"p{number} {row}", (), None, number) for row in range(size)]
        for number, size in enumerate(sizes)
    ]
    made = WeightedBatchSampler(
        ConcatDataset(sets),  # type: ignore[arg-type]  # anything with a length
        [sampler(pairs) for pairs in sets],
        weights=weights,
        steps=steps,
        seed=0,
    )
    return made, sets


@pytest.mark.parametrize("weights", [[1, 1, 1], [3, 1, 0.5], [47, 1, 17], [0.01, 1, 1]])
def test_weights_are_drawn_as_asked(weights: list[float]) -> None:
    """Whatever the sizes are, and however often a small set begins anew."""
    made, sets = weighted([1_000, 70, 300], weights, 2_000)
    drawn: Counter[int] = Counter()
    ends = [len(sets[0]), len(sets[0]) + len(sets[1])]
    for batch in made:
        numbers = {sum(row >= end for end in ends) for row in batch}
        assert len(numbers) == 1
        drawn[numbers.pop()] += len(batch)
    for number, weight in enumerate(weights):
        asked = weight / sum(weights)
        assert drawn[number] / drawn.total() == pytest.approx(asked, rel=0.05)


def test_the_order_is_always_the_same_and_can_be_taken_up() -> None:
    made, _ = weighted([100, 40], [2, 1], 60)
    every = list(made)
    assert (len(every), len(made)) == (60, 60)
    assert list(made) == every  # from the beginning again
    assert list(islice(iter(made), 25, None)) == every[25:]


def test_pairs_and_triplets_are_parts_of_their_own() -> None:
    pairs = [
        Pair("a", "b"),
        Pair("c", "d", ("e", "f")),
        Pair("g", "h", (), None, 1),
        Pair("i", "j", ("k",), None, 1),
    ]
    parts = parts_of(pairs, [3.0, 2.0])
    assert [(part.name, len(part.rows), part.weight) for part in parts] == [
        ("0-pairs", 1, 1.0),
        ("0-triplets", 2, 2.0),
        ("1-pairs", 1, 1.0),
        ("1-triplets", 1, 1.0),
    ]
    assert [row.negatives for row in parts[1].rows] == [("e",), ("f",)]
