"""What users give by mistake: each is refused by name, or has a defined result."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.errors import (
    ConfigurationError,
    ModelContractError,
    ModelError,
    ModelIntegrityError,
    ModelNotFoundError,
    TextError,
    TextTypeError,
)
from tests.support.checkpoints import Change
from tests.support.installed import BACKENDS, needs_torch

WORD = "embeddings.word_embeddings.weight"


def of(directory: Path, backend: str = "openvino") -> MultiQAEncoder:
    name: Any = backend
    return MultiQAEncoder(directory, backend=name, dtype="float32", device="cpu")


# --- texts ----------------------------------------------------------------------------------


@pytest.fixture(params=["encode", "encode_query", "encode_document", "count_tokens"])
def call(request: pytest.FixtureRequest, encoder: MultiQAEncoder) -> Callable[[Any], Any]:
    method: Callable[[Any], Any] = getattr(encoder, request.param)
    return method


@pytest.mark.parametrize(
    "texts",
    [
        "a bare string",
        None,
        b"bytes",
        3,
        1.5,
        float("nan"),
        (text for text in ["a"]),
        {"a": "b"},
        np.array([["a", "b"]]),
        np.array("a"),
    ],
    ids=lambda texts: type(texts).__name__,
)
def test_no_list_of_texts(call: Callable[[Any], Any], texts: Any) -> None:
    with pytest.raises(TextError) as caught:
        call(texts)
    assert caught.value.index is None


@pytest.mark.parametrize("item", [None, b"x", 3, float("nan"), ["nested"], ("a",), np.float32(1)])
def test_a_list_with_something_else_in_it(call: Callable[[Any], Any], item: Any) -> None:
    with pytest.raises(TextTypeError, match="text 1 is") as caught:
        call(["a", item, "c"])
    assert caught.value.index == 1


def test_an_array_of_numbers(encoder: MultiQAEncoder) -> None:
    numbers: Any = np.arange(3)
    with pytest.raises(TextTypeError, match="text 0 is int 0"):
        encoder.encode(numbers)


def test_bad_texts_are_found_before_anything_is_loaded(tmp_path: Path) -> None:
    texts: Any = ["a", None]
    with pytest.raises(TextTypeError):
        of(tmp_path / "no checkpoint").encode(texts)


def test_lone_surrogates_are_repaired(encoder: MultiQAEncoder) -> None:
    broken = encoder.encode(["a \ud83d b", "\ude00", "\ud83d\ude00"])
    repaired = encoder.encode(["a \ufffd b", "\ufffd", "\U0001f600"])
    np.testing.assert_allclose(broken, repaired, atol=1e-6)
    assert encoder.count_tokens(["a \ud83d b"]) == encoder.count_tokens(["a \ufffd b"])
    stream = encoder.encode_stream(["a \ud83d b"])
    np.testing.assert_allclose(next(stream), repaired[:1], atol=1e-6)


def test_control_characters_are_ignored(encoder: MultiQAEncoder) -> None:
    found = encoder.encode(["ab", "a\x00b", "a\x1b\x7fb", "\ufeffab", "a\u200bb"])
    np.testing.assert_allclose(found, found[:1].repeat(5, axis=0), atol=1e-6)


@pytest.mark.slow
def test_ten_megabytes(test_model: Path) -> None:
    words = "the city of london has nine million people and a very long river".split()
    text = " ".join(words[(i * i) % len(words)] for i in range(2_400_000))
    assert len(text) > 10_000_000
    quiet = MultiQAEncoder(
        test_model,
        max_seq_length=512,
        backend="openvino",
        dtype="float32",
        on_truncation="ignore",
    )
    first = " ".join(text[:10_000].split()[:510])
    assert quiet.count_tokens([first]).tolist() == [512]
    np.testing.assert_allclose(quiet.encode([text]), quiet.encode([first]), atol=1e-6)


def test_a_megabyte_without_a_break(encoder: MultiQAEncoder) -> None:
    found = encoder.encode(["x" * 1_000_000, "x" * 101])  # one unknown word each
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


# --- settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dtype": "float64"}, "dtype is 'float64', expected one of auto, float32"),
        ({"dtype": None}, "dtype is None"),
        ({"backend": "onnx"}, "backend is 'onnx', expected 'auto', 'openvino'"),
        ({"backend": 1}, "backend is 1"),
        ({"device": ""}, "device is ''"),
        ({"device": 0}, "device is 0"),
        ({"backend": "openvino", "device": "cuda"}, "'openvino' computes on the CPU"),
        ({"backend": "openvino", "device": "nonsense"}, "'openvino' computes on the CPU"),
        ({"backend": "openvino", "dtype": "float16"}, "does not compute in float16"),
        ({"backend": "torch", "dtype": "int8"}, "does not compute in int8"),
        ({"backend": "sentence-transformers", "dtype": "int8"}, "does not compute in int8"),
        ({"dtype": "int8", "device": "cuda"}, "int8 is computed on the CPU only"),
        ({"dtype": "float16", "device": "cpu"}, "float16 is computed on accelerators only"),
        ({"max_seq_length": float("nan")}, "max_seq_length is nan"),
        ({"batch_tokens": 0}, "batch_tokens is 0, expected a whole number, 1 or more"),
        ({"batch_tokens": float("nan")}, "batch_tokens is nan"),
        ({"batch_tokens": True}, "batch_tokens is True"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": 1.5}, "threads is 1.5"),
        ({"threads": float("nan")}, "threads is nan"),
        ({"on_truncation": "raise"}, "on_truncation is 'raise', expected 'warn', 'error'"),
        ({"on_truncation": None}, "on_truncation is None"),
        ({"local_files_only": 1}, "local_files_only is 1"),
        ({"revision": ""}, "revision is ''"),
        ({"revision": 3}, "revision is 3"),
        ({"cache_folder": 5}, "cache_folder is 5"),
        ({"cache_folder": b"x"}, "cache_folder is b'x'"),
        ({"model": ""}, "model is ''"),
        ({"model": b"bytes"}, "model is b'bytes'"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        MultiQAEncoder(**settings)


def test_settings_go_by_name_alone(test_model: Path) -> None:
    positional: Any = MultiQAEncoder
    with pytest.raises(TypeError, match="positional"):
        positional(test_model, "main")
    with pytest.raises(TypeError, match="unknown_setting"):
        positional(test_model, unknown_setting=1)


def test_a_revision_of_a_directory(test_model: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no revisions"):
        MultiQAEncoder(test_model, revision="main").encode(["a"])


@pytest.mark.slow
@needs_torch
@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps", "nonsense", "meta", "cpu:x"])
def test_a_device_that_is_not_here(test_model: Path, device: str) -> None:
    import torch

    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(
        ConfigurationError, match=f"cannot use the device '{device}' here"
    ) as caught:
        MultiQAEncoder(test_model, device=device).encode(["a"])
    assert "device='cpu'" in str(caught.value)


@needs_torch
def test_float16_without_an_accelerator(test_model: Path) -> None:
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has a GPU")
    for backend in ("auto", "torch", "sentence-transformers"):
        name: Any = backend
        with pytest.raises(ConfigurationError, match="none can be used here"):
            MultiQAEncoder(test_model, backend=name, dtype="float16").encode(["a"])


def test_a_backend_that_is_not_installed(test_model: Path) -> None:
    script = f"""
