"""The torch backend by itself: on the processor what every machine can show, the rest on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.numpy import load_file, save_file

from multiqa_integrations import MultiQAEncoder, backends
from multiqa_integrations.backends import Compute
from multiqa_integrations.backends import torch as torch_backend
from multiqa_integrations.backends.torch import TorchBackend, _without_cudnn
from multiqa_integrations.backends.torch_device import open_device
from multiqa_integrations.checkpoint import resolve
from multiqa_integrations.errors import ConfigurationError, ModelError
from multiqa_integrations.types import Vectors
from multiqa_integrations.weights import Weights

needs_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="torch finds no CUDA device on this machine"
    ),
]
SENTENCES = [
    f"Sentence {n} is about {'a long and winding road, ' * (n % 9)}no more." for n in range(70)
]


@pytest.fixture(scope="module")
def expected(test_model: Path) -> Vectors:
    return MultiQAEncoder(test_model, backend="torch", device="cpu").encode(SENTENCES)


def load(model: Path, device: str = "cpu") -> TorchBackend:
    checkpoint = resolve(model)
    return TorchBackend(Weights(checkpoint.weights), checkpoint.spec, "float32", device=device)


def batch(count: int, length: int = 6) -> tuple[Any, Any]:
    ids = np.arange(count * length, dtype=np.int64).reshape(count, length) % 20_000 + 1000
    return ids, np.ones_like(ids)


# --- too little memory ----------------------------------------------------------------------


def with_room_for(backend: TorchBackend, pieces: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make a backend fail like a full GPU; returns the sizes of the batches that it was given."""
    given: list[int] = []
    compute: Callable[..., Vectors] = backend._embed

    def embed(ids: Any, mask: Any) -> Vectors:
        given.append(ids.size)
        if ids.size > pieces:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB.")
        return compute(ids, mask)

    monkeypatch.setattr(backend, "_embed", embed)
    return given


