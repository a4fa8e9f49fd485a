"""The measure of many at once: threads and coroutines on one encoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from multiqa_integrations.benchmark.table import Column, Row, Table, present
from multiqa_integrations.benchmark.texts import questions
from tests.benchmark.implementations import REFERENCE
from tests.benchmark.session import Session

_NAMES = (
    "multiqa auto",
    REFERENCE,
    "fastembed",
    "langchain-huggingface",
    "llama-index-embeddings-huggingface",
)
_FASTER = Column("× one after another", 2)
_COLUMNS = (
    *(Column("queries/s"), _FASTER, Column("wrong"), Column("errors")),
    *(Column("least cosine", 6), Column("event loop late ms", 1)),
)


def concurrency(session: Session) -> Iterator[Table]:
    """Measure many threads, and many coroutines, that share one encoder."""
    settings = session.settings
    results, absent = session.in_turn(
        "concurrency",
        _NAMES,
        texts=session.write("concurrency", questions()),
        threads=settings.threads,
        queries=settings.queries_each,
    )
    rows = []
    for name in _NAMES:
        runs = results.get(name)
        if runs is None:
            rows.append(Row(name, note=absent[name]))
            continue
        alone = [run["alone_per_s"] for run in runs]
        rows.append(Row(f"{name}, one after another", {"queries/s": alone}))
        rows += [
            _row(f"{name}, {settings.threads} {kind}", [run[kind] for run in runs], alone)
            for kind in ("threads", "coroutines")
            if kind in runs[0]
        ]
    yield Table(
        "concurrency",
        f"{settings.threads} × {settings.queries_each} queries at once on one encoder",
        _COLUMNS,
        rows,
        [
            "Wrong: vectors whose cosine to the one of the same query alone is under .9999. "
            "Late: the most that a task which wakes up every 10 ms was late, while coroutines "
            "asked. Coroutines: those of the LangChain or LlamaIndex adapter.",
            *session.made_of(results),
        ],
    )


def _row(name: str, runs: list[dict[str, Any]], alone: list[float]) -> Row:
    figures = present(
        {
            "queries/s": [run["per_s"] for run in runs],
            _FASTER.name: [run["per_s"] / one for run, one in zip(runs, alone, strict=True)],
            "wrong": [run["wrong"] for run in runs],
            "errors": [run["errors"] for run in runs],
            "least cosine": [run["least_cosine"] for run in runs],
            "event loop late ms": [run["late_ms"] for run in runs],
        }
    )
    return Row(name, figures, next((run["error"] for run in runs if run["error"]), ""))
