from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multiqa_integrations import MultiQAEncoder, backends
from multiqa_integrations.types import Vectors
from tests.support.installed import needs_torch

QUERIES = [f"question {i}: how {'very ' * (i % 7)}far is it to town {i}?" for i in range(30)]


@pytest.fixture(scope="module")
def expected(encoder: MultiQAEncoder) -> Vectors:
    return np.concatenate([encoder.encode_query([query]) for query in QUERIES])


def test_single_queries_from_many_threads(encoder: MultiQAEncoder, expected: Vectors) -> None:
    ready = threading.Barrier(16)

    def work(_: int) -> Vectors:
        ready.wait()
        return np.concatenate([encoder.encode_query([query]) for query in QUERIES])

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(work, range(16)))
    assert len(results) == 16
    for found in results:
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
def test_bulk_calls_from_many_threads(encoder: MultiQAEncoder, expected: Vectors) -> None:
    orders = [np.random.default_rng(seed).permutation(len(QUERIES)) for seed in range(6)]

    def work(order: Any) -> Vectors:
        return encoder.encode([QUERIES[i] for i in order] * 4)

    with ThreadPoolExecutor(6) as pool:
        for order, found in zip(orders, pool.map(work, orders), strict=True):
            np.testing.assert_allclose(found, np.tile(expected[order], (4, 1)), atol=1e-5)


def test_streams_from_many_threads(encoder: MultiQAEncoder, expected: Vectors) -> None:
    def work(_: int) -> Vectors:
        return np.concatenate(list(encoder.encode_stream(iter(QUERIES))))

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(work, range(4)):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_many_threads_load_one_model(test_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    load = backends.load

    def counted(*args: Any, **kwargs: Any) -> backends.Backend:
        loads.append(threading.get_ident())
        return load(*args, **kwargs)

    monkeypatch.setattr(backends, "load", counted)
    ready = threading.Barrier(12)
    held: list[MultiQAEncoder] = []  # a model lives as long as an encoder holds it

    def work(_: int) -> Vectors:
        ready.wait()
        # Settings of their own, so that no other test has loaded the model.
        encoder = MultiQAEncoder(test_model, backend="openvino", dtype="float32", threads=2)
        held.append(encoder)
        ready.wait()
        return encoder.encode(QUERIES[:1])

    with ThreadPoolExecutor(12) as pool:
        found = np.concatenate(list(pool.map(work, range(12))))
    # One for a lone query; and one more for those that came while it was busy.
    assert 1 <= len(loads) <= 2
    np.testing.assert_allclose(found, found[:1].repeat(12, axis=0), atol=1e-6)


async def test_coroutines(encoder: MultiQAEncoder, expected: Vectors) -> None:
    found = await asyncio.gather(
        *(asyncio.to_thread(encoder.encode_query, [query]) for query in QUERIES)
    )
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-6)


@needs_torch
def test_torch_from_many_threads(test_model: Path, expected: Vectors) -> None:
    encoder = MultiQAEncoder(test_model, backend="torch", device="cpu", dtype="float32")

    def work(_: int) -> Vectors:
        return encoder.encode(QUERIES[:10])

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(work, range(8)):
            np.testing.assert_allclose(found, expected[:10], atol=1e-4)


def test_a_failure_in_a_batch_reaches_the_caller(
    encoder: MultiQAEncoder, expected: Vectors
) -> None:
    backend = encoder._runtime.backend

    class Failing:
        parallelism = 2
        left = 5

        def embed(self, ids: Any, mask: Any) -> Vectors:
            self.left -= 1
            if self.left < 0:
                raise MemoryError("made up")
            return backend.embed(ids, mask)

    failing: Any = Failing()
    encoder._runtime._backends[False] = failing
    try:
        with pytest.raises(MemoryError, match="made up"):
            encoder.encode(QUERIES * 50)
    finally:
        encoder._runtime._backends[False] = backend
    np.testing.assert_allclose(encoder.encode(QUERIES), expected, atol=1e-5)


@pytest.mark.slow
def test_an_encoder_for_each_request_loads_the_model_once(
    test_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = 0
    load = backends.load

    def counted(*arguments: Any, **options: Any) -> backends.Backend:
        nonlocal loaded
        loaded += 1
        return load(*arguments, **options)

    monkeypatch.setattr(backends, "load", counted)
    for text in ("one", "two", "three"):
        MultiQAEncoder(test_model, cache_folder=tmp_path).encode([text])  # no other test's model
        gc.collect()
    assert loaded == 1
