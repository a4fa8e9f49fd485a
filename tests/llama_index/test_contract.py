"""What LlamaIndex asks of an embedding model without writing it down: each trap is one test.

Any other embedding class can be held against it too, here on the same weights:

    MULTIQA_TEST_EMBEDDING=llama_index.embeddings.huggingface:HuggingFaceEmbedding \\
        python -m pytest tests/llama_index/test_contract.py
"""

from __future__ import annotations

import asyncio
import copy
import importlib
import os
import pickle
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import llama_index.core.instrumentation as instrumentation
import numpy as np
import pytest
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.embeddings import resolve_embed_model
from llama_index.core.embeddings.loading import load_embed_model
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.rate_limiter import TokenBucketRateLimiter
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore

from multiqa_integrations import MultiQAEncoder

TEXTS = ["How many people live in London?", "", "Oil the chain once a year. 🙂"]

CLASS = os.environ.get(
    "MULTIQA_TEST_EMBEDDING", "multiqa_integrations.llama_index:MultiQAEmbedding"
)
# How each class is told the limit, and other arithmetic that gives other vectors.
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "MultiQAEmbedding": {
        "plain": {"dtype": "float32", "max_seq_length": 512},
        "rough": {"dtype": "int8", "max_seq_length": 512},
        "short": {"dtype": "float32", "max_seq_length": 8},
    },
    "HuggingFaceEmbedding": {
        "plain": {"device": "cpu", "max_length": 512},
        "rough": {"device": "cpu", "max_length": 512, "model_kwargs": {"dtype": "bfloat16"}},
        "short": {"device": "cpu", "max_length": 8},
    },
}

Make = Callable[..., BaseEmbedding]


@pytest.fixture
def make(test_model: Path) -> Make:
    """Make an embedding of the class under test."""
    module, _, name = CLASS.partition(":")
    kind = getattr(importlib.import_module(module), name)
    settings = SETTINGS.get(name, {"plain": {}})

    def made(variant: str = "plain", **more: Any) -> BaseEmbedding:
        if variant not in settings:
            pytest.skip(f"SETTINGS has no {variant} variant of {name}")
        embedding: BaseEmbedding = kind(model_name=str(test_model), **{**settings[variant], **more})
        return embedding

    return made


@pytest.fixture
def model(make: Make) -> BaseEmbedding:
    return make()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """A class may warn where it is slow, or of what it is made of: that is no trap."""
    with warnings.catch_warnings():
        for kind in (DeprecationWarning, FutureWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)
        warnings.filterwarnings("ignore", "int8|dtype='int8'")
        yield


# --- vectors ------------------------------------------------------------------------------------


def test_all_ways_give_the_same_vectors(model: BaseEmbedding, encoder: MultiQAEncoder) -> None:
    expected = encoder.encode(TEXTS)

    async def asynchronous() -> list[Any]:
        return [
            await model.aget_query_embedding(TEXTS[0]),
            await model.aget_text_embedding(TEXTS[0]),
            (await model.aget_text_embedding_batch(TEXTS))[0],
            (await model.aget_text_embedding_batch(TEXTS, show_progress=True))[0],
        ]

    first = [
        model.get_query_embedding(TEXTS[0]),
        model.get_text_embedding(TEXTS[0]),
        model.get_text_embedding_batch(TEXTS, show_progress=True)[0],
        model([TextNode(text=TEXTS[0])])[0].embedding,
        *asyncio.run(asynchronous()),
    ]
    for vector in first:
        np.testing.assert_allclose(vector, expected[0], atol=1e-5)
    np.testing.assert_allclose(model.get_text_embedding_batch(TEXTS), expected, atol=1e-5)
    assert model.get_text_embedding_batch([]) == []


def test_vectors_are_python_floats_of_length_1(model: BaseEmbedding) -> None:
    for vector in [model.get_query_embedding("a"), *model.get_text_embedding_batch(TEXTS)]:
        assert type(vector) is list
        assert {type(number) for number in vector} == {float}
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_a_text_that_is_cut_is_told(make: Make) -> None:
    with pytest.warns(UserWarning, match=r"(?i)truncat|cut"):
        make("short").get_text_embedding_batch(["a text of rather more than eight word pieces"])


def test_a_text_that_is_none_fails_at_once(
    model: BaseEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not tried again and again, with pauses."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with pytest.raises((TypeError, ValueError)):
        model.get_text_embedding_batch(["x", None])
    assert pauses == []


# --- coroutines ---------------------------------------------------------------------------------


async def test_the_event_loop_goes_on(make: Make) -> None:
    many = make(embed_batch_size=8)
    many.get_text_embedding("loaded before")
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.005)
            turns += 1

    turning = asyncio.create_task(turn())
    texts = [f"text number {n}" for n in range(48)]
    vectors = await many.aget_text_embedding_batch(texts)
    one_by_one = await asyncio.gather(*(many.aget_query_embedding(text) for text in texts))
    turning.cancel()
    expected = many.get_text_embedding_batch(texts)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    np.testing.assert_allclose(one_by_one, expected, atol=1e-5)
    assert turns > 5


async def test_workers_of_coroutines(make: Make) -> None:
    model = make(embed_batch_size=8)
    model.num_workers = 4
    texts = [f"text number {n}" for n in range(48)]
    vectors = await model.aget_text_embedding_batch(texts)
    np.testing.assert_allclose(vectors, model.get_text_embedding_batch(texts), atol=1e-5)


# --- dictionaries, pickles, copies, processes ---------------------------------------------------


