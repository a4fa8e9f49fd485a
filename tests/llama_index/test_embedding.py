"""What the embedding model adds to LlamaIndex's contract, which is in test_contract.py."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.storage.kvstore import SimpleKVStore

from multiqa_integrations import MULTI_QA, MultiQAEncoder, backends
from multiqa_integrations.errors import ConfigurationError, PerformanceWarning
from multiqa_integrations.llama_index import MultiQAEmbedding


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


@pytest.mark.slow
def test_windows_are_large(embedding: MultiQAEmbedding, encoder: MultiQAEncoder) -> None:
    assert embedding.embed_batch_size == 512
    texts = [f"text number {n}" for n in range(700)]
    vectors = embedding.get_text_embedding_batch(texts)
    np.testing.assert_allclose(vectors, encoder.encode(texts), atol=1e-6)


async def test_a_cache_is_read_by_every_way(test_model: Path) -> None:
    cache = SimpleKVStore()

    def made(**settings: Any) -> MultiQAEmbedding:
        return MultiQAEmbedding(model_name=str(test_model), embeddings_cache=cache, **settings)

    exact = made(dtype="float32").get_text_embedding("Oil the chain once a year.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PerformanceWarning)  # where int8 is no faster
        assert made(dtype="int8").get_text_embedding("Oil the chain once a year.") != exact
    assert len(cache.get_all(collection="embeddings")) == 2
    assert made(dtype="float32").get_text_embedding("Oil the chain once a year.") == exact
    both = made(dtype="float32").get_text_embedding_batch(["Oil the chain once a year.", "new"])
    assert both[0] == exact
    assert len(cache.get_all(collection="embeddings")) == 3
    assert (await made(dtype="float32").aget_text_embedding_batch(["new"]))[0] == both[1]


def test_configuration_errors_are_value_errors() -> None:
    assert issubclass(ConfigurationError, ValueError)


def test_the_model_is_loaded_once(
    test_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else holds it here, so that an encoder made for each call would load it each time."""
    loaded: list[bool] = []
    load = backends.load

    def counted(*arguments: Any, **options: Any) -> backends.Backend:
        loaded.append(options["one_batch"])
        return load(*arguments, **options)

    monkeypatch.setattr(backends, "load", counted)
    embedding = MultiQAEmbedding(model_name=str(test_model), cache_folder=str(tmp_path))
    vectors = [embedding.get_query_embedding(text) for text in ("one", "two", "one")]
    assert vectors[0] == vectors[2] != vectors[1]
    assert loaded == [True]
    assert embedding.encoder is embedding.encoder
    embedding.max_seq_length = 16
    assert embedding.encoder.max_seq_length == 16
    assert embedding.model_copy(update={"max_seq_length": 20}).encoder.max_seq_length == 20
    assert pickle.loads(pickle.dumps(embedding)).encoder.max_seq_length == 16
