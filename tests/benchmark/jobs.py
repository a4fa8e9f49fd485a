"""What a worker process does: each job loads one implementation and measures one thing.

Only the standard library and numpy are imported here: what else is loaded, the implementation pays.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from multiqa_integrations.benchmark.jobs import memory, peak_memory, peaks, read
from tests.benchmark import implementations
from tests.benchmark.concurrency_job import concurrency
from tests.benchmark.export_job import export
from tests.benchmark.ingest_job import ingest
from tests.benchmark.overlap_job import overlap
from tests.benchmark.search_job import search
from tests.benchmark.workers_job import workers

__all__ = [
    "adapter",
    "chunk",
    "concurrency",
    "encode",
    "export",
    "first_vector",
    "ingest",
    "long_text",
    "look_up",
    "overlap",
    "padding",
    "peaks",
    "query_latency",
    "search",
    "stream",
    "workers",
]

Result: TypeAlias = dict[str, Any]


def look_up(*, implementation: str, model: str, limit_tokens: int) -> Result:
    """Return why a peer cannot take part in this Python, or else its packages."""
    reason = implementations.why_absent(implementation)
    return {
        "reason": reason,
        "versions": {} if reason else implementations.versions(implementation),
    }


def encode(
    *,
    implementation: str,
    model: str,
    limit_tokens: int,
    texts: str,
    folder: str,
    device: str = "cpu",
) -> Result:
    """Encode the texts of a JSON file, and leave the vectors in a folder, as CONTESTANT.npy."""
    inputs = read(texts)
    loaded = implementations.load(implementation, model, limit_tokens, device)
    loaded.encode(inputs[:32])  # libraries prepare themselves at their first calls
    begin = time.perf_counter()
    encoded = loaded.encode(inputs)
    seconds = time.perf_counter() - begin
    np.save(Path(folder) / f"{implementation}.npy", encoded)
    return {
        "seconds": seconds,
        "peak_mb": peak_memory(),
        "arithmetic": loaded.arithmetic,
        "remark": loaded.remark,
    }


def first_vector(
    *, implementation: str, model: str, limit_tokens: int, text: str, device: str = "cpu"
) -> Result:
    """Encode one text and end; the parent measures how long the process lives."""
    loaded = implementations.load(implementation, model, limit_tokens, device)
    loaded.encode([text])
    return {"remark": loaded.remark}


def query_latency(
    *, implementation: str, model: str, limit_tokens: int, texts: str, device: str = "cpu"
) -> Result:
    """Encode texts one at a time, each only once."""
    loaded = implementations.load(implementation, model, limit_tokens, device)
    for text in ("warm up", "and once more", "with another length, a little longer"):
        loaded.encode([text])
    latencies = []
    for text in read(texts):
        begin = time.perf_counter()
        loaded.encode([text])
        latencies.append(time.perf_counter() - begin)
    return {"latencies": latencies, "peak_mb": peak_memory(), "remark": loaded.remark}


def adapter(
    *, implementation: str, model: str, limit_tokens: int, texts: str, queries: str
) -> Result:
    """Embed a query, many queries and documents through an adapter of a framework."""
    from tests.benchmark import adapters

    asked, documents = read(queries), read(texts)
    begin = time.perf_counter()
    embed_documents, embed_query = adapters.load(implementation, model, limit_tokens)
    embed_query(asked[0])
    first_s = time.perf_counter() - begin
    for text in asked[1:6]:
        embed_query(text)
    latencies = []
    for text in asked:
        begin = time.perf_counter()
        embed_query(text)
        latencies.append(time.perf_counter() - begin)
    embed_documents(documents[:32])
    begin = time.perf_counter()
    embed_documents(documents)
    return {
        "first_s": first_s,
        "query_s": float(np.median(latencies)),
        "documents_s": time.perf_counter() - begin,
        "peak_mb": peak_memory(),
    }


def stream(*, model: str, limit_tokens: int, file: str | None, field: str) -> Result:
    """Encode all texts of a file as a stream, and watch the memory."""
    from multiqa_integrations.benchmark.texts import read_texts

    encoder = implementations.our_encoder("auto", model, limit_tokens).load()
    encoder.encode(["warm up"])
    samples: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            if (resident := memory()) is not None:
                samples.append(resident)

    watcher = threading.Thread(target=watch)
    loaded_mb = memory()
    begin = time.perf_counter()
    watcher.start()
    try:
        texts = read_texts(Path(file) if file else None, field)
        count = sum(len(vectors) for vectors in encoder.encode_stream(texts))
    finally:
        seconds = time.perf_counter() - begin
        done.set()
        watcher.join()
    thirds = [float(np.median(part)) for part in np.array_split(samples, 3) if len(part)]
    return {
        "texts": count,
        "seconds": seconds,
        "loaded_mb": loaded_mb,
        "thirds_mb": thirds if len(thirds) == 3 else None,
        "peak_mb": peak_memory(),
    }


def long_text(*, model: str, limit_tokens: int, texts: str, size: int) -> Result:
    """Encode one long text, and see how far another thread gets meanwhile."""
    parts = "\n\n".join(read(texts))
    text = (parts + "\n\n") * (size // len(parts.encode()) + 1)
    text = text.encode()[:size].decode(errors="ignore")
    encoder = implementations.our_encoder("auto", model, limit_tokens).load()
    # So much text has far more than 512 word pieces, and is tokenised whole.
    expected = encoder.encode([text[:16_000]])
    before_mb = memory()
    idle_ms, _ = _longest_pause(lambda: time.sleep(1))
    begin = time.perf_counter()
    pause_ms, vectors = _longest_pause(lambda: encoder.encode([text]))
    return {
        "bytes": len(text.encode()),
        "seconds": time.perf_counter() - begin,
        "difference": float(np.abs(vectors - expected).max()),
        "before_mb": before_mb,
        "peak_mb": peak_memory(),
        "idle_pause_ms": idle_ms,
        "pause_ms": pause_ms,
    }


def padding(*, implementation: str, model: str, limit_tokens: int, texts: str) -> Result:
    """Compare vectors of texts alone with those among neighbours, and among longer ones."""
    from multiqa_integrations.benchmark.measures import cosine

    encoder = implementations.our_encoder(
        implementations.OURS[implementation], model, limit_tokens
    ).load()
    inputs = read(texts)
    lengths = encoder.count_tokens(inputs)
    by_length: dict[int, list[str]] = {}
    for text, length in zip(inputs, lengths.tolist(), strict=True):
        if length < limit_tokens:
            by_length.setdefault(length, []).append(text)
    longest = inputs[int(np.argmax(lengths))]
    same, padded = [], []
    for group in islice((group[:8] for group in by_length.values() if len(group) > 1), 32):
        alone = np.concatenate([encoder.encode([text]) for text in group])
        same.append(cosine(alone, encoder.encode(group)))
        # The longest of all makes one batch of two, padded to its own length.
        beside = np.stack([encoder.encode([text, longest])[0] for text in group[:2]])
        padded.append(cosine(alone[:2], beside))
    if not same:
        return {"texts": 0}
    return {
        "texts": sum(map(len, same)),
        "same_length_min": float(np.concatenate(same).min()),
        "any_padding_min": float(np.concatenate(padded).min()),
    }


def chunk(*, model: str, limit_tokens: int, texts: str, samples: int) -> Result:
    """Measure chunking by itself, and what it adds to encoding."""
    from multiqa_integrations.chunking import chunk_many

    inputs = read(texts)
    encoder = implementations.our_encoder("auto", model, limit_tokens).load()
    is_long = encoder.count_tokens(inputs) > 250
    result: Result = {"texts": len(inputs), "long_share": float(is_long.mean())}
    long = [text for text, over in zip(inputs, is_long, strict=True) if over]
    for name, group in (("all", inputs), ("long", long)):
        begin = time.perf_counter()
        chunk_many(group, encoder)
        size = sum(len(text.encode(errors="replace")) for text in group)
        result[f"{name}_mb_per_s"] = size / 1e6 / (time.perf_counter() - begin)
    some = inputs[:samples]
    ready = [piece.text for chunks in chunk_many(some, encoder) for piece in chunks]
    encoder.encode(ready[:64])
    begin = time.perf_counter()
    encoder.encode(ready)
    encode_s = time.perf_counter() - begin
    begin = time.perf_counter()
    encoder.encode([piece.text for chunks in chunk_many(some, encoder) for piece in chunks])
    both_s = time.perf_counter() - begin
    return result | {"chunks": len(ready), "encode_s": encode_s, "both_s": both_s}


def _longest_pause(call: Callable[[], Any]) -> tuple[float, Any]:
    """Call, while another thread wakes up every millisecond; returns its longest gap in ms."""
    done = threading.Event()
    gaps = [0.0]

    def tick() -> None:
        last = time.perf_counter()
        while not done.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    ticker = threading.Thread(target=tick)
    ticker.start()
    try:
        value = call()
    finally:
        done.set()
        ticker.join()
    return 1000 * max(gaps), value