def test_a_dictionary_gives_it_back(model: BaseEmbedding) -> None:
    data = model.to_dict()
    restored = type(model).from_dict(dict(data))
    assert restored.to_dict() == data
    assert restored.get_query_embedding("a") == model.get_query_embedding("a")


def test_load_embed_model_knows_it(model: BaseEmbedding) -> None:
    restored = load_embed_model(model.to_dict())
    assert type(restored) is type(model)
    assert restored.get_query_embedding("a") == model.get_query_embedding("a")


def test_the_dictionary_holds_all_that_changes_vectors(make: Make) -> None:
    """It is the key of a pipeline's cache."""
    dictionaries = [str(make(variant).to_dict()) for variant in ("plain", "rough", "short")]
    assert len(set(dictionaries)) == 3


def test_pickles_keep_the_settings(make: Make) -> None:
    for variant in ("plain", "rough"):
        model = make(variant)
        expected = model.get_query_embedding(TEXTS[0])
        assert pickle.loads(pickle.dumps(model)).get_query_embedding(TEXTS[0]) == expected


def test_pickles_hold_no_weights(model: BaseEmbedding) -> None:
    model.get_query_embedding("a")
    assert len(pickle.dumps(model)) < 5000


def test_copies(model: BaseEmbedding) -> None:
    expected = model.get_query_embedding(TEXTS[0])
    for restored in (copy.copy(model), copy.deepcopy(model), model.model_copy()):
        assert restored.to_dict() == model.to_dict()
        assert restored.get_query_embedding(TEXTS[0]) == expected


def embed_elsewhere(model: BaseEmbedding) -> list[float]:
    return model.get_query_embedding(TEXTS[0])


@pytest.mark.slow
def test_spawned_processes(model: BaseEmbedding) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        vector = pool.submit(embed_elsewhere, model).result(timeout=200)
    np.testing.assert_allclose(vector, model.get_query_embedding(TEXTS[0]), atol=1e-6)


def test_a_setting_that_is_unknown_is_refused(make: Make) -> None:
    with pytest.raises((TypeError, ValueError), match="modle"):
        make(modle="x")


def test_llama_index_takes_it(model: BaseEmbedding, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_embed_model(model) is model
    monkeypatch.setattr(Settings, "_embed_model", None)
    Settings.embed_model = model
    index = VectorStoreIndex([TextNode(text=text, id_=text) for text in TEXTS if text])
    (found,) = index.as_retriever(similarity_top_k=1).retrieve("oil")
    assert found.node_id == TEXTS[2]


# --- events, limits -----------------------------------------------------------------------------


def test_callback_events(make: Make) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    model = make(callback_manager=CallbackManager([debug]), embed_batch_size=2)
    model.get_query_embedding("a")
    model.get_text_embedding_batch(["a", "b", "c"])
    pairs = debug.get_event_pairs(CBEventType.EMBEDDING)
    assert [len(pair[1].payload["embeddings"]) for pair in pairs] == [1, 2, 1]  # type: ignore[index]


def test_instrumentation_events(model: BaseEmbedding) -> None:
    seen: list[str] = []

    class Handler(BaseEventHandler):
        def handle(self, event: Any, **kwargs: Any) -> None:
            seen.append(type(event).__name__)

    dispatcher = instrumentation.get_dispatcher()  # type: ignore[attr-defined]
    handler = Handler()
    dispatcher.add_event_handler(handler)
    try:
        model.get_text_embedding("a")
    finally:
        dispatcher.event_handlers.remove(handler)
    assert seen == ["EmbeddingStartEvent", "EmbeddingEndEvent"]


def test_a_rate_limiter_is_asked(model: BaseEmbedding) -> None:
    class Counting(TokenBucketRateLimiter):
        calls: int = 0

        def acquire(self, num_tokens: int = 0) -> None:
            self.calls += 1

    limiter = Counting(requests_per_minute=60_000)
    model.rate_limiter = limiter
    model.get_query_embedding("a")
    assert limiter.calls == 1


# --- caches and pipelines -----------------------------------------------------------------------


@pytest.mark.parametrize("other", ["rough", "short"])
def test_a_cache_that_is_shared_keeps_settings_apart(make: Make, other: str) -> None:
    text = "Oil the chain once a year, or twice where it is wet."
    cache = SimpleKVStore()
    warnings.simplefilter("ignore", UserWarning)  # the short one cuts
    expected, found = [], []
    for variant in ("plain", other):
        expected.append(make(variant).get_text_embedding(text))
        model = make(variant)
        model.embeddings_cache = cache
        found.append(model.get_text_embedding(text))
    assert expected[0] != expected[1]
    assert found == expected


def test_a_pipeline_keeps_settings_apart(make: Make) -> None:
    nodes = [TextNode(text="Oil the chain once a year.", id_="x")]
    pipeline = IngestionPipeline(transformations=[])
    found = []
    for variant in ("plain", "rough"):
        pipeline.transformations = [make(variant)]
        found.append(pipeline.run(nodes=copy.deepcopy(nodes))[0].embedding)
    assert found[0] != found[1]


@pytest.mark.slow
def test_a_pipeline_with_worker_processes(model: BaseEmbedding) -> None:
    pipeline = IngestionPipeline(transformations=[model], disable_cache=True)
    made = pipeline.run(nodes=[TextNode(text=f"number {n}") for n in range(6)], num_workers=2)
    expected = model.get_text_embedding_batch([node.get_content() for node in made])
    np.testing.assert_allclose(
        np.array([node.embedding for node in made]), np.array(expected), atol=1e-5
    )
