from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from multiqa_integrations.errors import (
    ModelContractError,
    ModelIntegrityError,
    ModelNotFoundError,
)
from multiqa_integrations.model import MULTI_QA, ModelSpec
from tests.support.hub_server import checkpoint_files, write_files

POOLING = "1_Pooling/config.json"
SBERT = "sentence_bert_config.json"
ST = "config_sentence_transformers.json"


def write(directory: Path, changes: dict[str, Any] | None = None) -> Path:
    """Write a checkpoint; `changes` maps a file to its new JSON, to keys to merge, or to None."""
    files = checkpoint_files()
    for path, change in (changes or {}).items():
        if change is None:
            del files[path]
        elif isinstance(change, dict):
            files[path] = json.dumps({**json.loads(files.get(path, b"{}")), **change}).encode()
        elif isinstance(change, bytes):
            files[path] = change
        else:
            files[path] = json.dumps(change).encode()
    return write_files(directory, files)


def modules(*kinds: str, prefix: str = "sentence_transformers.models.") -> list[dict[str, Any]]:
    return [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": prefix + kind}
        for i, kind in enumerate(kinds)
    ]


def test_the_multi_qa_checkpoint_has_the_contract_of_multi_qa(tmp_path: Path) -> None:
    read = ModelSpec.from_directory(write(tmp_path), name=MULTI_QA.name, revision=MULTI_QA.revision)
    assert read == MULTI_QA


def test_the_sibling_differs_in_its_limit_only(test_model: Path) -> None:
    read = ModelSpec.from_directory(test_model)
    assert read == dataclasses.replace(
        MULTI_QA, name=str(test_model), revision=None, max_seq_length=256
    )


def test_the_layout_of_sentence_transformers_6(tmp_path: Path) -> None:
    prefix = "sentence_transformers."
    layout = {
        "modules.json": [
            {"path": "", "type": prefix + "base.modules.transformer.Transformer"},
            {"path": "1_Pooling", "type": prefix + "sentence_transformer.modules.pooling.Pooling"},
            {"path": "2_Normalize", "type": prefix + "base.modules.normalize.Normalize"},
        ],
        POOLING: b'{"embedding_dimension": 384, "pooling_mode": "mean", "include_prompt": true}',
        SBERT: b'{"transformer_task": "feature-extraction"}',
        "tokenizer_config.json": {"model_max_length": 250},
        ST: {"prompts": {"query": "q: ", "document": ""}, "default_prompt_name": None},
    }
    read = ModelSpec.from_directory(write(tmp_path, layout))
    assert read.max_seq_length == 250
    assert dict(read.prompts) == {"query": "q: "}
    assert read.default_prompt_name is None
    assert (read.pooling, read.normalize, read.dimension) == ("mean", True, 384)


def test_a_fine_tuned_checkpoint_may_have_other_sizes(tmp_path: Path) -> None:
    config = {"num_hidden_layers": 3, "vocab_size": 40000, "intermediate_size": 768}
    read = ModelSpec.from_directory(write(tmp_path, {"config.json": config}))
    assert (read.layers, read.vocabulary, read.intermediate) == (3, 40000, 768)


@pytest.mark.parametrize(
    ("sbert", "tokenizer", "expected"),
    [
        (128, 512, 128),  # its own setting goes first
        (None, 200, 200),
        (None, None, 512),
        (None, int(1e30), 512),  # what transformers writes for "unlimited"
        (4096, 512, 512),  # there are no more positions than that
        (True, 300, 300),  # true is no number
    ],
)
def test_the_limit(tmp_path: Path, sbert: Any, tokenizer: Any, expected: int) -> None:
    changes = {
        SBERT: {"max_seq_length": sbert},
        "tokenizer_config.json": {"model_max_length": tokenizer},
    }
    assert ModelSpec.from_directory(write(tmp_path, changes)).max_seq_length == expected


def test_optional_files_may_be_missing(tmp_path: Path) -> None:
    directory = write(tmp_path, {SBERT: None, ST: None, "tokenizer_config.json": None})
    read = ModelSpec.from_directory(directory)
    assert (read.max_seq_length, dict(read.prompts)) == (512, {})


