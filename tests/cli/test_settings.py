"""Settings of new collections on the command line, and what is said of those of old ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from multiqa_integrations.cli import app
from multiqa_integrations.cli.settings import SettingsOptions
from multiqa_integrations.errors import CollectionWarning
from multiqa_integrations.etl import sync
from multiqa_integrations.langchain import MultiQAEmbeddings, MultiQAVectorStore
from multiqa_integrations.llama_index import MultiQAEmbedding, MultiQALlamaStore
from multiqa_integrations.qdrant import (
    Collection,
    CollectionSettings,
    EdgeStore,
    Point,
    copy,
    open_store,
)
from multiqa_integrations.testing import FakeEncoder


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_options_by_name_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"hnsw_config": {"m": 24}, "write_consistency_factor": 2}')
    options = SettingsOptions(
        shards=2, replicas=3, on_disk=True, quantization="int8", strict_mode=True, settings=file
    )
    assert options.made() == CollectionSettings(
        shard_number=2,
        replication_factor=3,
        write_consistency_factor=2,
        on_disk=True,
        hnsw_config={"m": 24},
        quantization_config={"scalar": {"type": "int8"}},
        strict_mode_config={"enabled": True},
    )
    assert SettingsOptions().made() == CollectionSettings()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "expected a file with JSON"),
        ('{"shards": 2}', "shards: a collection has no such settings"),
        ('{"shard_number": "2"}', "shard_number is '2', expected a whole number"),
        ('{"quantization_config": {}}', "quantization_config: given by an option and in"),
        (None, "expected a file with JSON"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, content: str | None, words: str) -> None:
    file = tmp_path / "settings.json"
    if content is not None:
        file.write_text(content)
    arguments = ("--path", tmp_path / "c", "--quantization", "int8", "--settings", file)
    done = run("collection", "create", "docs", *arguments)
    assert done.exit_code != 0
    assert words in f"{done.stderr} {done.exception}"
    assert not (tmp_path / "c").exists()


def test_each_command_that_creates_takes_them(test_model: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1, "text": "one"}')
    path, model = ("--path", tmp_path / "c"), ("-m", test_model)
    kept = ("--quantization", "binary")
    assert run("collection", "create", "a", *path, *model, *kept).exit_code == 0
    to_b = ("-c", "b", "--dead-letter", tmp_path / "letters")
    assert run("sync", tmp_path / "rows.jsonl", *to_b, *path, *model, *kept).exit_code == 0
    ends = ("--from-path", tmp_path / "c", "--to-path", tmp_path / "c")
    assert run("copy", "a", *ends, "--to-name", "d").exit_code == 0
    assert run("copy", "a", *ends, "--to-name", "e", "--quantization", "none").exit_code == 0
    with EdgeStore(tmp_path / "c") as store:
        infos = {name: store.info(name) for name in store.collections()}
    found = {name: info.settings.quantization_config for name, info in infos.items()}  # type: ignore[union-attr]
    binary: dict[str, Any] = {"binary": {}}
    assert found == {"a": binary, "b": binary, "d": binary, "e": None}
    shown = run("collection", "info", "b", *path).stdout
    assert 'Quantization      {"binary": {}}' in shown


def test_python_and_adapters_take_them(test_model: Path, tmp_path: Path) -> None:
    settings = CollectionSettings(quantization_config={"binary": {}})
    fake = FakeEncoder()
    llama = MultiQAEmbedding(model_name=str(test_model))
    with EdgeStore(tmp_path) as store:
        Collection.open("a", encoder=fake, store=store, settings=settings)
        MultiQAVectorStore(MultiQAEmbeddings(encoder=fake), "b", store=store, settings=settings)
        opened = MultiQALlamaStore("c", embedding=llama, store=store, settings=settings)
        json.dumps(opened.create_options)
        sync([{"id": 1, "text": "x"}], "d", encoder=fake, store=store, settings=settings)
        copy(store, store, "a", to="e")
        for name in "abcde":
            info = store.info(name)
            assert info is not None
            assert info.settings is not None
            assert info.settings.quantization_config == {"binary": {}}, name
        other = CollectionSettings(quantization_config={})
        with pytest.warns(CollectionWarning, match="{} was asked for, it has {'binary'"):
            sync([{"id": 1, "text": "x"}], "d", encoder=fake, store=store, settings=other)


def test_a_check_counts_points_of_other_models(test_model: Path, tmp_path: Path) -> None:
    path, model = ("--path", tmp_path), ("-m", test_model)
    assert run("collection", "create", "docs", *path, *model).exit_code == 0
    with open_store(path=tmp_path) as store:
        vector = FakeEncoder().encode(["x"])[0]
        store.upsert("docs", [Point(1, {"": vector}, {"_multiqa": {"fingerprint": "another"}})])
        store.upsert("docs", [Point(2, {"": vector}, {"_multiqa": {}})])
    done = run("collection", "check", "docs", *path, *model)
    assert done.exit_code == 4
    message = " ".join(done.stderr.split())
    assert "docs has 1 point of other models" in message
    assert "1 of another. Encode them again" in message
    with open_store(path=tmp_path) as store:
        store.delete("docs", ids=[1])
    done = run("collection", "check", "docs", *path, *model, "--json")
    assert json.loads(done.stdout)["of_no_model"] == 1
