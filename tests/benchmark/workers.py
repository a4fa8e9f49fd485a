"""The measure of workers: a sync by one process, and the same by workers on Ray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from multiqa_integrations._optional import is_installed
from multiqa_integrations.benchmark.table import Column, Row, Table, present
from multiqa_integrations.benchmark.texts import mixed_lengths
from tests.benchmark.ratios import speed_ratios
from tests.benchmark.session import Session
from tests.benchmark.workers_job import ALONE, WORKERS

if TYPE_CHECKING:
    from tests.support.loopback_qdrant import LoopbackQdrant

_ONE = next(iter(WORKERS))
_OF_ONE = Column("× one process", 2)
_SCALING = Column("× 1 worker", 2)


def workers(session: Session) -> Iterator[Table]:
    """Measure documents into an empty collection of a server, or of the stand-in for one."""
    settings = session.settings
    texts = mixed_lengths(settings.texts, settings.text_field, settings.samples)
    names = [ALONE, *(WORKERS if is_installed("ray") else ())]
    with ExitStack() as stack:
        url = settings.url or stack.enter_context(_loopback_server()).url
        results, absent = session.in_turn(
            "workers", names, texts=session.write("workers", texts), url=url
        )
    seconds = {name: [run["seconds"] for run in runs] for name, runs in results.items()}
    rows = [
        Row(
            name,
            present(
                {
                    "documents/s": [run["documents"] / run["seconds"] for run in runs],
                    _OF_ONE.name: speed_ratios(seconds[name], seconds.get(ALONE)),
                    _SCALING.name: speed_ratios(seconds[name], seconds.get(_ONE)),
                    "start s": [run["start_s"] for run in runs],
                    "points": [run["points"] for run in runs],
                }
            ),
        )
        if (runs := results.get(name))
        else Row(name, note=absent.get(name, "not installed (ray)"))
        for name in (ALONE, *WORKERS)
    ]
    yield Table(
        "workers",
        f"{len(texts):,} documents into an empty collection",
        [
            Column("documents/s", 1),
            _OF_ONE,
            _SCALING,
            Column("start s", 1),
            Column("points"),
        ],
        rows,
        ["Without the time until all have loaded their model (`start s`)."],
    )


def _loopback_server() -> LoopbackQdrant:
    from tests.support.loopback_qdrant import LoopbackQdrant  # needs qdrant-client

    return LoopbackQdrant()
