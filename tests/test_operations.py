"""The operator's book: every command in it runs, and what it gives to schedulers fits them."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("typer")

import typer.main
from typer.testing import CliRunner

from multiqa_integrations import etl
from multiqa_integrations.cli import app, jobs
from multiqa_integrations.cli.options import EncoderOptions, ModelOptions
from multiqa_integrations.errors import (
    LeaseError,
    ModelError,
    MultiQAError,
    StoreUnavailableError,
)
from multiqa_integrations.model import MULTI_QA
from multiqa_integrations.qdrant import Collection, open_store
from multiqa_integrations.qdrant.server import store as server_store
from multiqa_integrations.testing import FakeEncoder
from tests.support.loopback_qdrant import LoopbackQdrant

DOCS = Path(__file__).parent.parent / "docs"
BOOK = sorted((DOCS / "operations").glob("*.md"))
PAGES = [page for page in BOOK if "multiqa " in page.read_text(encoding="utf-8")]
ROWS = [{"id": 1, "text": "The red button stops it."}, {"id": 2, "text": "Oil it yearly."}]

FLOCK = shutil.which("flock")

# These need a certificate, a path of a proxy's, a network or the real model.
ONLY_PARSED = ("--ca", "/vectors", "cloud.qdrant.io", "doctor")


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of each command of ours on a page, in their order."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("multiqa "):
                words = shlex.split(line.replace("$URL", "http://localhost:6333"), comments=True)
                yield words[1 : words.index(">") if ">" in words else None]


class Fake(FakeEncoder):
    """Stands for a model: each name has weights of its own."""

    spec = MULTI_QA


def fake(options: ModelOptions) -> Fake:
    return Fake(seed=0 if options.model is None else 1)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the book names, where models cost nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(EncoderOptions, "encoder", lambda self, **_: fake(self))
    monkeypatch.setattr(
        ModelOptions,
        "checkpoint",
        lambda self: SimpleNamespace(spec=MULTI_QA, fingerprint=fake(self).fingerprint),
    )
    monkeypatch.setattr(server_store, "_LOOK_SECONDS", 0.0)
    (tmp_path / "articles.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8"
    )
    settings = {"hnsw_config": {"m": 24}}
    (tmp_path / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page(page: Path, book: Path, loopback: LoopbackQdrant) -> None:
    """One after the other, on servers that the page before has left as it says."""
    if page.name == "moving.md":  # which begins with a directory
        from multiqa_integrations.etl import sync

        sync(ROWS, "docs", encoder=FakeEncoder(), path=book / "collections")
    elif page.name != "deploy.md":  # which begins with nothing
        with open_store(url=loopback.url) as store:
            Collection.open("docs@1", encoder=FakeEncoder(), store=store)
            store.swap("docs", "docs@1")
    with LoopbackQdrant() as other:
        servers = {"http://localhost:6333": loopback, "https://qdrant.example.com:6333": other}
        for arguments in commands(page):
            if any(word in argument for argument in arguments for word in ONLY_PARSED):
                parse(arguments)
                continue
            given = [servers[word].url if word in servers else word for word in arguments]
            done = CliRunner().invoke(app, given)
            assert done.exit_code == 0, (arguments, done.output, done.exception)


def parse(arguments: list[str]) -> None:
    """Read the arguments as their command does, without running it."""
    command: Any = typer.main.get_command(app)
    names = list(arguments)
    while hasattr(command, "commands"):
        command = command.commands[names.pop(0)]
    command.make_context("multiqa", names)


def test_links_to_files_of_the_repository_lead_somewhere() -> None:
    for page in BOOK:
        for file in re.findall(r"docker/[\w.-]+\.yaml", page.read_text(encoding="utf-8")):
            assert (DOCS.parent / file).is_file(), (page.name, file)


# --- the server's own, on a real one ------------------------------------------------------------


@pytest.mark.server
def test_a_snapshot_is_taken_and_restored(
    server: Any, book: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's commands by a shell; only our own names, since others use the server, too."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    monkeypatch.setenv("QDRANT_API_KEY", server.api_key or "")
    with open_store(url=server.url) as store:
        Collection.open(f"{name}@1", encoder=FakeEncoder(), store=store).add(["one", "two"])
    for block in blocks(DOCS / "operations" / "backup.md", "sh"):
        script = block.replace("http://localhost:6333", server.url).replace("docs@1", f"{name}@1")
        lines = [line for line in script.splitlines() if not line.startswith("multiqa ")]
        shell = [str(shutil.which("bash")), "-ec", "\n".join(lines)]
        subprocess.run(shell, check=True, cwd=book, timeout=60)
        if "--output" in block:
            with open_store(url=server.url) as store:
                store.drop(f"{name}@1")
    with open_store(url=server.url) as store:
        assert store.count(f"{name}@1") == 2
        checked = Collection.open(f"{name}@1", encoder=FakeEncoder(), store=store)
        assert checked.report.fingerprint == "matches"
        store.drop(f"{name}@1")


# --- schedulers ---------------------------------------------------------------------------------


def test_what_kubernetes_gets_is_what_it_takes() -> None:
    yaml = pytest.importorskip("yaml")
    (text,) = [block for block in blocks(DOCS / "etl.md", "yaml") if "CronJob" in block]
    claim, cron = yaml.safe_load_all(text)
    spec = cron["spec"]["jobTemplate"]["spec"]
    rules = spec["podFailurePolicy"]["rules"]
    (failing,) = [rule["onExitCodes"]["values"] for rule in rules if "onExitCodes" in rule]
    assert failing == [jobs.USAGE, jobs.INCOMPLETE, jobs.REFUSED, jobs.FORBIDDEN]
    # Kubernetes waits 10 s, and each time twice as long: beyond a lease that nobody holds.
    assert sum(10 * 2**retry for retry in range(spec["backoffLimit"])) > 180
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # podFailurePolicy wants it
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    parse(container["args"])
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    kubernetes = pytest.importorskip("kubernetes_validate")
    for manifest in (claim, cron):
        kubernetes.validate(manifest, "1.31", strict=True)


@pytest.mark.parametrize("framework", ["airflow.sdk", "dagster", "prefect"])
def test_what_python_schedulers_get_is_of_this_package(framework: str) -> None:
    """The frameworks are not installed here; that it runs with them, the page says of a day."""
    found = [
        block
        for block in blocks(DOCS / "etl.md", "python")
        if re.search(rf"^(import|from) {re.escape(framework)}\b", block, re.M)
    ]
    (code,) = found
    nodes = list(ast.walk(ast.parse(code)))
    imported = [
        getattr(importlib.import_module(str(node.module)), name.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("multiqa_")
        for name in node.names
    ]
    assert etl.sync in imported
    # What passes by itself is what has status 5: nothing else is tried again.
    errors = {one for one in imported if one is not etl.sync} - {MultiQAError}
    retried = {LeaseError, ModelError, StoreUnavailableError}
    assert errors == retried
    assert {jobs.status(one("")) for one in retried} == {jobs.UNAVAILABLE}
    (call,) = [
        node
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "sync"
    ]
    given = {str(one.arg) for one in call.keywords}
    takes = set(inspect.signature(etl.sync).parameters) | {
        field.name for field in dataclasses.fields(etl.JobOptions)
    }
    assert given <= takes


@pytest.mark.slow
@pytest.mark.skipif(FLOCK is None, reason="there is no flock")
def test_the_line_of_cron(test_model: Path, tmp_path: Path, loopback: LoopbackQdrant) -> None:
    """As cron runs it: sh, a bare environment, the home as it is."""
    (text,) = blocks(DOCS / "etl.md", "crontab")
    line = text.splitlines()[-1].removeprefix("0 3 * * *").strip()
    line = line.replace("http://localhost:6333", loopback.url)
    loopback.faults.api_key = "topsecret"
    (tmp_path / "qdrant.env").write_text("QDRANT_API_KEY=topsecret\n", encoding="utf-8")
    (tmp_path / "articles.jsonl").write_text(json.dumps(ROWS[0]) + "\n", encoding="utf-8")
    command = tmp_path / "multiqa"
    command.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m multiqa_integrations "$@" -m "{test_model}"\n'
    )
    command.chmod(0o755)
    environment = {
        "HOME": str(tmp_path),
        "PATH": f"{tmp_path}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }

    def cron() -> str:
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        return done.stdout + done.stderr

    assert cron() == ""
    assert json.loads((tmp_path / "articles.log").read_text(encoding="utf-8"))["added"] == 1
    with subprocess.Popen(
        [str(FLOCK), "articles.lock", "sh", "-c", "echo; cat"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()  # it has the lock
        assert cron() == "sync of articles: status 5\n"
        assert other.stdin is not None
        other.stdin.close()
