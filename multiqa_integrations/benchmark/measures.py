"""The measures by name: encoding, cold start, queries, searching and ingesting."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.backends import choose
from multiqa_integrations.backends.cpu import arithmetic_of, has_native_bfloat16
from multiqa_integrations.benchmark.jobs import make_encoder
from multiqa_integrations.benchmark.session import Session, Settings
from multiqa_integrations.benchmark.table import Column, Row, Table, present
from multiqa_integrations.benchmark.texts import first_texts, mixed_lengths, questions
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.model import ModelSpec
from multiqa_integrations.qdrant import Collection
from multiqa_integrations.tokenizer import WordPieceTokenizer
from multiqa_integrations.types import Hit, Vectors

Measure: TypeAlias = Literal["encode", "cold-start", "query-latency", "search", "ingest", "all"]

_PEAK = Column("peak MB")
_LATENCY = (Column("p50 ms", 2), Column("p95 ms", 2))


def measure(
    what: str, settings: Settings, step: Callable[..., None] = lambda *_: None
) -> Iterator[Table]:
    """Run one measure, or all, and yield each table as soon as it is there.

    Args:
        what: Its name.
        settings: Texts, model and sizes.
        step: See `Session`.

    Raises:
        ConfigurationError: There is no such measure, or no text in the file.
        ModelError: The model cannot be found or used.
        SourceError: The texts cannot be read.
        WorkerError: A process failed.
    """
    if what not in get_args(Measure):
        raise ConfigurationError(
            f"{what!r} is not a measure, expected one of {', '.join(get_args(Measure))}."
        )
    return _run(list(MEASURES) if what == "all" else [what], settings, step)


def _run(names: list[str], settings: Settings, step: Callable[..., None]) -> Iterator[Table]:
    with tempfile.TemporaryDirectory(prefix="multiqa-bench-") as folder:
        session = Session(settings, Path(folder), step)
        for name in names:
            yield from MEASURES[name](session)


def encode(session: Session) -> Iterator[Table]:
    """Measure how fast each dtype encodes in bulk, and how near its vectors are to float32."""
    settings = session.settings
    texts = first_texts(settings.texts, settings.text_field, settings.samples)
    lengths = np.minimum(_count_tokens(session, texts), settings.limit_tokens)
    tokens = int(lengths.sum())
    measured = session.run("peaks")["auto"]
    peaks = fastest(run["peaks"] for run in measured)
    least = least_seconds(peaks, session.checkpoint.spec, lengths)
    possible = {name: tokens / seconds for name, seconds in least.items()}
    yield limit_table(peaks, possible, by=measured[0]["by"])
    dtypes = _dtypes(settings.device)
    folder = session.folder / "encode"
    folder.mkdir()
    results = session.run(
        "encode", dtypes, texts=session.write("encode", texts), folder=str(folder)
    )
    vectors = {dtype: np.load(folder / f"{dtype}.npy") for dtype in dtypes}
    default = choose(device=settings.device).dtype
    rows = []
    for dtype in dtypes:
        seconds = [run["seconds"] for run in results[dtype]]
        baseline = [run["seconds"] for run in results["float32"]]  # each round against its own
        cosines = cosine(vectors[dtype], vectors["float32"])
        figures = {
            "texts/s": [len(texts) / s for s in seconds],
            "tokens/s": [tokens / s for s in seconds],
            "× float32": [b / s for b, s in zip(baseline, seconds, strict=True)],
            "% of the limit": [100 * least[arithmetic_of(dtype)] / s for s in seconds],
            "cosine mean": [float(cosines.mean())],
            "cosine min": [float(cosines.min())],
            _PEAK.name: [run["peak_mb"] for run in results[dtype]],
        }
        rows.append(Row(dtype, present(figures), "the default here" if dtype == default else ""))
    yield Table(
        "encode",
        f"Encoding {len(texts):,} texts, {tokens:,} tokens (limit {settings.limit_tokens}), "
        "model loaded",
        [
            *(Column("texts/s", 1), Column("tokens/s"), Column("× float32", 2)),
            *(Column("% of the limit", 1), Column("cosine mean", 6), Column("cosine min", 6)),
            _PEAK,
        ],
        rows,
        [
            "Cosine: to the vectors of float32. Limit: this machine's, in the arithmetic that is "
            "used."
        ],
    )


def cold_start(session: Session) -> Iterator[Table]:
    """Measure a process from its start to its end after one vector."""
    runs = session.run("first_vector", text=questions()[0])["auto"]
    row = Row("default dtype", {"s": [run["wall_s"] for run in runs]})
    title = "Cold start: a process that encodes one query, start to end"
    yield Table("cold-start", title, [Column("s", 2)], [row])


def query_latency(session: Session) -> Iterator[Table]:
    """Measure the latency of single queries, all of them different."""
    texts = questions()
    runs = session.run("query_latency", texts=session.write("query", texts))["auto"]
    figures = _latencies(*(run["latencies"] for run in runs))
    peaks = present({_PEAK.name: [run["peak_mb"] for run in runs]})
    title = f'{len(texts)} different queries, one at a time, such as "{texts[0]}"'
    row = Row("default dtype", figures | peaks)
    yield Table("query-latency", title, [*_LATENCY, _PEAK], [row])


def search(session: Session) -> Iterator[Table]:
    """Measure searches of an embedded collection, and how many of the nearest the graph finds."""
    settings = session.settings
    texts = first_texts(settings.texts, settings.text_field, settings.samples, min_words=1)
    encoder = make_encoder(
        str(session.checkpoint.directory), settings.limit_tokens, settings.device
    )
    session.step(f"search: encoding {len(texts):,} texts")
    queries = questions()
    vectors = encoder.encode_query(queries)
    with (
        tempfile.TemporaryDirectory(dir=session.folder) as folder,
        Collection.open("bench", encoder=encoder, path=folder) as collection,
    ):
        collection.add(texts)
        collection.store.optimize(collection.name)
        nearest, exact = _search(lambda v: collection.search_by_vector(v, exact=True), vectors)
        found, approximate = _search(collection.search_by_vector, vectors)
        _, from_text = _search(collection.search, queries)
    # Texts that occur twice tie: whatever is as near as the last of the nearest is right.
    least = [hits[-1].score - 1e-6 for hits in nearest]
    right = sum(hit.score >= bar for hits, bar in zip(found, least, strict=True) for hit in hits)
    recall = right / sum(map(len, nearest))
    yield Table(
        "search",
        f"{len(queries)} searches of an embedded collection of {len(texts):,} texts, 10 hits each",
        [*_LATENCY, Column("recall@10", 4)],
        [
            Row("text, encoded for the search", _latencies(from_text) | {"recall@10": [recall]}),
            Row("vector", _latencies(approximate) | {"recall@10": [recall]}),
            Row("vector, exact=True", _latencies(exact) | {"recall@10": [1]}),
        ],
        ["Recall: how many of the 10 nearest texts are found."],
    )


def ingest(session: Session) -> Iterator[Table]:
    """Measure a sync of documents of any length into an empty collection."""
    settings = session.settings
    texts = mixed_lengths(settings.texts, settings.text_field, settings.samples)
    tokens = int(_count_tokens(session, texts).sum())
    file = session.write("ingest", texts)
    runs = session.run("ingest", texts=file, url=settings.url)["auto"]
    figures = {
        "documents/s": [len(texts) / run["seconds"] for run in runs],
        "tokens/s": [tokens / run["seconds"] for run in runs],
        "points": [run["points"] for run in runs],
        _PEAK.name: [run["peak_mb"] for run in runs],
    }
    yield Table(
        "ingest",
        f"{len(texts):,} documents, {tokens:,} tokens, into an empty collection",
        [Column("documents/s", 1), Column("tokens/s"), Column("points"), _PEAK],
        [Row(settings.url or "on this disk", present(figures))],
        ["Tokens: of the documents, so overlapping chunks count once. The model is loaded before."],
    )


MEASURES: dict[str, Callable[[Session], Iterator[Table]]] = {
    "encode": encode,
    "cold-start": cold_start,
    "query-latency": query_latency,
    "search": search,
    "ingest": ingest,
}


def fastest(runs: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Take the best of several measurements of `measure_peaks`."""
    merged: dict[str, float] = {}
    for peaks in runs:
        merged = {name: max(merged.get(name, 0), peak) for name, peak in peaks.items()}
    return merged


