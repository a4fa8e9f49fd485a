"""On a real cluster of Ray: three nodes on this machine, whose processes are killed."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from multiqa_integrations import distributed, etl
from multiqa_integrations.distributed import splits
from multiqa_integrations.distributed.ray import RayPool
from multiqa_integrations.distributed.ray_connection import keeping_to_itself
from multiqa_integrations.errors import (
    ClusterError,
    CollectionMismatchError,
    ConfigurationError,
    SourceError,
    SourcePermissionError,
    SourceUnavailableError,
    SyncIncompleteError,
)
from multiqa_integrations.qdrant import open_store
from multiqa_integrations.testing import FakeEncoder
from tests.distributed.conftest import STORE_BYTES, TOP, Nodes
from tests.distributed.slow_encoder import ElsewhereEncoder, SlowEncoder
from tests.support.engines import Server
from tests.support.loopback_qdrant import LoopbackQdrant
from tests.support.loopback_s3 import REFUSED, SLOW_DOWN, Answer, LoopbackS3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# MULTIQA_TEST_CRASHES=10 for the long run.
ROUNDS = int(os.environ.get("MULTIQA_TEST_CRASHES", "1"))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "BYTES", 20_000)
    monkeypatch.setattr(splits, "LEAST_BYTES", 20_000)


@pytest.fixture
def source(tmp_path: Path) -> str:
    rows = [
        {"id": f"a{n}", "text": f"Text number {n}. " + "More words. " * (n % 40), "n": n}
        for n in range(1_200)
    ]
    rows[700] = {"id": "a3", "text": "A duplicate.", "n": 0}
    lines = [json.dumps(row) for row in rows]
    lines[500] = "{bad"
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(lines) + "\n")
    return str(file)


def contents(name: str, *, connection: dict[str, Any] | None = None, **where: Any) -> Any:
    found = {}
    with open_store(**where, **(connection or {})) as store:
        offset = None
        while True:
            page, offset = store.scroll(name, limit=500, offset=offset, with_vectors=True)
            for point in page:
                vector: Any = point.vectors[""]
                found[point.id] = dict(point.payload), vector.tolist()
            if offset is None:
                return found


def counts(report: Any) -> dict[str, Any]:
    return {**report.to_dict(), "seconds": 0, "collection": ""}


def processes(folder: Path) -> list[int]:
    """The workers that have encoded something and are still there."""
    pids = [int(file.name) for file in folder.iterdir()]
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def wait_for(condition: Callable[[], object], what: str, seconds: float = 200.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen in {seconds:.0f} s"
        time.sleep(0.05)


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def assert_same(source: str, name: str, nodes: Nodes, **where: Any) -> None:
    one_job: dict[str, Any] = {**where, "encoder": FakeEncoder()}
    job: dict[str, Any] = {
        **one_job,
        "address": nodes.address,
        "workers": 3,
    }  # as many as there are processors
    one = etl.sync(source, f"{name}-one", **one_job)
    many = distributed.sync(source, f"{name}-many", **job)
    assert counts(one) == counts(many)
    assert (many.added, many.rejected) == (1_198, 2)
    assert contents(f"{name}-one", **where) == contents(f"{name}-many", **where)
    assert etl.sync(source, f"{name}-many", **one_job).unchanged == 1_198
    assert distributed.sync(source, f"{name}-one", **job).unchanged == 1_198


def test_the_same_as_in_one_process(
    stand_in: LoopbackQdrant, name: str, nodes: Nodes, source: str
) -> None:
    assert_same(source, name, nodes, url=stand_in.url)


@pytest.mark.server
@pytest.mark.parametrize("grpc", [False, True], ids=["REST", "gRPC"])
def test_the_same_as_in_one_process_on_a_server(
    server: Server, name: str, nodes: Nodes, source: str, grpc: bool
) -> None:
    connection = {"prefer_grpc": grpc, "grpc_port": server.grpc_port}
    try:
        assert_same(
            source, name, nodes, url=server.url, api_key=server.api_key, connection=connection
        )
    finally:
        with server.open() as store:
            store.drop(f"{name}-one")
            store.drop(f"{name}-many")


@pytest.mark.soak
def test_killed_workers_and_a_lost_node_cost_nothing(
    stand_in: LoopbackQdrant, name: str, nodes: Nodes, source: str, tmp_path: Path
) -> None:
    chance = random.Random(7)
    for number in range(ROUNDS):
        notes = tmp_path / f"notes-{number}"
        notes.mkdir()
        node = nodes.add()
        job: dict[str, Any] = {"url": stand_in.url, "encoder": SlowEncoder(str(notes))}
        collection = f"{name}-{number}"

        def disturb(notes: Path = notes, node: Any = node) -> None:
            killed: set[int] = set()
            while len(killed) < 2:
                wait_for(lambda: set(processes(notes)) - killed, "a worker")
                pid = chance.choice(sorted(set(processes(notes)) - killed))
                kill(pid)
                killed.add(pid)
            nodes.remove(node)

        disturber = threading.Thread(target=disturb)
        disturber.start()
        report = distributed.sync(source, collection, address=nodes.address, workers=3, **job)
        disturber.join()
        # What a killed worker had stored of a split, its next attempt finds unchanged.
        assert report.added + report.unchanged == 1_198
        assert (report.changed, report.rejected, report.records) == (0, 2, 1_200)
        assert report.complete is False
        assert report.ended
        assert_fits(source, collection, url=stand_in.url)


def assert_fits(source: str, collection: str, url: str) -> None:
    found = etl.verify(source, collection, url=url, encoder=FakeEncoder())
    assert found.equal == 1_198
    assert not any(found.differences.values())


@pytest.mark.soak
def test_a_killed_driver_leaves_no_writers_and_no_gap(
    stand_in: LoopbackQdrant, name: str, nodes: Nodes, source: str, tmp_path: Path
) -> None:
    for number in range(ROUNDS):
        notes = tmp_path / f"notes-{number}"
        notes.mkdir()
        collection = f"{name}-{number}"
        arguments = [nodes.address, stand_in.url, collection, source, str(notes)]
        driver = subprocess.Popen(
            [sys.executable, "-m", "tests.distributed.a_driver", *arguments],
            cwd=TOP,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda notes=notes: processes(notes), "a worker")  # type: ignore[misc]
            time.sleep(random.Random(number).random() * 2)
        finally:
            driver.kill()
            driver.wait()
        wait_for(lambda notes=notes: not processes(notes), "their end")  # type: ignore[misc]
        job: dict[str, Any] = {
            "url": stand_in.url,
            "encoder": FakeEncoder(),
            "address": nodes.address,
        }
        report = distributed.sync(source, collection, workers=2, **job)
        assert report.added + report.unchanged == 1_198
        assert_fits(source, collection, url=stand_in.url)


@pytest.mark.soak
def test_a_source_larger_than_the_object_stores_does_not_go_through_them(
    stand_in: LoopbackQdrant, name: str, nodes: Nodes, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from ray._private.internal_api import memory_summary

    monkeypatch.setattr(splits, "BYTES", 1 << 20)
    monkeypatch.setattr(splits, "LEAST_BYTES", 1 << 17)
    file = tmp_path / "a.jsonl"
    with file.open("w") as out:
        for n in range(3_000):
            filler = random.Random(n).randbytes(50_000).hex()
            out.write(json.dumps({"id": n, "text": f"Text {n}.", "filler": filler}) + "\n")
    assert file.stat().st_size > 3 * STORE_BYTES
    before = memory_summary(nodes.address, stats_only=True)  # type: ignore[no-untyped-call]
    report = distributed.plan(
        str(file), name, url=stand_in.url, encoder=FakeEncoder(), address=nodes.address, workers=3
    )
    assert report.added == 3_000
    after = memory_summary(nodes.address, stats_only=True)  # type: ignore[no-untyped-call]
    assert _spilled(before) == _spilled(after)


def _spilled(summary: str) -> list[str]:
    """The lines of Ray's summary that say how much was spilled since the cluster began."""
    assert "Plasma memory usage" in summary
    return [line for line in summary.splitlines() if "Spilled" in line]