@pytest.mark.parametrize(
    ("file", "change", "named"),
    [
        ("config.json", {"model_type": "roberta"}, "'roberta'"),
        ("config.json", {"model_type": None}, "model_type"),
        ("config.json", {"hidden_size": 768}, "768"),
        ("config.json", {"hidden_act": "gelu_new"}, "'gelu_new'"),
        ("config.json", {"position_embedding_type": "relative_key"}, "'relative_key'"),
        ("config.json", {"is_decoder": True}, "is_decoder"),
        ("config.json", {"num_attention_heads": 7}, "7"),
        ("config.json", {"num_attention_heads": 0}, "num_attention_heads"),
        ("config.json", {"num_hidden_layers": "six"}, "'six'"),
        ("config.json", {"vocab_size": True}, "vocab_size"),
        ("config.json", {"layer_norm_eps": None}, "layer_norm_eps"),
        ("config.json", {"layer_norm_eps": "tiny"}, "'tiny'"),
        (POOLING, {"word_embedding_dimension": 768}, "768"),
        (POOLING, {"word_embedding_dimension": None}, "None"),
        (POOLING, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        (POOLING, {"pooling_mode_cls_token": True}, "['cls', 'mean']"),
        (POOLING, {"pooling_mode_mean_tokens": False}, "[]"),
        (POOLING, {"pooling_mode": "lasttoken"}, "lasttoken"),
        (POOLING, {"pooling_mode": ["mean", "max"]}, "['mean', 'max']"),
        (POOLING, {"pooling_mode": 3}, "3"),
        (POOLING, {"include_prompt": False}, "include_prompt"),
        ("modules.json", modules("Transformer", "Pooling"), "['Transformer', 'Pooling']"),
        ("modules.json", modules("Transformer", "Pooling", "Dense", "Normalize"), "Dense"),
        ("modules.json", modules("CLIPModel"), "CLIPModel"),
        ("modules.json", modules(), "[]"),
        (
            "modules.json",
            modules("Transformer", "Pooling", "Normalize", prefix="code_in_the_repository."),
            "code_in_the_repository.Transformer",
        ),
        (
            "modules.json",
            [
                {**modules("Transformer")[0], "path": "0_Transformer"},
                *modules("Transformer", "Pooling", "Normalize")[1:],
            ],
            "0_Transformer",
        ),
    ],
)
def test_another_kind_of_checkpoint_is_refused(
    tmp_path: Path, file: str, change: Any, named: str
) -> None:
    directory = write(tmp_path, {file: change})
    with pytest.raises(ModelContractError) as caught:
        ModelSpec.from_directory(directory)
    message = str(caught.value)
    assert named in message
    assert str(directory) in message
    assert "needed is" in message


@pytest.mark.parametrize("file", ["config.json", "modules.json", POOLING])
def test_a_missing_file_is_named(tmp_path: Path, file: str) -> None:
    with pytest.raises(ModelNotFoundError, match=file):
        ModelSpec.from_directory(write(tmp_path, {file: None}))


@pytest.mark.parametrize("file", ["config.json", "modules.json", POOLING, SBERT, ST])
@pytest.mark.parametrize("content", [b"", b'{"hidden_size": 38', b"\xff\xfe", b'"text"', b"7"])
def test_a_damaged_file_is_named(tmp_path: Path, file: str, content: bytes) -> None:
    with pytest.raises(ModelIntegrityError, match=file):
        ModelSpec.from_directory(write(tmp_path, {file: content}))


@pytest.mark.parametrize(
    "value",
    [
        {"prompts": ["query"]},
        {"prompts": {"query": 3}},
        {"prompts": {"query": "q: "}, "default_prompt_name": "passage"},
        {"prompts": {"query": "q: "}, "default_prompt_name": ["query"]},
    ],
)
def test_senseless_prompts_are_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ModelIntegrityError, match="prompt"):
        ModelSpec.from_directory(write(tmp_path, {ST: value}))


@pytest.mark.parametrize(
    ("default", "expected"), [("query", "query"), ("document", None), (None, None)]
)
def test_an_empty_prompt_is_none(tmp_path: Path, default: Any, expected: str | None) -> None:
    settings = {"prompts": {"query": "q: ", "document": ""}, "default_prompt_name": default}
    read = ModelSpec.from_directory(write(tmp_path, {ST: settings}))
    assert dict(read.prompts) == {"query": "q: "}
    assert read.default_prompt_name == expected


def test_a_spec_is_a_value(tmp_path: Path) -> None:
    prompts = {"prompts": {"query": "q: "}, "default_prompt_name": "query"}
    read = ModelSpec.from_directory(write(tmp_path, {ST: prompts}))
    for again in (pickle.loads(pickle.dumps(read)), copy.deepcopy(read)):
        assert again == read
        assert hash(again) == hash(read)
        assert again.prompts["query"] == "q: "
    assert read != dataclasses.replace(read, prompts={})


def test_a_spec_cannot_be_changed(tmp_path: Path) -> None:
    read = pickle.loads(pickle.dumps(ModelSpec.from_directory(write(tmp_path))))
    with pytest.raises(dataclasses.FrozenInstanceError):
        read.dimension = 768
    with pytest.raises(TypeError):
        read.prompts["query"] = "q: "
