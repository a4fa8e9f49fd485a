"""LlamaIndex's unwritten contract of an embedding model, and what this one adds."""

from __future__ import annotations

import asyncio
import copy
import pickle
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import llama_index.core.instrumentation as instrumentation
import numpy as np
import pytest
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.embeddings import resolve_embed_model
from llama_index.core.embeddings.loading import load_embed_model
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.rate_limiter import TokenBucketRateLimiter
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore

from multiqa_integrations import MULTI_QA, MultiQAEncoder
from multiqa_integrations.errors import ConfigurationError, PerformanceWarning, TextError
from multiqa_integrations.llama_index import MultiQAEmbedding

TEXTS = ["How many people live in London?", "", "Oil the chain once a year. 🙂"]


@pytest.fixture
def embedding(sibling: Path) -> MultiQAEmbedding:
    return MultiQAEmbedding(model_name=str(sibling), dtype="float32", max_seq_length=512)


def test_no_argument_is_needed_and_every_setting_is_a_field() -> None:
    assert MultiQAEmbedding().model_name == MULTI_QA.name
    assert MultiQAEmbedding(model="x").model_name == "x"  # type: ignore[call-arg]
    settings = set(MultiQAEncoder("x").settings) - {"model"}
    assert settings < set(MultiQAEmbedding.model_fields)
    made = MultiQAEmbedding(model_name="x", dtype="int8", threads=3, revision="main")
    assert {"dtype": "int8", "threads": 3, "revision": "main"}.items() <= (
        made.encoder.settings.items()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"modle": "x"}, "unknown settings: modle"),
        ({"dtype": "float8"}, "dtype"),
        ({"backend": "tensorflow"}, "backend"),
        ({"embed_batch_size": 0}, "greater than 0"),
        ({"max_seq_length": 5000}, "max_seq_length"),
    ],
)
def test_bad_settings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiQAEmbedding(**arguments)


def test_all_six_ways_give_the_vectors_of_the_encoder(
    embedding: MultiQAEmbedding, encoder: MultiQAEncoder
) -> None:
    expected = encoder.encode(TEXTS)
    assert type(embedding.get_query_embedding(TEXTS[0])[0]) is float

    async def asynchronous() -> list[Any]:
        return [
            await embedding.aget_query_embedding(TEXTS[0]),
            await embedding.aget_text_embedding(TEXTS[0]),
            (await embedding.aget_text_embedding_batch(TEXTS))[0],
            (await embedding.aget_text_embedding_batch(TEXTS, show_progress=True))[0],
        ]

    first = [
        embedding.get_query_embedding(TEXTS[0]),
        embedding.get_text_embedding(TEXTS[0]),
        embedding.get_text_embedding_batch(TEXTS, show_progress=True)[0],
        *asyncio.run(asynchronous()),
    ]
    for vector in first:
        np.testing.assert_allclose(vector, expected[0], atol=1e-6)
    np.testing.assert_allclose(embedding.get_text_embedding_batch(TEXTS), expected, atol=1e-6)
    assert embedding.get_text_embedding_batch([]) == []


def test_windows_are_large(embedding: MultiQAEmbedding) -> None:
    assert embedding.embed_batch_size == 512
    assert len(embedding.get_text_embedding_batch(["a"] * 700)) == 700


def test_a_text_that_is_none_fails_at_once(embedding: MultiQAEmbedding) -> None:
    begin = time.monotonic()
    with pytest.raises(TextError):
        embedding.get_text_embedding_batch(["x", None])
    assert time.monotonic() - begin < 5


# --- copies -------------------------------------------------------------------------------------


def embed_elsewhere(embedding: MultiQAEmbedding) -> list[float]:
    return embedding.get_query_embedding(TEXTS[0])


def test_copies_keep_every_setting(embedding: MultiQAEmbedding) -> None:
    expected = embedding.get_query_embedding(TEXTS[0])
    data = embedding.to_dict()
    assert data["class_name"] == "MultiQAEmbedding"
    twins = [
        MultiQAEmbedding.from_dict(dict(data)),
        load_embed_model(dict(data)),
        pickle.loads(pickle.dumps(embedding)),
        copy.copy(embedding),
        copy.deepcopy(embedding),
        embedding.model_copy(),
    ]
    for twin in twins:
        assert isinstance(twin, MultiQAEmbedding)
        assert twin.to_dict() == data
        assert twin.get_query_embedding(TEXTS[0]) == expected
    # Settings only: neither weights nor a tokenizer.
    assert len(pickle.dumps(embedding)) < 5000


def test_spawned_workers_get_the_settings(embedding: MultiQAEmbedding) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        vector = pool.submit(embed_elsewhere, embedding).result(timeout=120)
    np.testing.assert_allclose(vector, embedding.get_query_embedding(TEXTS[0]), atol=1e-6)


