"""The splitter: no chunk over the limit, nothing lost, exact places."""

from __future__ import annotations

from pydoc_data.topics import topics

import pytest

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.langchain import MultiQAEmbeddings, WordPieceTextSplitter
from multiqa_integrations.testing import FakeEncoder

TEXT = topics["exceptions"] + "\n\n" + topics["with"]


def test_no_chunk_is_over_the_limit_and_nothing_is_lost(encoder: MultiQAEncoder) -> None:
    splitter = WordPieceTextSplitter(encoder=encoder)
    chunks = splitter.split_text(TEXT)
    assert len(chunks) > 3
    assert encoder.count_tokens(chunks).max() <= 250
    assert "".join(chunks).split() == "".join(chunks).split()
    assert "".join("".join(chunks).split()) == "".join(TEXT.split())


def test_documents_with_places(encoder: MultiQAEncoder) -> None:
    splitter = WordPieceTextSplitter(
        60, 20, embeddings=MultiQAEmbeddings(encoder=encoder), add_start_index=True
    )
    metadata = {"source": "x", "list": [1]}
    made = splitter.create_documents([TEXT, "short"], [metadata, {"source": "y"}])
    assert encoder.count_tokens([one.page_content for one in made]).max() <= 60
    for one in made[:-1]:
        start = one.metadata["start_index"]
        assert TEXT[start : start + len(one.page_content)] == one.page_content
        assert one.metadata["source"] == "x"
    assert made[-1].metadata == {"source": "y", "start_index": 0}
    made[0].metadata["list"].append(2)
    assert metadata == {"source": "x", "list": [1]}, "each has a copy"
    # With overlap the beginning of a chunk stands in the one before.
    assert made[1].metadata["start_index"] < len(made[0].page_content)
    again = splitter.split_documents(made[:2])
    assert [one.page_content for one in again] == [one.page_content for one in made[:2]]


def test_small_things() -> None:
    splitter = WordPieceTextSplitter(10, encoder=FakeEncoder())
    assert splitter.split_text("") == []
    assert splitter.split_text("  \n ") == []
    assert splitter.create_documents(["one two"])[0].metadata == {}
    assert splitter.count_tokens("one two") == 4
    kept = WordPieceTextSplitter(10, encoder=FakeEncoder(), strip_whitespace=False)
    text = "One two three four. \n\nFive six seven eight nine ten. "
    assert "".join(kept.split_text(text)) == text


def test_bad_settings() -> None:
    for size, overlap in ((0, 0), (10, 20)):
        with pytest.raises(ConfigurationError):
            WordPieceTextSplitter(size, overlap, encoder=FakeEncoder())
    with pytest.raises(ConfigurationError, match="not both"):
        WordPieceTextSplitter(
            encoder=FakeEncoder(), embeddings=MultiQAEmbeddings(encoder=FakeEncoder())
        )
    with pytest.raises(ConfigurationError, match="1 metadatas for 2 texts"):
        WordPieceTextSplitter(encoder=FakeEncoder()).create_documents(["a", "b"], [{}])
