"""Measures against peers: bulk speed, cold start, single queries."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multiqa_integrations.benchmark.measures import cosine, fastest, least_seconds, limit_table
from multiqa_integrations.benchmark.table import Column, Row, Table, present
from multiqa_integrations.benchmark.texts import first_texts, questions
from multiqa_integrations.tokenizer import WordPieceTokenizer
from tests.benchmark.implementations import REFERENCE, contestants, peer
from tests.benchmark.ratios import speed_ratios
from tests.benchmark.session import Session

_RATIO = Column(f"× {REFERENCE}", 2)
_LIMIT = Column("% of the limit", 1)
_PEAK = Column("peak MB")

_HEAVY = (
    *("numpy", "tokenizers", "safetensors", "huggingface_hub", "openvino", "torch"),
    *("transformers", "sentence_transformers", "qdrant_client", "qdrant_edge"),
    *("langchain_core", "llama_index", "pyarrow", "typer", "rich"),
)
_IMPORT = f"""
import json, sys, time
begin = time.perf_counter()
import multiqa_integrations
seconds = time.perf_counter() - begin
print(json.dumps([seconds, [name for name in {_HEAVY!r} if name in sys.modules]]))
"""


def encode(session: Session) -> Iterator[Table]:
    """Measure how fast texts are encoded in bulk, and how near the vectors are."""
    settings = session.settings
    texts = first_texts(settings.texts, settings.text_field, settings.samples)
    tokenizer = WordPieceTokenizer(session.checkpoint.tokenizer_file)
    lengths = np.minimum(tokenizer.count(texts), settings.limit_tokens)
    tokens = int(lengths.sum())
    measured = session.rounds("peaks", device=settings.device)
    peaks = fastest(run["peaks"] for run in measured)
    least = least_seconds(peaks, session.checkpoint.spec, lengths)
    possible = {name: tokens / seconds for name, seconds in least.items()}
    yield limit_table(peaks, possible, by=measured[0]["by"])
    names = contestants(settings.device, in_bulk=True)
    folder = session.subfolder("encode")
    results, absent = session.in_turn(
        "encode",
        names,
        device=settings.device,
        texts=session.write("encode", texts),
        folder=str(folder),
    )
    seconds = _values(results, "seconds")
    rows = [
        Row(
            name,
            present(
                {
                    "texts/s": [len(texts) / s for s in seconds[name]],
                    "tokens/s": [tokens / s for s in seconds[name]],
                    _RATIO.name: speed_ratios(seconds[name], seconds.get(REFERENCE)),
                    _LIMIT.name: [
                        100 * least.get(run["arithmetic"], least["float32"]) / run["seconds"]
                        for run in results[name]
                    ],
                    **_cosines(folder, name, REFERENCE if REFERENCE in results else None),
                    _PEAK.name: [r["peak_mb"] for r in results[name]],
                }
            ),
            results[name][0]["remark"],
        )
        if name in results
        else Row(name, note=absent[name])
        for name in names
    ]
    title = (
        f"Encoding {len(texts):,} texts, {tokens:,} tokens (limit {settings.limit_tokens}), "
        "model loaded"
    )
    columns = [Column("texts/s", 1), Column("tokens/s"), _RATIO, _LIMIT]
    columns += [Column("cosine mean", 6), Column("cosine min", 6), _PEAK]
    remarks = [
        f"Cosine: to the vectors of {REFERENCE}. Limit: this machine's, in the arithmetic that is "
        "used."
    ]
    yield Table("encode", title, columns, rows, [*remarks, *session.made_of(results)])


def cold_start(session: Session) -> Iterator[Table]:
    """Measure a process from its start to its end after one vector, and the import by itself."""
    device = session.settings.device
    names = [name for name in contestants(device) if name == "multiqa auto" or peer(name)]
    results, absent = session.in_turn("first_vector", names, device=device, text=questions()[0])
    seconds = _values(results, "wall_s")
    rows = [
        Row(
            name,
            present(
                {
                    "s": seconds[name],
                    _RATIO.name: speed_ratios(seconds[name], seconds.get(REFERENCE)),
                }
            ),
            results[name][0]["remark"],
        )
        if name in results
        else Row(name, note=absent[name])
        for name in names
    ]
    title = "Cold start: a process that encodes one query, start to end"
    remarks = session.made_of(results)
    yield Table("cold-start", title, [Column("s", 2), _RATIO], rows, remarks)
    yield _import_time(max(5, session.settings.rounds))


def _import_time(times: int) -> Table:
    milliseconds: list[float] = []
    heavy: list[str] = []
    for _ in range(times):
        seconds, heavy = json.loads(
            subprocess.check_output([sys.executable, "-c", _IMPORT], encoding="utf-8")
        )
        milliseconds.append(1000 * seconds)
    row = Row(
        "import multiqa_integrations",
        {"ms": milliseconds},
        f"imports {', '.join(heavy)}" if heavy else "imports nothing heavy",
    )
    return Table("cold-start", "Import", [Column("ms", 1)], [row])


def query_latency(session: Session) -> Iterator[Table]:
    """Measure the latency of single queries, all of them different."""
    asked = questions()[: session.settings.queries]
    device = session.settings.device
    names = contestants(device)
    results, absent = session.in_turn(
        "query_latency", names, device=device, texts=session.write("query", asked)
    )
    p50 = {name: _percentiles(runs, 50) for name, runs in results.items()}
    rows = [
        Row(
            name,
            present(
                {
                    "p50 ms": p50[name],
                    "p95 ms": _percentiles(runs, 95),
                    _RATIO.name: speed_ratios(p50[name], p50.get(REFERENCE)),
                    _PEAK.name: [r["peak_mb"] for r in runs],
                }
            ),
            runs[0]["remark"],
        )
        if (runs := results.get(name))
        else Row(name, note=absent[name])
        for name in names
    ]
    columns = [Column("p50 ms", 2), Column("p95 ms", 2), _RATIO, _PEAK]
    title = f'{len(asked)} different queries, one at a time, such as "{asked[0]}"'
    yield Table("query-latency", title, columns, rows, session.made_of(results))


def _values(results: Mapping[str, Sequence[Mapping[str, Any]]], key: str) -> dict[str, list[float]]:
    return {name: [run[key] for run in runs] for name, runs in results.items()}


def _percentiles(runs: Sequence[Mapping[str, Any]], percent: int) -> list[float]:
    return [1000 * float(np.percentile(run["latencies"], percent)) for run in runs]


def _cosines(folder: Path, name: str, reference: str | None) -> dict[str, list[float]]:
    if reference is None:
        return {}
    cosines = cosine(np.load(folder / f"{name}.npy"), np.load(folder / f"{reference}.npy"))
    return {"cosine mean": [float(cosines.mean())], "cosine min": [float(cosines.min())]}
