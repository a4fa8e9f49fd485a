"""How documents are cut, counted by a real tokenizer."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.etl.documents import SourceDocument
from multiqa_integrations.etl.passages import Passage, cut

WORDS = (
    "the machine stops naïve 東京 e-mail antidisestablishmentarianism 3.14 (see) No. [SEP] don't"
)


def document(text: str, title: str = "") -> SourceDocument:
    return SourceDocument("a", text, title, {}, 1, {})


def cut_one(
    encoder: MultiQAEncoder, text: str, title: str = "", max_tokens: int = 64, overlap: int = 0
) -> list[Passage]:
    (found,) = cut([document(text, title)], encoder, max_tokens=max_tokens, overlap=overlap)
    assert isinstance(found, list)
    return found


def check(passages: list[Passage], text: str, title: str) -> None:
    head = f"{title}\n" if title else ""
    for passage in passages:
        assert passage.text == head + text[passage.start : passage.end]
        assert text[passage.start : passage.end].strip() == text[passage.start : passage.end] != ""


def test_a_short_document_is_one_passage(encoder: MultiQAEncoder) -> None:
    assert cut_one(encoder, "  Oil it.\n") == [Passage("Oil it.", 2, 9)]
    assert cut_one(encoder, "Oil it.", "Care") == [Passage("Care\nOil it.", 0, 7)]


@pytest.mark.parametrize("overlap", [0, 8])
@pytest.mark.parametrize("title", ["", "Care", "How to care for the machine in winter, part two"])
def test_no_passage_is_over_the_limit(encoder: MultiQAEncoder, title: str, overlap: int) -> None:
    generator = random.Random(0)
    words = WORDS.split()
    text = " ".join(generator.choice(words) + generator.choice(["", "", ".", "\n\n"])
                    for _ in range(1_500))  # fmt: skip
    passages = cut_one(encoder, text, title, overlap=overlap)
    counts = encoder.count_tokens([passage.text for passage in passages])
    assert counts.max() <= 64
    assert counts.mean() > 40  # and none is wasted on small ones
    check(passages, text, title)
    covered = {index for one in passages for index in range(one.start, one.end)}
    assert all(text[index].isspace() for index in set(range(len(text))) - covered)


@settings(max_examples=60)
@given(
    text=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=400),
    title=st.text("abc é東-", max_size=40).map(str.strip),
    max_tokens=st.integers(64, 120),
)
def test_any_text_keeps_its_place_and_the_limit(
    encoder: MultiQAEncoder, text: str, title: str, max_tokens: int
) -> None:
    (passages,) = cut([document(text, title)], encoder, max_tokens=max_tokens, overlap=0)
    if isinstance(passages, str):
        assert "its title has" in passages
        return
    assert bool(passages) == bool(text.strip())
    check(passages, text, title)
    if passages:
        assert encoder.count_tokens([one.text for one in passages]).max() <= max_tokens


def test_a_very_long_title_is_refused_and_the_others_are_not(encoder: MultiQAEncoder) -> None:
    documents = [document("One."), document("Two.", "word " * 40), document("Three.", "Care")]
    first, second, third = cut(documents, encoder, max_tokens=64, overlap=0)
    assert second == (
        "its title has 40 word pieces, which leaves too little of the 64 of a passage"
    )
    assert first == [Passage("One.", 0, 4)]
    assert third == [Passage("Care\nThree.", 0, 6)]


def test_what_a_document_becomes_does_not_depend_on_the_others(encoder: MultiQAEncoder) -> None:
    generator = random.Random(1)
    words = WORDS.split()
    documents = [
        document(
            " ".join(generator.choices(words, k=generator.randrange(1, 300))),
            " ".join(generator.choices(words[:3], k=generator.randrange(0, 8))),
        )
        for _ in range(30)
    ]
    together = cut(documents, encoder, max_tokens=64, overlap=4)
    alone = [cut([one], encoder, max_tokens=64, overlap=4)[0] for one in documents]
    assert together == alone


def test_no_documents(encoder: MultiQAEncoder) -> None:
    assert cut([], encoder, max_tokens=64, overlap=0) == []
