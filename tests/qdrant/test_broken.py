"""Collections that the server cannot read, or of which it says that they are broken."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.cli import app
from multiqa_integrations.errors import CollectionWarning
from multiqa_integrations.qdrant import Collection, Store, open_store, retry
from multiqa_integrations.qdrant.failures import CollectionBrokenError
from multiqa_integrations.testing import FakeEncoder
from tests.support.loopback_qdrant import LoopbackQdrant

FAILED = "Service internal error: No space left"


@pytest.fixture
def store(loopback: LoopbackQdrant, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A server with the collections "sound", "unread" and "red"."""
    monkeypatch.setattr(retry, "_BROKEN_SECONDS", 0.2)
    with open_store(url=loopback.url) as opened:
        for name in ("sound", "unread", "red"):
            Collection.open(name, encoder=FakeEncoder(), store=opened).add(["one", "two"])
        loopback.faults.broken.add("unread")
        loopback.faults.red["red"] = FAILED
        yield opened


def test_a_collection_that_cannot_be_read_is_named_and_can_be_dropped(store: Store) -> None:
    for ask in (
        lambda: store.info("unread"),
        lambda: asyncio.run(store.ainfo("unread")),
        lambda: store.count("unread"),
        lambda: Collection.open("unread", encoder=FakeEncoder(), store=store),
    ):
        with pytest.raises(CollectionBrokenError, match="collection 'unread' is broken.*0 of 0"):
            ask()
    assert store.drop("unread")
    assert store.collections() == ["red", "sound"]


def test_which_are_broken(store: Store) -> None:
    broken = store.broken()
    assert broken == asyncio.run(store.abroken())
    assert broken.keys() == {"unread", "red"}
    assert broken["red"] == f"the collection 'red' is broken: its optimizer has failed: {FAILED}."
    assert "0 of 0 read operations failed" in broken["unread"]


def test_a_failed_optimizer_is_told_at_the_door_and_the_collection_used(store: Store) -> None:
    with pytest.warns(CollectionWarning, match=f"'red' is broken: its optimizer .*{FAILED}"):
        collection = Collection.open("red", encoder=FakeEncoder(), store=store)
    assert collection.count() == 2
    info = store.info("red")
    assert info is not None
    assert info.details["status"] == "red"


def test_a_collection_that_was_created_just_now_is_waited_for(
    store: Store, loopback: LoopbackQdrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_BROKEN_SECONDS", 60.0)
    threading.Timer(0.2, loopback.faults.broken.clear).start()
    assert store.count("unread") == 2


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_line_names_them(
    store: Store,
    loopback: LoopbackQdrant,
    encoder: MultiQAEncoder,
    test_model: Path,
    tmp_path: Path,
) -> None:
    Collection.open("fits", encoder=encoder, store=store)
    loopback.faults.red["fits"] = FAILED
    at = ("--url", loopback.url)
    listed = run("collection", "list", *at)
    assert listed.stdout.splitlines() == [
        "fits  (broken)",
        "red  (broken)",
        "sound",
        "unread  (broken)",
    ]
    assert "the collection 'unread' is broken" in " ".join(listed.stderr.split())
    assert json.loads(run("collection", "list", *at, "--json").stdout)["broken"] == store.broken()
    assert FAILED in run("collection", "info", "red", *at).stdout
    assert isinstance(run("collection", "info", "unread", *at).exception, CollectionBrokenError)
    assert run("collection", "check", "unread", *at, "-m", test_model).exit_code == 6
    with pytest.warns(CollectionWarning, match="'fits' is broken"):
        done = run("collection", "check", "fits", *at, "-m", test_model)
    assert done.exit_code == 6
    assert FAILED in done.stderr

    source = tmp_path / "rows.jsonl"
    source.write_text('{"id": 1, "text": "one"}\n', encoding="utf-8")
    where = (*at, "-m", test_model, "--dead-letter", tmp_path / "letters.jsonl")
    synced = run("sync", source, "-c", "unread", *where, "--json")
    assert synced.exit_code == 6
    assert "'unread' is broken" in json.loads(synced.stdout)["error"]
    with pytest.warns(CollectionWarning, match="'fits' is broken"):
        synced = run("sync", source, "-c", "fits", *where)
    assert synced.exit_code == 0

    dropped = run("collection", "drop", "unread", *at, "--yes", "--json")
    assert json.loads(dropped.stdout) == {"collection": "unread", "points": None, "aliases": []}
    assert "unread" not in store.collections()
