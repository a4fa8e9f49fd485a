from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multiqa_integrations import MultiQAEncoder, backends
from multiqa_integrations.backends import Compute, cpu
from multiqa_integrations.backends.base import Backend
from multiqa_integrations.backends.tensors import TOKEN_TYPES, read_tensors, tensor_shapes
from multiqa_integrations.checkpoint import resolve
from multiqa_integrations.errors import ConfigurationError, ModelIntegrityError, PerformanceWarning
from multiqa_integrations.model import MULTI_QA
from multiqa_integrations.weights import Weights
from tests.support.installed import BACKENDS, needs_torch


def load(directory: Path, compute: Compute, **settings: Any) -> Backend:
    checkpoint = resolve(directory)
    return backends.load(checkpoint, Weights(checkpoint.weights), compute, **settings)


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, test_model: Path) -> Backend:
    compute = backends.choose(request.param, "float32", "cpu")
    return load(test_model, compute, threads=None)


def test_vectors_are_the_callers_own(backend: Backend) -> None:
    ids = np.array([[101, 2129, 102], [101, 102, 0]], np.int64)
    mask = np.array([[1, 1, 1], [1, 1, 0]], np.int64)
    first = backend.embed(ids, mask)
    kept = first.copy()
    assert first.shape == (2, 384)
    assert first.dtype == np.float32
    second = backend.embed(ids[:1] * 0 + 101, mask[:1])
    np.testing.assert_array_equal(first, kept)  # no buffer is used again
    assert np.abs(second - first[:1]).max() > 1e-3
    first[:] = 0
    np.testing.assert_allclose(backend.embed(ids, mask), kept, atol=1e-6)


def test_padding_changes_nothing(backend: Backend) -> None:
    ids = np.array([[101, 2129, 2116, 102]], np.int64)
    alone = backend.embed(ids, np.ones_like(ids))
    padded = np.concatenate([ids, np.zeros((1, 60), np.int64)], axis=1)
    mask = (padded != 0).astype(np.int64)
    np.testing.assert_allclose(backend.embed(padded, mask), alone, atol=1e-5)
    # What stands under the padding does not matter either.
    padded[:, 4:] = 2000
    np.testing.assert_allclose(backend.embed(padded, mask), alone, atol=1e-5)


def test_a_backend_says_where_it_computes(backend: Backend) -> None:
    assert backend.parallelism >= 1
    assert backend.device == "cpu"


@pytest.mark.parametrize("name", BACKENDS)
def test_the_longest_text_fits_in_a_batch(name: Any) -> None:
    compute = backends.choose(name, "float32", "cpu")
    assert compute.batch_tokens >= MULTI_QA.max_positions
    assert compute.batch_texts >= 1


@pytest.mark.parametrize("one_batch", [False, True])
def test_no_thread_is_pinned(test_model: Path, one_batch: bool) -> None:
    """Each process would pin its own to the first processors."""
    compute = backends.choose("openvino", "float32", "cpu")
    backend: Any = load(test_model, compute, threads=1, one_batch=one_batch)
    assert backend._compiled.get_property("ENABLE_CPU_PINNING") is False


def test_one_batch_gets_all_threads(test_model: Path) -> None:
    compute = backends.choose("openvino", "float32", "cpu")
    backend = load(test_model, compute, threads=2, one_batch=True)
    many = load(test_model, compute, threads=2)
    assert (backend.parallelism, many.parallelism) == (1, 2)
    ids = np.array([[101, 2129, 2116, 102]], np.int64)
    np.testing.assert_allclose(
        backend.embed(ids, np.ones_like(ids)), many.embed(ids, np.ones_like(ids)), atol=1e-6
    )


# --- choosing -------------------------------------------------------------------------------


def test_auto_is_openvino_without_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_accelerator", lambda: None)
    chosen = backends.choose()
    assert (chosen.backend, chosen.device) == ("openvino", "cpu")
    assert chosen.dtype == ("bfloat16" if cpu.has_native_bfloat16() else "float32")
    assert "no accelerator" in chosen.reason


@needs_torch
@pytest.mark.parametrize(("device", "dtype"), [("cuda", "bfloat16"), ("mps", "float32")])
def test_auto_is_torch_with_an_accelerator(
    monkeypatch: pytest.MonkeyPatch, device: str, dtype: str
) -> None:
    monkeypatch.setattr(backends, "_accelerator", lambda: device)
    chosen = backends.choose()
    assert (chosen.backend, chosen.device) == ("torch", device)
    assert chosen.dtype == dtype
    assert device in chosen.reason
    # What was asked for goes first.
    assert backends.choose(dtype="int8").backend == "openvino"
    assert backends.choose(device="cpu").backend == "openvino"
    assert backends.choose("openvino").device == "cpu"
    names: list[Any] = ["torch", "sentence-transformers"]
    for name in names:
        assert backends.choose(name).device == device
        assert backends.choose(name, device="cpu").dtype == "float32"
    assert backends.choose(dtype="float16").dtype == "float16"


