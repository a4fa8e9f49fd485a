"""The node parser: what is embedded fits, nothing is lost, places and neighbours are right."""

from __future__ import annotations

import itertools
import pickle
from pydoc_data.topics import topics

import pytest
from llama_index.core import MockEmbedding, Settings
from llama_index.core.schema import Document, MetadataMode, NodeRelationship, TextNode

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.llama_index import MultiQAEmbedding, WordPieceNodeParser

TEXT = topics["exceptions"] + "\n\n" + topics["with"]
METADATA = {"title": "The Python Language Reference", "topic": "exceptions and with", "page": 42}


@pytest.mark.parametrize("chunk_size", [64, 250])
@pytest.mark.parametrize("metadata", [{}, METADATA], ids=["no metadata", "metadata"])
def test_what_is_embedded_fits(
    embedding: MultiQAEmbedding,
    encoder: MultiQAEncoder,
    chunk_size: int,
    metadata: dict[str, object],
) -> None:
    parser = WordPieceNodeParser(chunk_size=chunk_size, embedding=embedding)
    document = Document(text=TEXT, metadata=metadata, id_="doc")
    nodes = parser.get_nodes_from_documents([document])
    embedded = [node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
    counts = encoder.count_tokens(embedded)
    assert counts.max() <= chunk_size
    assert counts[:-1].mean() > chunk_size * 0.6, "and is not much smaller"
    places = []
    for node in nodes:
        assert isinstance(node, TextNode)
        assert node.metadata == metadata
        assert node.ref_doc_id == "doc"
        assert TEXT[node.start_char_idx : node.end_char_idx] == node.text
        places.append((node.start_char_idx, node.end_char_idx))
    covered = "".join(TEXT[start:end] for start, end in places)
    assert "".join(covered.split()) == "".join(TEXT.split())
    for before, after in itertools.pairwise(nodes):
        assert before.relationships[NodeRelationship.NEXT].node_id == after.node_id  # type: ignore[union-attr]
        assert after.relationships[NodeRelationship.PREVIOUS].node_id == before.node_id  # type: ignore[union-attr]


def test_overlap(embedding: MultiQAEmbedding) -> None:
    parser = WordPieceNodeParser(chunk_size=64, chunk_overlap=20, embedding=embedding)
    nodes = parser.get_nodes_from_documents([Document(text=TEXT)])
    starts = [(node.start_char_idx, node.end_char_idx) for node in nodes]  # type: ignore[attr-defined]
    assert any(after[0] < before[1] for before, after in itertools.pairwise(starts))


def test_excluded_metadata_takes_no_room(embedding: MultiQAEmbedding) -> None:
    parser = WordPieceNodeParser(chunk_size=64, embedding=embedding)
    metadata = {"notes": "word " * 300}
    document = Document(text="A short text.", metadata=metadata)
    with pytest.raises(ConfigurationError, match="excluded_embed_metadata_keys"):
        parser.get_nodes_from_documents([document])
    document.excluded_embed_metadata_keys = ["notes"]
    assert len(parser.get_nodes_from_documents([document])) == 1


def test_round_trip(embedding: MultiQAEmbedding) -> None:
    parser = WordPieceNodeParser(chunk_size=100, chunk_overlap=10, embedding=embedding)
    restored = WordPieceNodeParser.from_dict(parser.to_dict())
    assert (restored.chunk_size, restored.chunk_overlap) == (100, 10)
    assert restored.used_embedding.to_dict() == embedding.to_dict()
    document = Document(text=TEXT, id_="x")
    assert [n.get_content() for n in restored.get_nodes_from_documents([document])] == [
        n.get_content() for n in parser.get_nodes_from_documents([document])
    ]


@pytest.mark.parametrize("sizes", [{"chunk_size": 4}, {"chunk_size": 513}, {"chunk_overlap": 250}])
def test_bad_sizes(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="chunk_size is"):
        WordPieceNodeParser(**sizes)  # type: ignore[arg-type]


def test_the_tokenizer_of_settings(
    monkeypatch: pytest.MonkeyPatch, embedding: MultiQAEmbedding
) -> None:
    """As it is when it is used, and along into other processes and the keys of caches."""
    parser = WordPieceNodeParser(chunk_size=64)
    monkeypatch.setattr(Settings, "_embed_model", embedding)
    expected = WordPieceNodeParser(chunk_size=64, embedding=embedding)
    document = Document(text=TEXT, id_="x")
    assert [node.get_content() for node in parser.get_nodes_from_documents([document])] == [
        node.get_content() for node in expected.get_nodes_from_documents([document])
    ]
    assert parser.to_dict() == expected.to_dict()
    pickled = pickle.dumps(parser)
    monkeypatch.setattr(Settings, "_embed_model", MockEmbedding(embed_dim=384))
    assert pickle.loads(pickled).used_embedding.to_dict() == embedding.to_dict()
    assert expected.get_nodes_from_documents([document])
    with pytest.raises(ConfigurationError, match="is MockEmbedding, expected MultiQAEmbedding"):
        parser.get_nodes_from_documents([document])
    monkeypatch.setattr(Settings, "_embed_model", None)
    assert parser.used_embedding.to_dict() == MultiQAEmbedding().to_dict()