def test_a_batch_too_large_for_the_device_is_computed_in_parts(
    test_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load(test_model)
    ids, mask = batch(150)
    whole = backend.embed(ids, mask)
    given = with_room_for(backend, 500, monkeypatch)
    for attempts in ([900, 450, 450], [450, 450]):  # the second time it is known
        given.clear()
        np.testing.assert_allclose(backend.embed(ids, mask), whole, atol=1e-6)
        assert given == attempts


def test_larger_batches_are_tried_again(test_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may have freed their memory; and it never comes to batches of a few word pieces."""
    monkeypatch.setattr(torch_backend, "_PATIENCE", 5)
    backend = load(test_model)
    # Only the sizes of the batches matter here.
    monkeypatch.setattr(backend, "_embed", lambda ids, mask: np.zeros((len(ids), 384), np.float32))
    ids, mask = batch(300)
    with monkeypatch.context() as patch:
        with_room_for(backend, 13, patch)
        backend.embed(ids, mask)
        assert backend._room >= 512
    given = with_room_for(backend, 10_000, monkeypatch)
    for _ in range(10):
        backend.embed(ids, mask)
    assert min(given) >= 450
    assert given[-1] == ids.size


def test_no_room_for_a_single_text(test_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = load(test_model)
    with_room_for(backend, 5, monkeypatch)
    with pytest.raises(ConfigurationError, match="too little free memory for a text of 6 tokens"):
        backend.embed(*batch(4))


def test_no_room_for_the_model(test_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: TorchBackend, array: Any) -> Any:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(TorchBackend, "_put", refuse)
    with pytest.raises(ConfigurationError, match="too little free memory for the model"):
        load(test_model)


# --- what is set for the whole process ------------------------------------------------------


def test_the_choice_of_kernels_is_put_back() -> None:
    is_cudnn_allowed: Any = torch.backends.cuda.cudnn_sdp_enabled
    assert is_cudnn_allowed()
    inside = []

    def choose(_: int) -> None:
        with _without_cudnn():
            inside.append(is_cudnn_allowed())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(choose, range(200)))
    assert not any(inside)
    assert is_cudnn_allowed()


def test_a_device_keeps_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread has a current device of its own."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch, "zeros", lambda n, device: torch.ones(n))
    assert open_device("cuda", threads=None, forked=False) == torch.device("cuda:1")
    assert open_device("cuda:3", threads=None, forked=False) == torch.device("cuda:3")


# --- the dtype ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capability", "hip", "dtype"),
    [
        ((7, 5), None, "float16"),
        ((8, 0), None, "bfloat16"),
        ((9, 0), None, "bfloat16"),
        ((9, 0), "7.0", "bfloat16"),
    ],
)
def test_auto_is_bfloat16_on_gpus_that_compute_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], hip: str | None, dtype: str
) -> None:
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert backends.choose("torch", device="cuda:1").dtype == dtype
    assert backends.choose("torch", "float32", "cuda:1").dtype == "float32"


def test_float16_that_overflows_says_so(test_model: Path, checkpoint: Path) -> None:
    weights = load_file(test_model / "model.safetensors")
    # The next norm takes the factor out again, so that float32 computes it rightly.
    weights["encoder.layer.2.output.dense.weight"] *= 1e6
    (checkpoint / "model.safetensors").unlink()
    save_file(weights, checkpoint / "model.safetensors")
    encoder = MultiQAEncoder(checkpoint, backend="torch", device="cpu")
    assert np.isfinite(encoder.encode(["a text"])).all()
    half = MultiQAEncoder(checkpoint, backend="torch", dtype="bfloat16", device="cpu")
    half._runtime._compute = Compute("torch", "float16", "cpu", "refused on a processor")
    with pytest.raises(ModelError, match=r"beyond 65,504.*dtype='float32'"):
        half.encode(["a text"])


# --- on a GPU -------------------------------------------------------------------------------


class TestOnAGPU:
    pytestmark = needs_gpu

    @pytest.mark.parametrize(
        ("dtype", "least"), [("float32", 0.999999), ("float16", 0.99999), ("auto", 0.9995)]
    )
    def test_its_vectors_are_those_of_the_processor(
        self, test_model: Path, expected: Vectors, dtype: Any, least: float
    ) -> None:
        encoder = MultiQAEncoder(test_model, dtype=dtype)
        assert (encoder.compute.backend, encoder.compute.device) == ("torch", "cuda")
        vectors = encoder.encode(SENTENCES)
        assert (vectors * expected).sum(axis=1).min() >= least
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        alone = np.concatenate([encoder.encode([text]) for text in SENTENCES[:9]])
        assert (alone * expected[:9]).sum(axis=1).min() >= least

    def test_texts_of_every_length(self, test_model: Path) -> None:
        backend, processor = load(test_model, "cuda"), load(test_model)
        for length in (3, 8, 9, 31, 250, 509, 512):
            ids, mask = batch(3, length)
            mask[1, length // 2 :] = 0
            mask[2, 1:] = 0
            np.testing.assert_allclose(
                backend.embed(ids, mask), processor.embed(ids, mask), atol=1e-4
            )

    def test_many_threads(self, test_model: Path, expected: Vectors) -> None:
        encoder = MultiQAEncoder(test_model, dtype="float32")
        with ThreadPoolExecutor(16) as pool:
            for vectors in pool.map(encoder.encode, [SENTENCES] * 64):
                np.testing.assert_allclose(vectors, expected, atol=1e-4)

    def test_a_stream_of_many_windows(self, test_model: Path, expected: Vectors) -> None:
        encoder = MultiQAEncoder(test_model, dtype="float32")
        texts = SENTENCES * 200
        parts = list(encoder.encode_stream(iter(texts)))
        assert len(parts) > 5
        for vectors in (np.concatenate(parts), encoder.encode(texts)):
            np.testing.assert_allclose(vectors, np.tile(expected, (200, 1)), atol=1e-4)

    def test_a_full_device(self, test_model: Path) -> None:
        backend = load(test_model, "cuda")
        ids, mask = batch(2048, 256)
        whole = backend.embed(ids, mask)
        torch.cuda.empty_cache()
        total = torch.cuda.mem_get_info()[1]
        torch.cuda.set_per_process_memory_fraction(1.5e9 / total)
        try:
            in_parts = backend.embed(ids, mask)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        assert backend._room < ids.size
        np.testing.assert_allclose(in_parts, whole, atol=1e-4)
