"""What is held out: by what hangs together, and as a set that can be evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiqa_integrations.errors import SourceError
from multiqa_integrations.training.heldout import (
    shared_texts,
    split,
    units_of,
    write_retrieval_set,
)
from multiqa_integrations.training.pairs import Pair, text_key
from tests.support.pairs import rows
from tests.support.retrieval_set import MakeSet


def some(count: int) -> list[Pair]:
    return [Pair(row["query"], row["positive"]) for row in rows(count)]


texts = st.integers(0, 40).map(str)
some_pairs = st.lists(
    st.builds(
        Pair,
        query=texts.map(lambda text: f"q{text}"),
        positive=texts,
        group=st.none() | st.integers(0, 9).map(str),
        set=st.just(0),
        line=st.just(0),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40)
@given(some_pairs)
def test_what_shares_a_text_or_a_group_hangs_together(pairs: list[Pair]) -> None:
    units = units_of(pairs)
    for one, unit in zip(pairs, units, strict=True):
        for other, its in zip(pairs, units, strict=True):
            if (
                one.query == other.query
                or one.positive == other.positive
                or (one.group is not None and one.group == other.group)
            ):
                assert unit == its


@settings(max_examples=15)
@given(st.integers(0, 1_000))
def test_a_tenth_is_held_out_and_has_nothing_of_the_rest(seed: int) -> None:
    pairs = [
        Pair(f"how {number}", f"so {number // 3}", (), str(number // 9) if number % 2 else None)
        for number in range(600)
    ]
    made = split(pairs, seed)
    assert sorted(made.trained + made.held_out) == sorted(pairs)
    assert 0.08 * 600 <= len(made.held_out) <= 0.15 * 600
    for name in ("query", "positive", "group"):
        trained = {getattr(pair, name) for pair in made.trained} - {None}
        assert not trained & {getattr(pair, name) for pair in made.held_out}
    first, other = made.halves(seed)
    assert sorted(first + other) == sorted(made.held_out)
    assert not {pair.positive for pair in first} & {pair.positive for pair in other}
    assert 0.25 * len(made.held_out) <= len(first) <= 0.75 * len(made.held_out)


def test_the_split_is_known_by_the_seed() -> None:
    pairs = some(300)
    assert split(pairs, 1) == split(pairs, 1)
    assert split(pairs, 1).held_out != split(pairs, 2).held_out


def test_one_part_that_is_nearly_everything() -> None:
    pairs = [Pair(f"q{number}", f"p{number}", (), "one") for number in range(295)]
    with pytest.raises(SourceError, match="295 of them hang together by the same texts or groups"):
        split([*pairs, *some(5)], 0)


def test_the_retrieval_set(tmp_path: Path) -> None:
    asked = [
        Pair("Where is it?", "Here."),
        Pair("where is it?", "Right here."),
        Pair("I want my card.", "The card is late.", (), "card"),
        Pair("The card is late.", "No card yet!", (), "card"),
    ]
    others = [Pair("What?", "That."), Pair("When?", "Here.")]
    dataset = write_retrieval_set(tmp_path / "set", asked, others, 0)
    texts = dict(zip(dataset.document_ids, dataset.texts(), strict=True))
    right = {
        dataset.queries[query]: sorted(texts[id] for id in grades)
        for query, grades in dataset.qrels.items()
    }
    assert right == {
        "Where is it?": ["Here.", "Right here."],
        "I want my card.": ["No card yet!", "The card is late."],
        # The message is a document too, under the same id, and not right for itself.
        "The card is late.": ["No card yet!"],
    }
    asked_again = next(id for id, text in dataset.queries.items() if text == "The card is late.")
    assert texts[asked_again] == "The card is late."
    assert sorted(texts.values()) == [
        *["Here.", "No card yet!", "Right here.", "That.", "The card is late."]
    ]


def test_pairs_that_a_set_has_too(make_set: MakeSet) -> None:
    from multiqa_integrations.evaluation import read_dataset

    dataset = read_dataset(make_set())
    query = next(iter(dataset.queries.values()))
    document = next(iter(dataset.texts()))
    pairs = [Pair(query.upper(), "x"), Pair("y", document), *some(10)]
    assert shared_texts(pairs, dataset) == 2
    assert text_key(query.upper()) == text_key(query)
