"""A checkpoint from anywhere: nothing in it may cost more than a look at it.

Each is refused by a `ModelError` that names the file, in a process that may take 2 GB.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.errors import ModelContractError, ModelError, ModelIntegrityError
from multiqa_integrations.tokenizer import WordPieceTokenizer
from tests.support.checkpoints import copy_of
from tests.support.installed import needs_torch

USE = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.errors import ModelError
for directory in sys.argv[1:]:
    begin, kind, message = time.process_time(), None, None
    try:
        encoder = MultiQAEncoder(directory, backend="openvino", threads=1)
        encoder.fingerprint
        encoder.encode(["a" * 5_000 + "!" * 5_000])
    except ModelError as error:
        kind, message = type(error).__name__, str(error)
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
    seconds = time.process_time() - begin
    print(json.dumps([kind, message, seconds]), flush=True)
"""
Spoil = Callable[[Path], None]


def set_json(file: str, *keys: Any, value: Any) -> Spoil:
    """Set one value of a JSON file; "+" as the last key appends to a list."""

    def spoil(checkpoint: Path) -> None:
        content = json.loads((checkpoint / file).read_text(encoding="utf-8"))
        inner = content
        for key in keys[:-1]:
            inner = inner[key]
        if keys[-1] == "+":
            inner.append(value)
        else:
            inner[keys[-1]] = value
        (checkpoint / file).write_text(json.dumps(content), encoding="utf-8")

    return spoil


def write(file: str, content: bytes) -> Spoil:
    def spoil(checkpoint: Path) -> None:
        (checkpoint / file).unlink()  # the weights are a link
        (checkpoint / file).write_bytes(content)

    return spoil


def sparse(file: str, size: int, head: bytes = b"") -> Spoil:
    """Let a file seem huge; it takes no room on the disk."""

    def spoil(checkpoint: Path) -> None:
        write(file, head)(checkpoint)
        os.truncate(checkpoint / file, size)

    return spoil


def pipe(file: str) -> Spoil:
    def spoil(checkpoint: Path) -> None:
        (checkpoint / file).unlink()
        os.mkfifo(checkpoint / file)

    return spoil


def header(entries: Any) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


BOMB = {
    "type": "Split",
    "pattern": {"Regex": "(a*)*(a*)*b"},
    "behavior": "Isolated",
    "invert": False,
}
REPLACE = {"type": "Replace", "pattern": {"Regex": "(a*)*(a*)*b"}, "content": ""}
DEEP = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
EMPTY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}

