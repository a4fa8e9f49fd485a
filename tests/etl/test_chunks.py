"""How documents are cut, counted by a real tokenizer."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.etl.chunks import TitledChunk, chunk_documents
from multiqa_integrations.etl.documents import SourceDocument

WORDS = (
    "the machine stops naïve 東京 e-mail antidisestablishmentarianism 3.14 (see) No. [SEP] don't"
)


def document(text: str, title: str = "") -> SourceDocument:
    return SourceDocument("a", text, title, {}, 1, {})


def split_one(
    encoder: MultiQAEncoder,
    text: str,
    title: str = "",
    chunk_size: int = 64,
    chunk_overlap: int = 0,
) -> list[TitledChunk]:
    (found,) = chunk_documents(
        [document(text, title)], encoder, chunk_size=chunk_size, chunk_overlap=chunk_overlap
    )
    assert isinstance(found, list)
    return found


def check(chunks: list[TitledChunk], text: str, title: str) -> None:
    head = f"{title}\n" if title else ""
    for chunk in chunks:
        assert chunk.text == head + text[chunk.start : chunk.end]
        assert text[chunk.start : chunk.end].strip() == text[chunk.start : chunk.end] != ""


def test_a_short_document_is_one_passage(encoder: MultiQAEncoder) -> None:
    assert split_one(encoder, "  Oil it.\n") == [TitledChunk("Oil it.", 2, 9)]
    assert split_one(encoder, "Oil it.", "Care") == [TitledChunk("Care\nOil it.", 0, 7)]


@pytest.mark.parametrize("chunk_overlap", [0, 8])
@pytest.mark.parametrize("title", ["", "Care", "How to care for the machine in winter, part two"])
def test_no_chunk_is_over_the_limit(
    encoder: MultiQAEncoder, title: str, chunk_overlap: int
) -> None:
    generator = random.Random(0)
    words = WORDS.split()
    text = " ".join(generator.choice(words) + generator.choice(["", "", ".", "\n\n"])
                    for _ in range(1_500))  # fmt: skip
    chunks = split_one(encoder, text, title, chunk_overlap=chunk_overlap)
    counts = encoder.count_tokens([chunk.text for chunk in chunks])
    assert counts.max() <= 64
    assert counts.mean() > 40  # and none is wasted on small ones
    check(chunks, text, title)
    covered = {index for one in chunks for index in range(one.start, one.end)}
    assert all(text[index].isspace() for index in set(range(len(text))) - covered)


@settings(max_examples=60)
@given(
    text=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=400),
    title=st.text("abc é東-", max_size=40).map(str.strip),
    chunk_size=st.integers(64, 120),
)
def test_any_text_keeps_its_place_and_the_limit(
    encoder: MultiQAEncoder, text: str, title: str, chunk_size: int
) -> None:
    (chunks,) = chunk_documents(
        [document(text, title)], encoder, chunk_size=chunk_size, chunk_overlap=0
    )
    if isinstance(chunks, str):
        assert "its title has" in chunks
        return
    assert bool(chunks) == bool(text.strip())
    check(chunks, text, title)
    if chunks:
        assert encoder.count_tokens([one.text for one in chunks]).max() <= chunk_size


def test_a_very_long_title_is_refused_and_the_others_are_not(encoder: MultiQAEncoder) -> None:
    documents = [document("One."), document("Two.", "word " * 40), document("Three.", "Care")]
    first, second, third = chunk_documents(documents, encoder, chunk_size=64, chunk_overlap=0)
    assert second == ("its title has 40 word pieces, which leaves too little of the 64 of a chunk")
    assert first == [TitledChunk("One.", 0, 4)]
    assert third == [TitledChunk("Care\nThree.", 0, 6)]


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
    together = chunk_documents(documents, encoder, chunk_size=64, chunk_overlap=4)
    alone = [
        chunk_documents([one], encoder, chunk_size=64, chunk_overlap=4)[0] for one in documents
    ]
    assert together == alone


def test_no_documents(encoder: MultiQAEncoder) -> None:
    assert chunk_documents([], encoder, chunk_size=64, chunk_overlap=0) == []
