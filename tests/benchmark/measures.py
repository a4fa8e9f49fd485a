"""The measures by name, and a run of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from multiqa_integrations.benchmark.table import Table
from multiqa_integrations.cli.machine import describe_machine
from multiqa_integrations.errors import ConfigurationError
from tests.benchmark import (
    adapters,
    comparison,
    concurrency,
    ingest,
    load,
    quality,
    quantization,
    search,
    workers,
)
from tests.benchmark.session import Session
from tests.benchmark.settings import Settings

MEASURES: dict[str, Callable[[Session], Iterable[Table]]] = {
    "encode": comparison.encode,
    "cold-start": comparison.cold_start,
    "query-latency": comparison.query_latency,
    "concurrency": concurrency.concurrency,
    "stream": load.stream,
    "overlap": load.overlap,
    "long-text": load.long_text,
    "quality": quality.quality,
    "chunk": load.chunk,
    "search": search.search,
    "quantization": quantization.quantization,
    "ingest": ingest.ingest,
    "workers": workers.workers,
    "langchain": adapters.langchain,
    "llama-index": adapters.llama_index,
}

_ON_A_DEVICE = ("encode", "cold-start", "query-latency")


@dataclass(frozen=True, slots=True)
class Report:
    """All that a run found.

    Attributes:
        date: When it began, ISO 8601, UTC.
        machine: What it ran on; see `machine.describe_machine`.
        model: Name and fingerprint of the model.
        settings: The settings of the run.
        tables: The results.
        peers: What each peer that took part is made of: packages and their versions.
        interrupted: Whether the user stopped the run; `tables` then has what was finished.
    """

    date: str
    machine: dict[str, object]
    model: dict[str, str]
    settings: Settings
    tables: list[Table]
    peers: Mapping[str, Mapping[str, str]]
    interrupted: bool

    def to_dict(self) -> dict[str, Any]:
        """Return everything, the figures of each round included."""
        return asdict(self)


def measure(
    what: str,
    settings: Settings,
    *,
    step: Callable[..., None] = lambda *_: None,
    finished: Callable[[Table], None] = lambda _: None,
) -> Report:
    """Run one measure, or all.

    Args:
        what: A name in `MEASURES`, or "all".
        settings: Texts, model and sizes.
        step: Called with what begins now, and, where a measure has several steps, how many
            of them are done and how many there are.
        finished: Called with each table as soon as it is there.

    Returns:
        The results. After Ctrl-C, those of the rounds that were finished.

    Raises:
        ConfigurationError: There is no such measure, or no text in the file.
        ModelError: The model cannot be found or used.
        SourceError: The texts cannot be read.
        WorkerError: A process of this package failed.
    """
    if what not in (*MEASURES, "all"):
        raise ConfigurationError(
            f"{what!r} is not a measure, expected one of {', '.join(MEASURES)} or all."
        )
    if settings.device != "cpu" and what not in _ON_A_DEVICE:
        raise ConfigurationError(
            f"{what} is measured on the processor only; on {settings.device!r} measure "
            f"{', '.join(_ON_A_DEVICE)}."
        )
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    tables: list[Table] = []
    with tempfile.TemporaryDirectory(prefix="multiqa-bench-") as folder:
        session = Session(settings, Path(folder), step)
        try:
            for table in _tables(what, session):
                tables.append(table)
                finished(table)
        except KeyboardInterrupt:
            session.interrupted = True
    model = {"name": settings.model, "fingerprint": session.checkpoint.fingerprint}
    return Report(
        date,
        describe_machine(),
        model,
        settings,
        tables,
        session.versions,
        session.interrupted,
    )


def _tables(what: str, session: Session) -> Iterator[Table]:
    for name in MEASURES if what == "all" else (what,):
        for table in MEASURES[name](session):
            yield table
            if session.interrupted:
                return
