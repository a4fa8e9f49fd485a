"""The embeddings in LangChain: settings, serialisation, coroutines, what else uses them."""

from __future__ import annotations

import asyncio
import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.documents import Document
from langchain_core.load import dumpd, load
from langchain_core.stores import InMemoryByteStore
from langchain_core.vectorstores import InMemoryVectorStore

from multiqa_integrations import MULTI_QA, MultiQAEncoder
from multiqa_integrations.errors import ConfigurationError, TextError, TextTypeError
from multiqa_integrations.langchain import MultiQAEmbeddings
from multiqa_integrations.testing import FakeEncoder

ENCODER_SETTINGS = set(MultiQAEncoder("x").settings)


@pytest.fixture
def embeddings(test_model: Path) -> MultiQAEmbeddings:
    return MultiQAEmbeddings(model=str(test_model), max_seq_length=512, dtype="float32")


def test_no_argument_is_needed() -> None:
    embeddings = MultiQAEmbeddings()
    assert embeddings.model == embeddings.model_name == MULTI_QA.name
    assert embeddings.dimension == 384


def test_every_setting_of_the_encoder_is_a_field() -> None:
    assert set(MultiQAEmbeddings.model_fields) == ENCODER_SETTINGS | {"show_progress", "encoder"}
    embeddings = MultiQAEmbeddings(model="x", dtype="int8", threads=2, revision="main")
    assert isinstance(embeddings.used_encoder, MultiQAEncoder)
    settings = embeddings.used_encoder.settings
    assert (settings["dtype"], settings["threads"], settings["revision"]) == ("int8", 2, "main")


def test_it_gives_the_vectors_of_the_encoder(
    embeddings: MultiQAEmbeddings, encoder: MultiQAEncoder
) -> None:
    texts = ["How many people live in London?", "", "naïve 🙂"]
    rows = embeddings.embed_documents(texts)
    np.testing.assert_allclose(rows, encoder.encode(texts), atol=1e-6)
    assert type(rows[0][0]) is float
    np.testing.assert_allclose(embeddings.embed_query(texts[0]), rows[0], atol=1e-6)
    assert embeddings.embed_documents([]) == []
    assert embeddings.fingerprint == encoder.fingerprint


def test_one_model_serves_all_of_the_same_settings(test_model: Path) -> None:
    one = MultiQAEmbeddings(model=test_model, dtype="float32")  # type: ignore[arg-type]
    other = MultiQAEmbeddings(model_name=str(test_model), dtype="float32", on_truncation="ignore")  # type: ignore[call-arg]
    assert isinstance(one.used_encoder, MultiQAEncoder)
    assert isinstance(other.used_encoder, MultiQAEncoder)
    assert one.used_encoder._runtime is other.used_encoder._runtime


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"modle": "x"}, "Extra inputs are not permitted"),
        ({"dtype": "float8"}, "dtype"),
        ({"max_seq_length": 5000}, "max_seq_length"),
        ({"on_truncation": "cut"}, "on_truncation"),
        ({"encoder": FakeEncoder(), "dtype": "int8"}, "leave dtype out"),
        ({"encoder": "x"}, "encoder"),
    ],
)
def test_bad_settings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiQAEmbeddings(**arguments)


def test_bad_texts(embeddings: MultiQAEmbeddings) -> None:
    with pytest.raises(TextTypeError, match="one text per character"):
        embeddings.embed_documents("a bare string")  # type: ignore[arg-type]
    with pytest.raises(TextError) as caught:
        embeddings.embed_documents(["x", None])  # type: ignore[list-item]
    assert caught.value.index == 1
    with pytest.raises(TextError):
        embeddings.embed_query(None)  # type: ignore[arg-type]


# --- copies, pickles, JSON ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")  # LangChain's own
def test_copies_keep_the_settings(embeddings: MultiQAEmbeddings) -> None:
    expected = embeddings.embed_query("x")
    copies = [
        copy.copy(embeddings),
        copy.deepcopy(embeddings),
        pickle.loads(pickle.dumps(embeddings)),
        embeddings.model_copy(),
        load(
            dumpd(embeddings),
            allowed_objects=[MultiQAEmbeddings],
            valid_namespaces=["multiqa_integrations"],
        ),
    ]
    for restored in copies:
        assert isinstance(restored, MultiQAEmbeddings)
        assert restored.model_dump() == embeddings.model_dump()
        assert restored.embed_query("x") == expected
    assert len(pickle.dumps(embeddings)) < 2000


def test_an_encoder_of_ones_own_is_not_written_as_json() -> None:
    assert dumpd(MultiQAEmbeddings(encoder=FakeEncoder()))["type"] == "not_implemented"
    assert (
        pickle.loads(pickle.dumps(MultiQAEmbeddings(encoder=FakeEncoder(seed=3)))).fingerprint
        == "fake:3"
    )


# --- coroutines ---------------------------------------------------------------------------------


async def test_200_queries_at_once_leave_the_event_loop_alone(
    embeddings: MultiQAEmbeddings,
) -> None:
    questions = [f"How many people live in city number {n}?" for n in range(200)]
    expected = embeddings.embed_documents(questions)
    await embeddings.aembed_query("warm up")
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    turning = asyncio.create_task(turn())
    answers = await asyncio.gather(*[embeddings.aembed_query(text) for text in questions])
    turning.cancel()
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    # Were the loop held, it would not turn until all were answered. How late it is at most, is
    # measured in docs/langchain.md.
    assert turns > 10
    documents = await embeddings.aembed_documents(questions[:3])
    np.testing.assert_allclose(documents, expected[:3], atol=1e-5)


# --- what else in LangChain uses embeddings -----------------------------------------------------


def test_a_cache_is_kept_apart_by_the_fingerprint() -> None:
    store = InMemoryByteStore()
    for seed in (0, 1):
        embeddings = MultiQAEmbeddings(encoder=FakeEncoder(seed=seed))
        cached = CacheBackedEmbeddings.from_bytes_store(
            embeddings, store, namespace=embeddings.fingerprint, key_encoder="sha256"
        )
        for _ in range(2):
            assert cached.embed_documents(["a text"]) == embeddings.embed_documents(["a text"])
    assert len(list(store.yield_keys())) == 2


async def test_in_memory_vector_store(embeddings: MultiQAEmbeddings) -> None:
    store = InMemoryVectorStore(embeddings)
    await store.aadd_documents(
        [Document("Oil the chain once a year."), Document("Nine million people live in London.")]
    )
    found = await store.asimilarity_search("How big is the capital of England?", k=1)
    assert "London" in found[0].page_content


def test_settings_are_checked_before_anything_is_loaded() -> None:
    with pytest.raises((ConfigurationError, ValueError), match="backend"):
        MultiQAEmbeddings(backend="tensorflow")
