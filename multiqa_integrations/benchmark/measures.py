"""The measures by name, and a run of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from multiqa_integrations.benchmark import adapters, comparison, endurance, quality, search
from multiqa_integrations.benchmark.machine import describe_machine
from multiqa_integrations.benchmark.results import Table
from multiqa_integrations.benchmark.session import Session
from multiqa_integrations.benchmark.settings import Settings
from multiqa_integrations.errors import ConfigurationError

MEASURES: dict[str, Callable[[Session], list[Table]]] = {
    "encode": comparison.encode,
    "cold-start": comparison.cold_start,
    "query": comparison.query,
    "threads": endurance.threads,
    "stream": endurance.stream,
    "huge": endurance.huge,
    "quality": quality.quality,
    "chunk": endurance.chunk,
    "search": search.search,
    "langchain": adapters.langchain,
    "llama-index": adapters.llama_index,
}


@dataclass(frozen=True, slots=True)
class Report:
    """All that a run found.

    Attributes:
        date: When it began, ISO 8601, UTC.
        machine: What it ran on; see `machine.describe_machine`.
        model: Name and fingerprint of the model.
        settings: The settings of the run.
        tables: The results.
    """

    date: str
    machine: dict[str, object]
    model: dict[str, str]
    settings: Settings
    tables: list[Table]

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values, each round's figures included."""
        values = asdict(self)
        for name in ("texts", "vectors"):
            file = getattr(self.settings, name)
            values["settings"][name] = None if file is None else str(file)
        return values


def measure(
    what: str,
    settings: Settings,
    *,
    progress: Callable[[str], None] = lambda _: None,
    finished: Callable[[Table], None] = lambda _: None,
) -> Report:
    """Run one measure, or all.

    Args:
        what: A name in `MEASURES`, or "all".
        settings: Texts, model and sizes.
        progress: Called with what is being measured.
        finished: Called with each table as soon as it is there.

    Returns:
        The results.

    Raises:
        ConfigurationError: There is no such measure, or no text in the file.
        ModelError: The model cannot be found or used.
        SourceError: The texts cannot be read.
        WorkerError: A process of this package failed.
    """
    if what not in (*MEASURES, "all"):
        raise ConfigurationError(
            f"{what!r} is no measure, expected one of {', '.join(MEASURES)} or all."
        )
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    tables: list[Table] = []
    with tempfile.TemporaryDirectory(prefix="multiqa-bench-") as folder:
        session = Session(settings, Path(folder), progress)
        for name in MEASURES if what == "all" else (what,):
            for table in MEASURES[name](session):
                tables.append(table)
                finished(table)
    model = {"name": settings.model, "fingerprint": session.checkpoint.fingerprint}
    return Report(date, describe_machine(), model, settings, tables)
