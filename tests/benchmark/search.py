"""The measure of searching: embedded collections, their speed and what they find."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from multiqa_integrations.benchmark.table import Column, Row, Table, present
from multiqa_integrations.benchmark.texts import first_texts, questions
from multiqa_integrations.errors import ConfigurationError
from tests.benchmark.implementations import our_encoder
from tests.benchmark.session import Session


def search(session: Session) -> Iterator[Table]:
    """Fill, optimise and ask an embedded collection, as it comes and by the engine's defaults."""
    settings = session.settings
    vectors, queries = encoded(session, "search")
    for tuned in (True, False):
        runs = session.rounds(
            "search",
            vectors=str(vectors),
            queries=str(queries),
            file=str(settings.texts) if settings.texts else None,
            field=settings.text_field,
            tuned=tuned,
        )
        yield _filling(runs, tuned)
        yield _asking(runs, tuned)


def encoded(session: Session, measure: str) -> tuple[Path, Path]:
    """Return the files with the vectors of the texts and of the questions."""
    settings = session.settings
    encoder = our_encoder("auto", str(session.checkpoint.directory), settings.limit_tokens)
    folder = session.subfolder(f"{measure}-vectors")
    queries = folder / "queries.npy"
    session.step("encoding the queries")
    np.save(queries, encoder.encode_query(questions()))
    if settings.vectors is not None:
        _check_vectors(str(settings.vectors))
        return settings.vectors, queries
    vectors = folder / "vectors.npy"
    texts = first_texts(settings.texts, settings.text_field, settings.samples, min_words=1)
    session.step(f"encoding {len(texts):,} texts")
    np.save(vectors, encoder.encode_document(texts))
    return vectors, queries


def _filling(runs: list[dict[str, Any]], tuned: bool) -> Table:
    figures = present(
        {
            "points/s": [run["points"] / run["insert_s"] for run in runs],
            "optimise s": [run["optimize_s"] for run in runs],
            "longest pause ms": [run["pause_ms"] for run in runs],
            "searches meanwhile": [len(run["meanwhile"]) for run in runs],
            "their p50 ms": [1000 * float(np.median(run["meanwhile"])) for run in runs],
            "their longest ms": [1000 * max(run["meanwhile"]) for run in runs],
            "disk MB": [run["disk_mb"] for run in runs],
            "resident MB": [run["resident_mb"] for run in runs],
        }
    )
    digits = {"optimise s": 1, "longest pause ms": 1, "their p50 ms": 2, "their longest ms": 1}
    columns = [Column(name, digits.get(name, 0)) for name in figures]
    return Table(
        "search",
        f"Filling an embedded collection, {runs[0]['points']:,} points{_kind(tuned)}",
        columns,
        [Row("Qdrant Edge", figures)],
        [
            "Pause: the longest gap, while another process optimises, of a thread that wakes up "
            "every millisecond; searches meanwhile: by a third thread.",
        ],
    )


def _asking(runs: list[dict[str, Any]], tuned: bool) -> Table:
    rows = []
    for number, answer in enumerate(runs[0]["answers"]):
        answers = [run["answers"][number] for run in runs]
        rows.append(
            Row(
                answer["name"],
                {
                    "p50 ms": [1000 * float(np.median(a["latencies"])) for a in answers],
                    "p95 ms": [1000 * float(np.percentile(a["latencies"], 95)) for a in answers],
                    "recall@10": [a["recall"] for a in answers],
                },
            )
        )
    return Table(
        "search",
        f"Asking it {len(runs[0]['answers'][0]['latencies'])} queries one at a time, 10 hits with "
        f"payload{_kind(tuned)}",
        [Column("p50 ms", 2), Column("p95 ms", 2), Column("recall@10", 4)],
        rows,
        ["Recall: against comparing with every vector, in numpy. Encoding is not included."],
    )


def _kind(tuned: bool) -> str:
    return "" if tuned else " (the engine's own defaults: m 16, ef_construct 100, float32 only)"


def _check_vectors(file: str) -> None:
    try:
        vectors = np.load(file, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{file} cannot be read as vectors ({error}). Make it with: multiqa encode TEXTS -o "
            "FILE.npy"
        ) from error
    if vectors.ndim != 2 or vectors.shape[1] != 384 or not len(vectors):
        raise ConfigurationError(f"{file} has shape {vectors.shape}, expected (n, 384).")
