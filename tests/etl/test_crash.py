"""Jobs that are killed: the next one makes the collection equal to its source all the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from multiqa_integrations.etl import sync, verify
from multiqa_integrations.qdrant import open_store
from multiqa_integrations.testing import FakeEncoder
from tests.support import versions
from tests.support.loopback_qdrant import LoopbackQdrant
from tests.support.versions import (
    COLLECTION,
    Row,
    assert_equal,
    first_version,
    next_version,
    points_of,
)

pytestmark = pytest.mark.slow

# MULTIQA_TEST_CRASHES=30 for the long run.
ROUNDS = int(os.environ.get("MULTIQA_TEST_CRASHES", "2"))
RECORDS = 3_000 if "MULTIQA_TEST_CRASHES" in os.environ else 1_200
LONGEST = 3.0 if "MULTIQA_TEST_CRASHES" in os.environ else 1.0  # seconds until it is killed
SHARE = 0.2  # added, changed, with other metadata, deleted: each


def start(source: Path, kind: str, where: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, versions.__file__, str(source), kind, where],
        stdout=subprocess.PIPE,
        text=True,
    )


def write(file: Path, version: list[Row]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in version), encoding="utf-8")
    return file


def kill_sometime(process: subprocess.Popen[str], longest: float, chance: random.Random) -> bool:
    """Kill a job that has begun, at a random moment; tells whether it was still running."""
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(chance.random() * longest)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return running


def test_killed_while_it_writes_to_a_directory(tmp_path: Path) -> None:
    chance = random.Random(11)
    where = tmp_path / "store"
    version = first_version(RECORDS, chance)
    source = tmp_path / "source.jsonl"
    sync(version, COLLECTION, path=where, encoder=FakeEncoder())
    killed = half_done = 0
    longest = LONGEST
    for number in range(ROUNDS + 10):
        if number >= ROUNDS and half_done:
            break
        version = next_version(version, SHARE, chance)
        write(source, version)
        process = start(source, "--path", str(where))
        if kill_sometime(process, longest, chance):
            killed += 1
            with open_store(path=where) as store:
                before = verify(source, COLLECTION, store=store, encoder=FakeEncoder())
                half_done += not before.fits
        else:
            longest *= 0.7
        with open_store(path=where) as store:
            sync(
                source,
                COLLECTION,
                store=store,
                encoder=FakeEncoder(),
                prune=True,
                max_delete_share=0.5,
            )
            assert_equal(store, version)
    # Not every one is hit while it writes; some were.
    assert killed >= half_done > 0


def test_readers_of_a_killed_job_miss_nothing(tmp_path: Path, loopback: LoopbackQdrant) -> None:
    """The server outlives the writer; a reader looks at it all the time."""
    chance = random.Random(5)
    source = tmp_path / "source.jsonl"
    version = first_version(RECORDS // 6, chance)
    with open_store(url=loopback.url) as store:
        sync(version, COLLECTION, store=store, encoder=FakeEncoder())
        for _ in range(max(1, ROUNDS // 4)):
            following = next_version(version, SHARE, chance)
            write(source, following)
            common = {row["id"] for row in version} & {row["id"] for row in following}
            absent: set[str] = set()
            looks = 0
            over = threading.Event()

            def read(
                common: set[str] = common,
                absent: set[str] = absent,
                over: threading.Event = over,
            ) -> None:
                nonlocal looks
                with open_store(url=loopback.url) as reader:
                    while not over.is_set():
                        points = points_of(reader, with_payload=["metadata"])
                        there = {one.payload["metadata"]["document_id"] for one in points}
                        absent |= common - there
                        looks += 1

            reader = threading.Thread(target=read)
            reader.start()
            kill_sometime(start(source, "--url", loopback.url), 2.0, chance)
            last = start(source, "--url", loopback.url)
            last.communicate()
            over.set()
            reader.join()
            assert last.returncode == 0
            assert looks > 1
            assert absent == set()
            assert_equal(store, following)
            version = following
