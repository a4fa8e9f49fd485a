"""Jobs over a server that fails now and then: complete in the end, nothing twice, nothing lost."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from multiqa_integrations.etl import replay, sync
from multiqa_integrations.qdrant import open_store
from multiqa_integrations.testing import FakeEncoder
from tests.support.faults import Faults
from tests.support.loopback_qdrant import LoopbackQdrant
from tests.support.versions import COLLECTION, assert_equal, first_version, next_version

# MULTIQA_TEST_RECORDS=5000 for the long run, with --timeout 3000.
RECORDS = int(os.environ.get("MULTIQA_TEST_RECORDS", "200"))

FAULTS: dict[str, dict[str, Any]] = {
    "throttled": {"throttled": 0.3},
    "too busy for large requests": {"too_busy": 0.5, "too_busy_above": 100},
    "unavailable": {"unavailable": 0.2},
    "reset before the work": {"reset_before": 0.2},
    "reset after the work": {"reset_after": 0.2},
    "slow": {"slow": 1.0, "slow_seconds": 7, "at_most": 2},
    "all of them": {"throttled": 0.05, "unavailable": 0.1, "reset_before": 0.1, "reset_after": 0.1},
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_complete_in_the_end(loopback: LoopbackQdrant, fault: str) -> None:
    chance = random.Random(3)
    first = first_version(RECORDS, chance)
    second = next_version(first, 0.2, chance)
    # Only two answers are slow, so that the limit can be one that the others keep on any machine.
    timeout = 5 if fault == "slow" else 30
    with open_store(url=loopback.url, timeout=timeout) as store:
        loopback.faults = Faults(**FAULTS[fault])
        for version in (first, second):
            report = sync(
                version,
                COLLECTION,
                store=store,
                encoder=FakeEncoder(),
                prune=True,
                max_delete_share=0.5,
            )
            assert report.complete
            # What the server carries out after a timeout is older than what follows: see the docs.
            while loopback.seen["carried out late"] < loopback.seen["slow"]:
                time.sleep(0.05)
        assert sum(loopback.seen[name] for name in FAULTS[fault]) > 0
        loopback.faults = Faults()
        assert_equal(store, second)


def test_points_that_the_server_refuses_are_dead_letters(
    loopback: LoopbackQdrant, tmp_path: Path
) -> None:
    """One bad point keeps its document out, and no other."""
    source = [{"id": f"d{n}", "text": f"Text {n}."} for n in range(300)]
    dead = tmp_path / "dead.jsonl"
    with open_store(url=loopback.url) as store:
        loopback.faults.bad_texts = frozenset({"Text 7.", "Text 250."})
        report = sync(source, COLLECTION, store=store, encoder=FakeEncoder(), dead_letter=dead)
        assert (report.added, report.rejected) == (298, 2)
        entries = [json.loads(line) for line in dead.read_text().splitlines()]
        assert [entry["id"] for entry in entries] == ["d7", "d250"]
        assert "not to our taste" in entries[0]["reason"]
        loopback.faults.bad_texts = frozenset({"Text 250."})
        result = replay(dead, COLLECTION, store=store, encoder=FakeEncoder())
        assert (result.stored, result.left) == (1, 1)
        assert [json.loads(line)["id"] for line in dead.read_text().splitlines()] == ["d250"]
        loopback.faults.bad_texts = frozenset()
        assert replay(dead, COLLECTION, store=store, encoder=FakeEncoder()).complete
        assert not dead.exists()
        again = sync(source, COLLECTION, store=store, encoder=FakeEncoder())
        assert again.unchanged == 300
