"""--ray: with and without an address, and what it does not go with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")

from multiqa_integrations.cli import app
from multiqa_integrations.distributed import opening, splits
from multiqa_integrations.distributed.opening import Cluster
from multiqa_integrations.qdrant import open_store
from multiqa_integrations.testing import FakeEncoder
from tests.support.in_process_pool import InProcessPool
from tests.support.loopback_qdrant import LoopbackQdrant


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Cluster]:
    """The clusters that commands ask for, and get workers of this process instead."""
    found: list[Cluster] = []

    def pool_of(cluster: Cluster) -> InProcessPool:
        found.append(cluster)
        return InProcessPool()

    monkeypatch.setattr(opening, "pool_of", pool_of)
    monkeypatch.setattr(splits, "LEAST_BYTES", 200)
    monkeypatch.setattr(
        "multiqa_integrations.cli.options.EncoderOptions.encoder", lambda self: FakeEncoder()
    )
    return found


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    rows = [{"id": n, "text": f"Text {n}. " * 20} for n in range(20)]
    Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "a.jsonl"


def run(*arguments: str) -> Any:
    from typer.testing import CliRunner

    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("given", "address"),
    [
        (["--ray"], None),
        (["--ray", "--workers", "3"], None),
        (["--ray", "local", "--workers", "3"], "local"),
        (["--ray=head:6379"], "head:6379"),
    ],
)
def test_an_address_may_be_left_out(
    stand_in: LoopbackQdrant, name: str, asked: list[Cluster], source: str,
    given: list[str], address: str | None,
) -> None:  # fmt: skip
    place = [source, "-c", name, "--url", stand_in.url]
    done = run("sync", *place, "--json", *given)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["added"] == 20
    assert asked[0].address == address
    assert asked[0].workers == (3 if "--workers" in given else None)
    assert (asked[0].cpus, asked[0].gpus) == (1, 0)
    assert run("verify", *place, *given).exit_code == 0
    planned = run("plan", *place, "--json", *given)
    assert json.loads(planned.stdout)["unchanged"] == 20


def test_several_sources_and_a_job_in_a_file(
    stand_in: LoopbackQdrant, name: str, asked: list[Cluster], source: str
) -> None:
    Path("b.jsonl").write_text('{"id": "b", "text": "b"}\n{bad\n')
    place = ["-c", name, "--url", stand_in.url]
    done = run("sync", source, "b.jsonl", *place, "--ray", "local")
    assert done.exit_code == 3
    assert "line 2 of b.jsonl: this is not JSON" in done.output
    Path("multiqa.toml").write_text(
        f'[jobs.nightly]\nsource = ["{source}", "b.jsonl"]\ncollection = "{name}"\n'
        f'url = "{stand_in.url}"\nray = "local"\nworkers = 2\nworker-cpus = 1.5\n'
    )
    done = run("sync", "--job", "nightly", "--json")
    assert json.loads(done.stdout)["unchanged"] == 21
    assert asked[-1] == Cluster("local", 2, 1.5, 0)
    with open_store(url=stand_in.url) as store:
        assert store.count(name) == 21


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--path", "here", "--ray", "local"], "one process at a time can open"),
        (["--path", "here", "--workers", "2"], "--workers without --ray"),
        (["a.jsonl", "--path", "here"], "2 sources are given, which go with --ray only"),
        (["--url", "{url}", "--ray", "--limit", "3"], "limit does not go with workers"),
        (["--url", "{url}", "--ray", "--workers", "0"], "greater than or equal to 1"),
        (["--ray"], "url is missing"),
    ],
)
def test_what_does_not_go_with_it(
    stand_in: LoopbackQdrant, asked: list[Cluster], source: str, given: list[str], words: str
) -> None:
    arguments = [one.format(url=stand_in.url) for one in given]
    done = run("sync", source, "-c", "docs", *arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())
    assert not Path("here").exists()