HOSTILE: dict[str, tuple[Spoil, str]] = {
    "a billion layers": (set_json("config.json", "num_hidden_layers", value=10**9), "1000000000"),
    "a number of 4,000 digits": (
        set_json("config.json", "num_hidden_layers", value=10**4_000),
        "num_hidden_layers in config.json",
    ),
    "a wide layer": (set_json("config.json", "intermediate_size", value=2**40), "1099511627776"),
    "a large vocabulary": (set_json("config.json", "vocab_size", value=2**33), "8589934592"),
    "many positions": (
        set_json("config.json", "max_position_embeddings", value=2**33),
        "max_position_embeddings in config.json",
    ),
    "no position for a word": (
        set_json("config.json", "max_position_embeddings", value=2),
        "a whole number from 3 to",
    ),
    "many ids around a text": (
        set_json(
            "tokenizer.json",
            *("post_processor", "special_tokens", "[CLS]"),
            value={"id": "[CLS]", "ids": [101] * 50_000, "tokens": ["[CLS]"] * 50_000},
        ),
        "encodes an empty text as",
    ),
    "many heads": (set_json("config.json", "num_attention_heads", value=10**9), "config.json"),
    "config.json, deep": (write("config.json", DEEP), "config.json"),
    "modules.json, deep": (write("modules.json", DEEP), "modules.json"),
    "pooling, deep": (write("1_Pooling/config.json", DEEP), "1_Pooling/config.json"),
    "limits, deep": (write("sentence_bert_config.json", DEEP), "sentence_bert_config.json"),
    "prompts, deep": (
        write("config_sentence_transformers.json", DEEP),
        "config_sentence_transformers.json",
    ),
    "tokenizer.json, deep": (write("tokenizer.json", DEEP), "tokenizer.json"),
    "weights, deep": (
        write("model.safetensors", struct.pack("<Q", len(DEEP)) + DEEP),
        "model.safetensors",
    ),
    "config.json of 8 GB": (sparse("config.json", 8 << 30), "config.json"),
    "tokenizer.json of 8 GB": (sparse("tokenizer.json", 8 << 30), "tokenizer.json"),
    "weights of 8 GB": (sparse("model.safetensors", 8 << 30), "model.safetensors"),
    "a header of 400 MB": (
        sparse("model.safetensors", 500 << 20, struct.pack("<Q", 400 << 20)),
        "model.safetensors",
    ),
    "many tensors": (
        write("model.safetensors", header({f"a{number}": EMPTY for number in range(100_000)})),
        "model.safetensors",
    ),
    "a tensor larger than the file": (
        write(
            "model.safetensors", header({"a": {**EMPTY, "shape": [2**60], "data_offsets": [0, 4]}})
        ),
        "model.safetensors",
    ),
    "a shape that does not fit": (
        write("model.safetensors", header({"a": {**EMPTY, "shape": [10**300, 10**300]}})),
        "model.safetensors",
    ),
    "a pipe for weights": (pipe("model.safetensors"), "model.safetensors"),
    "a pipe for settings": (pipe("sentence_bert_config.json"), "sentence_bert_config.json"),
    "a pipe for a tokenizer": (pipe("tokenizer.json"), "tokenizer.json"),
    "an id beyond the vocabulary": (
        set_json("tokenizer.json", "model", "vocab", "zebra", value=4_000_000_000),
        "tokenizer.json",
    ),
    "the next id": (set_json("tokenizer.json", "model", "vocab", "zebra", value=30_522), "30,522"),
    "a negative id": (set_json("tokenizer.json", "model", "vocab", "zebra", value=-1), "tokenizer"),
    "an added token beyond the vocabulary": (
        set_json(
            "tokenizer.json",
            "added_tokens",
            "+",
            value={
                "id": 99_999_999,
                "content": "!!",
                "special": False,
                "normalized": False,
                **dict.fromkeys(("single_word", "lstrip", "rstrip"), False),
            },
        ),
        "tokenizer.json",
    ),
    "a special token beyond the vocabulary": (
        set_json(
            "tokenizer.json",
            *("post_processor", "special_tokens", "[CLS]"),
            value={"id": "[CLS]", "ids": [4_000_000], "tokens": ["[CLS]"]},
        ),
        "tokenizer.json",
    ),
    "a regex bomb": (set_json("tokenizer.json", "pre_tokenizer", value=BOMB), "BertPreTokenizer"),
    "a regex bomb inside": (
        set_json(
            "tokenizer.json",
            "pre_tokenizer",
            value={"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}, BOMB]},
        ),
        "BertPreTokenizer",
    ),
    "fewer layers than the weights have": (
        set_json("config.json", "num_hidden_layers", value=3),
        "more than the 3 layers",
    ),
    "a regex bomb before": (
        set_json("tokenizer.json", "normalizer", value=REPLACE),
        "BertNormalizer",
    ),
    "a regex bomb after": (set_json("tokenizer.json", "decoder", value=REPLACE), "decoder"),
    "endless words": (
        set_json("tokenizer.json", "model", "max_input_chars_per_word", value=10**9),
        "max_input_chars_per_word",
    ),
    "another model of tokens": (
        set_json("tokenizer.json", "model", "type", value="BPE"),
        "tokenizer.json",
    ),
    "no unknown token": (
        set_json("tokenizer.json", "model", "unk_token", value="[NIX]"),
        "unk_token",
    ),
    **{
        f"a module in {path!r}": (
            set_json("modules.json", module, "path", value=path),
            "modules.json",
        )
        for module, path in (
            *(
                (1, path)
                for path in (
                    "..",
                    "../../etc",
                    "/etc",
                    "a/../../b",
                    "C:\\x",
                    ".",
                    "nul\0",
                    "a" * 5_000,
                )
            ),
            (2, "../../etc"),
            (2, ["1_Pooling"]),
        )
    },
}


@pytest.fixture(scope="module")
def answers(test_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What a process with 2 GB of memory says to each: kind of error, message, seconds."""
    if sys.platform == "win32":
        pytest.skip("it has neither pipes nor limits of this kind")
    folder = tmp_path_factory.mktemp("hostile")
    directories = []
    for number, (spoil, _) in enumerate(HOSTILE.values()):
        directories.append(copy_of(test_model, folder / f"checkpoint-{number}"))
        spoil(directories[-1])
    done = subprocess.run(
        [sys.executable, "-c", USE, *map(str, directories)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = map(json.loads, done.stdout.splitlines())
    return dict(zip(HOSTILE, lines, strict=True))


@pytest.mark.parametrize("name", list(HOSTILE))
def test_it_is_refused_at_once(answers: dict[str, list[Any]], name: str) -> None:
    kind, message, seconds = answers[name]
    assert kind is not None, message or "it was accepted"
    assert HOSTILE[name][1] in message
    assert len(message) < 2_000
    assert seconds < 1  # of processor time: waiting for a busy machine does not count


def altered(checkpoint: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    tensors = load_file(checkpoint / "model.safetensors")
    change(tensors)
    (checkpoint / "model.safetensors").unlink()
    save_file(tensors, checkpoint / "model.safetensors")
    return checkpoint


def embed_one(checkpoint: Path, backend: Any = "openvino") -> None:
    MultiQAEncoder(checkpoint, backend=backend, dtype="float32").encode(["How is salt made?"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "name", ["embeddings.word_embeddings.weight", "encoder.layer.3.output.dense.bias"]
)
def test_weights_that_are_no_numbers(checkpoint: Path, name: str, value: float) -> None:
    def change(tensors: dict[str, Any]) -> None:
        tensors[name].flat[-1] = value  # of a word that the text does not have

    with pytest.raises(ModelIntegrityError, match=f"{name} in .* holds NaN or infinity"):
        embed_one(altered(checkpoint, change))


def test_weights_that_are_no_numbers_in_float32(checkpoint: Path) -> None:
    def change(tensors: dict[str, Any]) -> None:
        tensors["embeddings.LayerNorm.bias"] = np.full(384, 1e300)

    with pytest.raises(ModelIntegrityError, match="embeddings.LayerNorm.bias in .* infinity"):
        embed_one(altered(checkpoint, change))


@pytest.mark.parametrize("scale", [0, 1e38])
def test_weights_that_give_vectors_without_a_direction(checkpoint: Path, scale: float) -> None:
    def change(tensors: dict[str, Any]) -> None:
        for name, tensor in tensors.items():
            if tensor.dtype == np.float32:
                tensors[name] = np.full_like(tensor, scale)

    with pytest.raises(ModelIntegrityError, match="computed a vector of length"):
        embed_one(altered(checkpoint, change))


@needs_torch
@pytest.mark.slow
def test_sentence_transformers_is_not_asked_for_weights_that_are_no_numbers(
    checkpoint: Path,
) -> None:
    def change(tensors: dict[str, Any]) -> None:
        tensors["embeddings.LayerNorm.bias"][0] = np.nan

    with pytest.raises(ModelIntegrityError, match="holds NaN"):
        embed_one(altered(checkpoint, change), "sentence-transformers")


def test_what_is_checked_is_what_is_loaded(test_model: Path, tmp_path: Path) -> None:
    """A key that stands twice in a JSON file may be read either way."""
    content = (test_model / "tokenizer.json").read_text(encoding="utf-8").rstrip()
    file = tmp_path / "tokenizer.json"
    file.write_text('{"pre_tokenizer": ' + json.dumps(BOMB) + "," + content[1:], encoding="utf-8")
    assert WordPieceTokenizer(file).count(["a" * 50]).tolist() == (
        WordPieceTokenizer(test_model / "tokenizer.json").count(["a" * 50]).tolist()
    )
    file.write_text(content[:-1] + ', "pre_tokenizer": ' + json.dumps(BOMB) + "}", encoding="utf-8")
    with pytest.raises(ModelContractError, match="BertPreTokenizer"):
        WordPieceTokenizer(file)


def test_a_folder_that_is_a_link_is_no_way_out(checkpoint: Path, tmp_path: Path) -> None:
    """The hub's cache is made of links: they are followed, but only to files that fit."""
    shutil.move(checkpoint / "1_Pooling", tmp_path / "elsewhere")
    (checkpoint / "1_Pooling").symlink_to(tmp_path / "elsewhere")
    assert MultiQAEncoder(checkpoint).spec.pooling == "mean"
    (tmp_path / "elsewhere" / "config.json").unlink()
    (tmp_path / "elsewhere" / "config.json").symlink_to("/dev/zero")
    with pytest.raises(ModelError, match="1_Pooling/config.json"):
        _ = MultiQAEncoder(checkpoint, dtype="float32").spec