def test_an_error_of_a_worker_arrives_as_itself(
    stand_in: LoopbackQdrant, name: str, nodes: Nodes, source: str, tmp_path: Path
) -> None:
    encoder = ElsewhereEncoder()
    job: dict[str, Any] = {"url": stand_in.url, "address": nodes.address, "workers": 1}
    with pytest.raises(CollectionMismatchError) as refused:
        distributed.sync(source, name, encoder=encoder, **job)
    assert refused.value.collection == name
    assert refused.value.expected["fingerprint"] == "fake:1"
    assert refused.value.report.added == 0


@pytest.mark.parametrize(
    ("answer", "error"),
    [(SLOW_DOWN, SourceUnavailableError), (REFUSED, SourcePermissionError)],
    ids=["away", "refused"],
)
def test_what_becomes_of_a_store_while_it_is_read(
    stand_in: LoopbackQdrant, name: str, nodes: Nodes, source: str,
    monkeypatch: pytest.MonkeyPatch, answer: Answer, error: type[SourceError],
) -> None:  # fmt: skip
    pytest.importorskip("pyarrow._s3fs")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    job: dict[str, Any] = {"url": stand_in.url, "address": nodes.address, "workers": 2}
    with LoopbackS3() as s3:
        s3.objects["a.jsonl"] = Path(source).read_bytes()
        most = 40  # requests: it is read twice, in parts
        s3.answer = lambda method, path: answer if len(s3.seen) > most else None
        with pytest.raises(error, match="'s3://corpus/a.jsonl'") as ended:
            distributed.sync(s3.uri("a.jsonl"), name, encoder=FakeEncoder(), **job)
        assert ended.value.report.rejected <= 2
        s3.answer = lambda method, path: None
        report = distributed.sync(s3.uri("a.jsonl"), name, encoder=FakeEncoder(), **job)
    assert report.added + report.unchanged == 1_198


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_data_set_in_the_order_of_its_blocks(
    stand_in: LoopbackQdrant, name: str, nodes: Nodes
) -> None:
    import ray

    rows = [{"id": str(n), "text": f"Text {n}."} for n in range(400)]
    rows[350] = {"id": "3", "text": "A duplicate."}
    job: dict[str, Any] = {"url": stand_in.url, "encoder": FakeEncoder(), "workers": 1}
    ray.init(address=nodes.address, log_to_driver=False)
    try:
        made = ray.data.from_items(rows, override_num_blocks=4)
        report = distributed.sync(made.map(_with_language), name, **job)
        assert ray.is_initialized()  # what was there before stays
        with pytest.raises(SourceError, match="cannot be computed .ZeroDivisionError"):
            distributed.sync(made.map(_divided), name, **job)
    finally:
        ray.shutdown()
    assert (report.added, report.rejected) == (399, 1)
    assert report.rejections[0].line == 351
    assert report.rejections[0].reason == "its id was that of line 4 already"