import sys
sys.modules["sentence_transformers"] = None  # as if it were not installed
from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.errors import MissingDependencyError
encoder = MultiQAEncoder({str(test_model)!r}, backend="sentence-transformers")
try:
    encoder.encode(["a"])
except MissingDependencyError as error:
    assert isinstance(error, ImportError)
    assert (error.package, error.extra) == ("sentence_transformers", "torch")
    print(error)
assert "torch" not in sys.modules
assert MultiQAEncoder({str(test_model)!r}).compute.backend == "openvino"  # "auto" does without
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "pip install 'multiqa-integrations[torch]'" in done.stdout


# --- checkpoints ----------------------------------------------------------------------------


def change_weights(checkpoint: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = checkpoint / "model.safetensors"
    weights = load_file(file)
    change(weights)
    file.unlink()
    save_file(weights, file)


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        of(tmp_path / "nothing").encode(["a"])
    with pytest.raises(ModelNotFoundError):
        of(tmp_path).encode(["a"])


def test_no_weights(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match=r"model\.safetensors"):
        of(checkpoint).encode(["a"])


@pytest.mark.parametrize("kept", [0, 4, 5000, 50_000_000])
def test_truncated_weights(test_model: Path, checkpoint: Path, kept: int) -> None:
    file = checkpoint / "model.safetensors"
    file.unlink()
    with (test_model / "model.safetensors").open("rb") as stream:
        file.write_bytes(stream.read(kept))
    with pytest.raises(ModelIntegrityError, match="damaged"):
        of(checkpoint).encode(["a"])


def test_weights_that_are_something_else(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "model.safetensors").write_bytes(b"<html>404</html>" * 100)
    with pytest.raises(ModelIntegrityError):
        of(checkpoint).encode(["a"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_missing_tensor(checkpoint: Path, backend: str) -> None:
    change_weights(checkpoint, lambda w: w.pop("encoder.layer.3.attention.self.key.weight"))
    with pytest.raises(ModelContractError, match=r"lacks 1 tensors.*layer\.3"):
        of(checkpoint, backend).encode(["a"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tensor_of_another_shape(checkpoint: Path, backend: str) -> None:
    change_weights(checkpoint, lambda w: w.update({WORD: w[WORD][:30000]}))
    with pytest.raises(ModelContractError, match=r"shape \(30000, 384\).*\(30522, 384\)"):
        of(checkpoint, backend).encode(["a"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_more_layers_than_the_weights_have(checkpoint: Path, change: Change, backend: str) -> None:
    change("config.json", {"num_hidden_layers": 12})
    with pytest.raises(ModelContractError, match="12 layers"):
        of(checkpoint, backend).encode(["a"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_float16_weights(encoder: MultiQAEncoder, checkpoint: Path, backend: str) -> None:
    texts = ["How many people live in London?", "Around 9 million people live in London"]
    change_weights(
        checkpoint,
        lambda w: w.update({n: t.astype(np.float16) for n, t in w.items() if t.dtype.kind == "f"}),
    )
    half = of(checkpoint, backend)
    found = half.encode(texts)
    assert found.dtype == np.float32
    assert (found * encoder.encode(texts)).sum(1).min() > 0.9999
    assert half.fingerprint != encoder.fingerprint


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_saved_with_a_head(encoder: MultiQAEncoder, checkpoint: Path, backend: str) -> None:
    def add_prefix(weights: dict[str, Any]) -> None:
        for name in list(weights):
            weights[f"bert.{name}"] = weights.pop(name)

    change_weights(checkpoint, add_prefix)
    found = of(checkpoint, backend).encode(["a question"])
    np.testing.assert_allclose(found, encoder.encode(["a question"]), atol=1e-4)


def test_no_tokenizer(checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"tokenizer\.json"):
        of(checkpoint).encode(["a"])


def test_a_broken_tokenizer(checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelIntegrityError, match="cannot be read as JSON"):
        of(checkpoint).encode(["a"])


def test_a_vocabulary_of_another_size(checkpoint: Path, change: Change) -> None:
    change("config.json", {"vocab_size": 28996})
    with pytest.raises(ModelContractError, match="30,522 word pieces, the model has 28,996"):
        of(checkpoint).encode(["a"])


def test_another_architecture(checkpoint: Path, change: Change) -> None:
    change("config.json", {"model_type": "roberta"})
    with pytest.raises(ModelContractError, match="'roberta'"):
        of(checkpoint).encode(["a"])


def test_a_limit_beyond_the_checkpoints_positions(checkpoint: Path, change: Change) -> None:
    change("config.json", {"max_position_embeddings": 128})
    encoder = MultiQAEncoder(checkpoint, max_seq_length=512)
    with pytest.raises(ConfigurationError, match="at most 128 word pieces"):
        encoder.encode(["a"])


def test_every_checkpoint_error_is_a_model_error() -> None:
    for kind in (ModelNotFoundError, ModelContractError, ModelIntegrityError):
        assert issubclass(kind, ModelError)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_checkpoint_with_few_positions(
    encoder: MultiQAEncoder, checkpoint: Path, change: Change, backend: str
) -> None:
    # Batches are padded to round lengths: not beyond the last position.
    change("config.json", {"max_position_embeddings": 99})
    change("sentence_bert_config.json", {"max_seq_length": 99})
    positions = "embeddings.position_embeddings.weight"

    def cut(weights: dict[str, Any]) -> None:
        weights[positions] = weights[positions][:99].copy()
        weights.pop("embeddings.position_ids", None)

    change_weights(checkpoint, cut)
    texts = ["word " * 97, "word " * 95, "a"]
    found = of(checkpoint, backend).encode(texts)
    np.testing.assert_allclose(found, encoder.encode(texts), atol=1e-4)