def least_seconds(
    peaks: Mapping[str, float], spec: ModelSpec, lengths: NDArray[np.int64]
) -> dict[str, float]:
    """Compute how long texts take at least, if only matrix products took time.

    A text of `L` word pieces takes 21.23 million operations per word piece in the linear layers of
    this architecture, and `9,216·L` per word piece in attention. Padding is not counted.

    Args:
        peaks: Operations per second by arithmetic, as `measure_peaks` found them.
        spec: The model.
        lengths: Of the texts, in word pieces.

    Returns:
        Seconds by arithmetic.
    """
    width, wide = spec.dimension, spec.intermediate
    linear = 2 * spec.layers * (4 * width * width + 2 * width * wide) * float(lengths.sum())
    attention = 4 * spec.layers * width * float((lengths.astype(np.float64) ** 2).sum())
    # Attention of an 8-bit model is in float32: its weights alone are known beforehand.
    rest = {**peaks, "int8": peaks["float32"]}
    return {name: linear / peak + attention / rest[name] for name, peak in peaks.items()}


def limit_table(peaks: Mapping[str, float], tokens: Mapping[str, float], *, by: str) -> Table:
    """Show the limit of this machine; `by` says what multiplied."""
    rows = [
        Row(name, {"GFLOP/s": [peak / 1e9], "tokens/s": [tokens[name]]})
        for name, peak in peaks.items()
    ]
    remark = (
        f"The fastest matrix products of {by}; tokens/s: if the model's products ran as fast, and "
        "nothing else took time."
    )
    columns = [Column("GFLOP/s"), Column("tokens/s")]
    return Table("encode", "The limit of this machine", columns, rows, [remark])


def cosine(a: Vectors, b: Vectors) -> NDArray[np.float64]:
    """Compute the cosine of each row of `a`, `(n, 384)`, to the same row of `b`.

    In float64 and with the lengths divided out: products of float32 unit vectors are off by
    1e-6 either way, which is what a benchmark wants to see.
    """
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    cosines: NDArray[np.float64] = (x * y).sum(1) / lengths
    return cosines


def _dtypes(device: str) -> list[str]:
    if device == "cpu":
        return ["float32", *["bfloat16"] * has_native_bfloat16(), "int8"]
    return ["float32", "bfloat16", "float16"]


def _count_tokens(session: Session, texts: list[str]) -> NDArray[np.int64]:
    return WordPieceTokenizer(session.checkpoint.tokenizer_file).count(texts)


def _search(
    search: Callable[[Any], list[Hit]], queries: Iterable[Any]
) -> tuple[list[list[Hit]], list[float]]:
    answers, latencies = [], []
    for query in queries:
        search(query)  # once before the clock: what is first read from disk
        begin = time.perf_counter()
        answers.append(search(query))
        latencies.append(time.perf_counter() - begin)
    return answers, latencies


def _latencies(*rounds: list[float]) -> dict[str, list[float]]:
    return {
        f"p{percent} ms": [1000 * float(np.percentile(seconds, percent)) for seconds in rounds]
        for percent in (50, 95)
    }
