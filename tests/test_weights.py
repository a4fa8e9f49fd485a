"""One encoder, one set of weights: also while the file is replaced or written into."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.errors import ModelIntegrityError
from multiqa_integrations.weights import Weights, open_weights
from tests.support.installed import needs_torch

TEXTS = [f"a document about topic {number} and what it means" for number in range(70)]
BACKENDS = [
    "openvino",
    pytest.param("torch", marks=needs_torch),
    pytest.param("sentence-transformers", marks=[needs_torch, pytest.mark.slow]),
]
CALLS: dict[str, Callable[[MultiQAEncoder], Any]] = {
    "fingerprint": lambda encoder: encoder.fingerprint,
    "query": lambda encoder: encoder.encode_query(TEXTS[:1]),
    "documents": lambda encoder: encoder.encode_document(TEXTS),
}


@pytest.fixture(scope="module")
def other_weights(test_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the same sizes that give other vectors."""
    weights = load_file(test_model / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    weights[name] = weights[name][::-1].copy()
    file = tmp_path_factory.mktemp("other") / "model.safetensors"
    save_file(weights, file, metadata={"format": "pt"})
    return file


@pytest.fixture
def own(checkpoint: Path, test_model: Path) -> Path:
    """A checkpoint with a weights file of its own."""
    (checkpoint / "model.safetensors").unlink()
    shutil.copyfile(test_model / "model.safetensors", checkpoint / "model.safetensors")
    return checkpoint


def rename(source: Path, target: Path) -> None:
    shutil.copyfile(source, target.with_name("new"))
    target.with_name("new").replace(target)


def relink(source: Path, target: Path) -> None:
    target.unlink()
    target.symlink_to(source)


def write_into(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def same(value: Any, expected: Any) -> bool:
    if isinstance(value, str):
        return bool(value == expected)
    return np.allclose(value, expected, atol=1e-3)


@pytest.fixture(scope="module")
def expected(
    test_model: Path, other_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """What every call returns with the first weights, and with the others."""
    directory = tmp_path_factory.mktemp("expected") / "model"
    shutil.copytree(test_model, directory)
    values = []
    for source in (test_model / "model.safetensors", other_weights):
        rename(source, directory / "model.safetensors")
        encoder = MultiQAEncoder(directory, backend="openvino", dtype="float32")
        values.append({name: call(encoder) for name, call in CALLS.items()})
    assert not any(same(values[0][name], values[1][name]) for name in CALLS)
    return values


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "replace", "first"),
    [
        *product(["openvino"], [rename, relink, write_into], CALLS),
        pytest.param("torch", rename, "query", marks=needs_torch),
        pytest.param("torch", write_into, "documents", marks=needs_torch),
        pytest.param("sentence-transformers", rename, "query", marks=needs_torch),
        pytest.param("sentence-transformers", relink, "fingerprint", marks=needs_torch),
        pytest.param("sentence-transformers", write_into, "documents", marks=needs_torch),
    ],
)
def test_all_of_an_encoder_is_of_one_model(
    own: Path,
    other_weights: Path,
    expected: list[dict[str, Any]],
    first: str,
    replace: Callable[[Path, Path], None],
    backend: Any,
) -> None:
    """Whichever was asked for first: the others agree with it, or are refused."""
    encoder = MultiQAEncoder(own, backend=backend, dtype="float32")
    assert same(CALLS[first](encoder), expected[0][first])
    replace(other_weights, own / "model.safetensors")
    refused: dict[str, str] = {}
    for name, call in CALLS.items():
        try:
            value = call(encoder)
        except ModelIntegrityError as error:
            refused[name] = str(error)
        else:
            assert same(value, expected[0][name])
    assert first not in refused
    assert all("model.safetensors" in message for message in refused.values())
    if backend == "openvino" and replace is not write_into:
        assert not refused

    # What is made later, or unpickled, is of the new model.
    later = MultiQAEncoder(own, backend=backend, dtype="float32")
    for name, call in CALLS.items():
        assert same(call(later), expected[1][name])
    assert pickle.loads(pickle.dumps(encoder)).fingerprint == later.fingerprint


def test_truncating_the_file_ends_no_process(own: Path) -> None:
    script = (
        "import os, sys\n"
        "from multiqa_integrations import MultiQAEncoder\n"
        "from multiqa_integrations.errors import ModelIntegrityError\n"
        "encoder = MultiQAEncoder(sys.argv[1], backend='openvino')\n"
        "before = encoder.encode_query(['one'])\n"
        "os.truncate(sys.argv[1] + '/model.safetensors', 0)\n"
        "words = ' '.join(chr(97 + a) + chr(97 + b) for a in range(26) for b in range(26))\n"
        "encoder.encode_query([words, 'never seen before'])\n"
        "assert (encoder.encode_query(['one']) == before).all()\n"
        "try:\n"
        "    encoder.encode_document(['many'] * 500)\n"
        "except ModelIntegrityError:\n"
        "    print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(own)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


def test_a_file_that_stays_is_loaded_once(own: Path) -> None:
    encoder = MultiQAEncoder(own, dtype="float32")
    assert encoder.fingerprint
    (own / "model.safetensors").chmod(0o444)
    assert MultiQAEncoder(own, dtype="float32")._runtime is encoder._runtime


def test_models_of_one_file_share_its_tensors(own: Path) -> None:
    name = "embeddings.word_embeddings.weight"
    weights = open_weights(own / "model.safetensors")
    assert open_weights(own / "model.safetensors") is weights
    tensor = weights.read(name)
    assert weights.read(name) is tensor
    shutil.copyfile(own / "model.safetensors", own / "copy.safetensors")
    other = open_weights(own / "copy.safetensors")
    assert other is not weights
    assert other.sha256 == weights.sha256


def test_weights_written_into_are_neither_read_nor_digested(own: Path) -> None:
    weights = Weights(own / "model.safetensors")
    with (own / "model.safetensors").open("r+b") as stream:
        stream.seek(50_000_000)
        stream.write(bytes(4))
    with pytest.raises(ModelIntegrityError, match="written into"):
        _ = weights.sha256
    with pytest.raises(ModelIntegrityError, match="written into"):
        weights.read("embeddings.LayerNorm.bias")
    with pytest.raises(ModelIntegrityError, match="rename it to this name"):
        weights.check_current()