@pytest.mark.parametrize("visible", ["", "-1"])
def test_hidden_gpus_are_not_looked_for(monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert not backends._has_nvidia_gpu()


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_only_where_it_is_native(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.setattr(backends, "has_native_bfloat16", lambda: native)
    assert backends.choose("openvino").dtype == ("bfloat16" if native else "float32")
    if native:
        assert backends.choose("openvino", "bfloat16").dtype == "bfloat16"
    else:
        with pytest.raises(ConfigurationError, match="does not compute natively"):
            backends.choose("openvino", "bfloat16")


def test_the_precision_is_the_one_that_was_chosen(test_model: Path) -> None:
    # OpenVINO takes bfloat16 by itself where the processor has it: float32 must mean float32.
    encoder = MultiQAEncoder(test_model, backend="openvino", dtype="float32")
    compiled: Any = encoder.load()._runtime.backend
    precision = compiled._compiled.get_property("INFERENCE_PRECISION_HINT")
    assert "f32" in str(precision) or "float32" in str(precision)


# --- the processor --------------------------------------------------------------------------


def test_available_cpus_counts_some() -> None:
    assert cpu.available_cpus() >= 1


@pytest.mark.parametrize(
    ("content", "quota"),
    [("max 100000\n", None), ("200000 100000\n", 2.0), ("50000 100000\n", 0.5)],
)
def test_a_containers_quota_is_respected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, quota: float | None
) -> None:
    (tmp_path / "cpu.max").write_text(content, encoding="ascii")
    files = {"/sys/fs/cgroup/cpu.max": tmp_path / "cpu.max"}
    monkeypatch.setattr(cpu, "Path", lambda name: files.get(name, tmp_path / "missing"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    assert cpu._cgroup_quota() == quota
    assert cpu.available_cpus() == (16 if quota is None else max(1, round(quota)))


# --- the tensors ----------------------------------------------------------------------------


def test_the_tensors_are_those_of_the_file(test_model: Path) -> None:
    from safetensors import safe_open

    spec = resolve(test_model).spec
    found = read_tensors(Weights(test_model / "model.safetensors"), spec)
    assert {name: tensor.shape for name, tensor in found.items() if name != TOKEN_TYPES} == (
        tensor_shapes(spec)
    )
    with safe_open(test_model / "model.safetensors", framework="np") as tensors:
        unused = {"pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids"}
        assert set(tensors.keys()) - unused == set(found)
        for name, tensor in found.items():
            np.testing.assert_array_equal(tensor, tensors.get_tensor(name))


def test_specs_of_equal_checkpoints_are_equal(test_model: Path) -> None:
    spec = resolve(test_model).spec
    assert copy.deepcopy(spec) == spec


@pytest.mark.parametrize("dtype", ["F16", "F64"])
def test_weights_of_other_precisions(test_model: Path, checkpoint: Path, dtype: str) -> None:
    from safetensors.numpy import load_file, save_file

    weights = checkpoint / "model.safetensors"
    kind = {"F16": np.float16, "F64": np.float64}[dtype]
    tensors = {
        name: one.astype(kind) if one.dtype == np.float32 else one
        for name, one in load_file(weights).items()
    }
    weights.unlink()
    save_file(tensors, weights)
    texts = ["How is salt made?", "By the evaporation of sea water."]
    expected = MultiQAEncoder(test_model, backend="openvino", dtype="float32").encode(texts)
    vectors = MultiQAEncoder(checkpoint, backend="openvino", dtype="float32").encode(texts)
    assert np.abs(vectors - expected).max() < (1e-3 if dtype == "F16" else 1e-6)


def test_weights_that_numpy_does_not_have(checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    content = weights.read_bytes().replace(b'"dtype":"F32"', b'"dtype":"U32"')
    weights.unlink()
    weights.write_bytes(content)
    encoder = MultiQAEncoder(checkpoint, backend="openvino", dtype="float32")
    with pytest.raises(ModelIntegrityError, match="of type U32"):
        encoder.encode(["a"])


@pytest.mark.parametrize(
    ("features", "arithmetic", "fastest"),
    [
        ("avx2", "float32", "float32"),
        ("avx512f", "float32", "float32"),
        ("avx512f avx512_vnni", "int8", "int8"),
        ("avx2 avx_vnni", "int8", "int8"),
        ("avx512f avx512_vnni avx512_bf16", "int8", "int8"),
        ("avx512f avx512_vnni avx512_bf16 amx_bf16 amx_int8", "bfloat16", "bfloat16"),
    ],
)
def test_int8_computes_in_what_the_processor_is_fast_at(
    features: str, arithmetic: str, fastest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "cpu_features", lambda: frozenset(features.split()))
    assert cpu.arithmetic_of("int8") == arithmetic
    assert cpu.arithmetic_of("float32") == "float32"
    assert cpu.fastest_dtype() == fastest
    compute = backends.Compute("openvino", "int8", "cpu", "a test")
    if fastest == "int8":
        backends.warn_of_slowness(compute)  # a warning would be an error here
    else:
        with pytest.warns(PerformanceWarning, match=f"products are {arithmetic}.*{fastest!r}"):
            backends.warn_of_slowness(compute)