def test_llama_index_takes_it(embedding: MultiQAEmbedding) -> None:
    assert resolve_embed_model(embedding) is embedding
    before = Settings._embed_model
    try:
        Settings.embed_model = embedding
        assert Settings.embed_model is embedding
    finally:
        Settings._embed_model = before


# --- events -------------------------------------------------------------------------------------


def test_callback_events(sibling: Path) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    embedding = MultiQAEmbedding(
        model_name=str(sibling), callback_manager=CallbackManager([debug]), embed_batch_size=2
    )
    embedding.get_query_embedding("a")
    embedding.get_text_embedding_batch(["a", "b", "c"])
    pairs = debug.get_event_pairs(CBEventType.EMBEDDING)
    assert [len(pair[1].payload["embeddings"]) for pair in pairs] == [1, 2, 1]  # type: ignore[index]


def test_instrumentation_events(embedding: MultiQAEmbedding) -> None:
    seen: list[str] = []

    class Handler(BaseEventHandler):
        def handle(self, event: Any, **kwargs: Any) -> None:
            seen.append(type(event).__name__)

    dispatcher = instrumentation.get_dispatcher()  # type: ignore[attr-defined]
    handler = Handler()
    dispatcher.add_event_handler(handler)
    try:
        embedding.get_text_embedding("a")
    finally:
        dispatcher.event_handlers.remove(handler)
    assert seen == ["EmbeddingStartEvent", "EmbeddingEndEvent"]


# --- caches, limits, workers --------------------------------------------------------------------


def test_a_shared_cache_keeps_models_and_dtypes_apart(sibling: Path) -> None:
    cache = SimpleKVStore()

    def made(**settings: Any) -> MultiQAEmbedding:
        return MultiQAEmbedding(model_name=str(sibling), embeddings_cache=cache, **settings)

    exact = made(dtype="float32").get_text_embedding("Oil the chain once a year.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PerformanceWarning)  # where int8 is no faster
        rough = made(dtype="int8").get_text_embedding("Oil the chain once a year.")
    assert exact != rough
    short = made(dtype="float32", max_seq_length=4, on_truncation="ignore")
    assert short.get_text_embedding("Oil the chain once a year.") != exact
    assert len(cache.get_all(collection="embeddings")) == 3
    assert made(dtype="float32").get_text_embedding("Oil the chain once a year.") == exact
    both = made(dtype="float32").get_text_embedding_batch(["Oil the chain once a year.", "new"])
    assert both[0] == exact
    assert len(cache.get_all(collection="embeddings")) == 4
    assert asyncio.run(made(dtype="float32").aget_text_embedding_batch(["new"]))[0] == both[1]


def test_a_rate_limiter_is_asked(sibling: Path) -> None:
    class Counting(TokenBucketRateLimiter):
        calls: int = 0

        def acquire(self, num_tokens: int = 0) -> None:
            self.calls += 1

    limiter = Counting(requests_per_minute=60_000)
    MultiQAEmbedding(model_name=str(sibling), rate_limiter=limiter).get_query_embedding("a")
    assert limiter.calls == 1


async def test_workers_and_the_event_loop(embedding: MultiQAEmbedding) -> None:
    many = embedding.model_copy(update={"num_workers": 4, "embed_batch_size": 8})
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.005)
            turns += 1

    turning = asyncio.create_task(turn())
    texts = [f"text number {n}" for n in range(200)]
    vectors = await many.aget_text_embedding_batch(texts)
    turning.cancel()
    np.testing.assert_allclose(vectors, embedding.get_text_embedding_batch(texts), atol=1e-5)
    assert turns > 5


def test_pipelines_never_share_entries_of_other_settings(sibling: Path) -> None:
    nodes = [TextNode(text="Oil the chain once a year.", id_="x")]
    pipeline = IngestionPipeline(transformations=[])
    results = []
    for dtype in ("float32", "auto"):
        model = MultiQAEmbedding(model_name=str(sibling), dtype=dtype)
        pipeline.transformations = [model]
        results.append(pipeline.run(nodes=copy.deepcopy(nodes)))
    assert len(pipeline.cache.cache.get_all(collection=pipeline.cache.collection)) == 2
    assert all(len(made[0].embedding or []) == 384 for made in results)


def test_a_pipeline_with_worker_processes(sibling: Path) -> None:
    model = MultiQAEmbedding(model_name=str(sibling), dtype="float32")
    pipeline = IngestionPipeline(transformations=[model], disable_cache=True)
    nodes = [TextNode(text=f"text number {n}") for n in range(6)]
    made = pipeline.run(nodes=nodes, num_workers=2)
    texts = [one.get_content() for one in made]
    np.testing.assert_allclose(
        np.array([one.embedding for one in made]),
        np.array(model.get_text_embedding_batch(texts)),
        atol=1e-5,
    )


def test_configuration_errors_are_value_errors() -> None:
    assert issubclass(ConfigurationError, ValueError)