def _with_language(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "lang": "en"}


def _divided(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "n": 1 // 0}


@pytest.mark.soak
def test_what_the_cluster_lacks_is_said(
    stand_in: LoopbackQdrant, name: str, nodes: Nodes, source: str,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr("multiqa_integrations.distributed.ray._LACK_SECONDS", 0.5)
    stop = threading.Event()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            stop.set()

    logger = logging.getLogger("multiqa_integrations.distributed.ray")
    handler = Handler(logging.WARNING)
    logger.addHandler(handler)
    try:
        with pytest.raises(SyncIncompleteError, match="it was stopped"):
            distributed.sync(
                source, name, url=stand_in.url, encoder=FakeEncoder(), address=nodes.address,
                workers=2, worker_gpus=1, stop=stop,
            )  # fmt: skip
    finally:
        logger.removeHandler(handler)
    assert "0 of 2 workers have begun" in caplog.text
    assert "each asks for 1 CPUs and 1 GPUs, and the cluster has 3 CPUs" in caplog.text
    assert "0 GPUs (0 free)" in caplog.text


def test_whoever_interrupts_does_not_wait_for_ray_to_end() -> None:
    ends, ended = threading.Event(), threading.Event()

    class Ray:
        def shutdown(self) -> None:
            assert ends.wait(60)
            ended.set()

    pool = RayPool("local")
    pool._ray = Ray()  # type: ignore[assignment]
    pool._owns = True
    pool.__exit__(KeyboardInterrupt)
    assert not ended.is_set()
    ends.set()
    assert ended.wait(60)


@pytest.mark.parametrize("has_it", [True, False])
def test_a_cluster_of_its_own_keeps_to_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has_it: bool
) -> None:
    services = types.ModuleType("services")
    start = services.__dict__["start_api_server"] = object()
    if not has_it:  # as in another version of Ray
        del services.start_api_server
    monkeypatch.setitem(sys.modules, "ray._private.services", services)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("RAY_AUTH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")  # so that it is put back
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    with keeping_to_itself():
        assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
        assert getattr(services, "start_api_server", None) is not start
    assert getattr(services, "start_api_server", None) is (start if has_it else None)


def test_no_cluster_at_an_address(stand_in: LoopbackQdrant, source: str) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with pytest.raises(ClusterError, match="no cluster of Ray can be reached at 127.0.0.1:1 "):
        distributed.sync(
            source, "docs", url=stand_in.url, encoder=FakeEncoder(), address="127.0.0.1:1"
        )


@pytest.mark.soak
def test_more_workers_than_this_machine_has_room_for(stand_in: LoopbackQdrant, source: str) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    many = (os.cpu_count() or 1) + 1
    with pytest.raises(ConfigurationError, match=f"need {many}, and this machine has {many - 1}"):
        distributed.sync(
            source, "docs", url=stand_in.url, encoder=FakeEncoder(), address="local", workers=many
        )
