"""A process that measures one thing: `python -m multiqa_integrations.benchmark.jobs`.

It reads `{"job": "module:function", …arguments}` as JSON from standard input, and writes what the
function returns as JSON to standard output. Only the standard library and numpy are imported here:
all else belongs to the cold start.
"""

from __future__ import annotations

import json
import os
import pkgutil
import sys
import tempfile
import time
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from multiqa_integrations.encoder import MultiQAEncoder


def encode(
    *, model: str, limit_tokens: int, device: str, dtype: str, texts: str, folder: str
) -> dict[str, Any]:
    """Encode the texts of a JSON file, and leave the vectors in a folder, as DTYPE.npy."""
    inputs = read(texts)
    encoder = make_encoder(model, limit_tokens, device, dtype=dtype)
    encoder.encode(inputs[:32])  # libraries prepare themselves at their first calls
    begin = time.perf_counter()
    vectors = encoder.encode(inputs)
    seconds = time.perf_counter() - begin
    np.save(Path(folder) / f"{dtype}.npy", vectors)
    return {"seconds": seconds, "peak_mb": peak_memory()}


def first_vector(
    *, model: str, limit_tokens: int, device: str, dtype: str, text: str
) -> dict[str, Any]:
    """Encode one text and end; the parent measures how long the process lives."""
    make_encoder(model, limit_tokens, device, dtype=dtype).encode([text])
    return {}


def query_latency(
    *, model: str, limit_tokens: int, device: str, dtype: str, texts: str
) -> dict[str, Any]:
    """Encode texts one at a time, each only once."""
    encoder = make_encoder(model, limit_tokens, device, dtype=dtype)
    for text in ("warm up", "and once more", "with another length, a little longer"):
        encoder.encode([text])
    latencies = []
    for text in read(texts):
        begin = time.perf_counter()
        encoder.encode([text])
        latencies.append(time.perf_counter() - begin)
    return {"latencies": latencies, "peak_mb": peak_memory()}


def ingest(
    *, model: str, limit_tokens: int, device: str, dtype: str, texts: str, url: str | None
) -> dict[str, Any]:
    """Sync the texts of a JSON file to an empty collection, on this disk or on a server."""
    from multiqa_integrations.etl import sync
    from multiqa_integrations.qdrant import open_store

    documents = [{"id": number, "text": text} for number, text in enumerate(read(texts))]
    encoder = make_encoder(model, limit_tokens, device, dtype=dtype)
    encoder.encode(["warm up", "and once more"])
    collection = f"bench-{uuid.uuid4().hex[:12]}"
    with (
        tempfile.TemporaryDirectory(prefix="multiqa-bench-") as folder,
        open_store(url=url, path=None if url else folder) as store,
    ):
        begin = time.perf_counter()
        try:
            points = sync(documents, collection, encoder=encoder, store=store).encoded
            seconds = time.perf_counter() - begin
        finally:
            store.drop(collection)
    return {"seconds": seconds, "points": points, "peak_mb": peak_memory()}


def peaks(*, device: str, **_: object) -> dict[str, Any]:
    """Measure how fast matrix products are on a device at most; no model is needed."""
    if device == "cpu":
        from multiqa_integrations.backends import openvino_peak

        return {"peaks": openvino_peak.measure_peaks(), "by": "OpenVINO, all processors at work"}
    from multiqa_integrations.backends import torch_device, torch_peak

    name = torch_device.device_name(device)
    return {"peaks": torch_peak.measure_peaks(device), "by": f"torch on {device}, {name}"}


def make_encoder(model: str, limit_tokens: int, device: str, **settings: Any) -> MultiQAEncoder:
    """Make an encoder that truncates long texts silently."""
    from multiqa_integrations.encoder import MultiQAEncoder
    from multiqa_integrations.errors import PerformanceWarning

    warnings.simplefilter("ignore", PerformanceWarning)  # the figures say it
    return MultiQAEncoder(
        model,
        device=device,
        max_seq_length=limit_tokens,
        on_truncation="ignore",
        **settings,
    )


def read(file: str) -> list[str]:
    """Read the texts of a JSON file."""
    texts: list[str] = json.loads(Path(file).read_text(encoding="utf-8"))
    return texts


def peak_memory() -> float | None:
    """Return the largest resident size of this process so far, in MB; None where unknown."""
    # Not `ru_maxrss` on Linux: a process started from a larger one inherits its peak.
    high_water = memory("VmHWM")
    if high_water is not None or os.name == "nt":
        return high_water
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def memory(field: str = "VmRSS") -> float | None:
    """Return the resident size of this process, in MB; None where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
        return int(line.split()[1]) * 1024 / 1e6
    except (OSError, StopIteration, ValueError):
        return None


def main() -> None:
    """Run the job; what libraries print goes to standard error."""
    parent = os.dup(1)
    os.dup2(2, 1)
    task = json.load(sys.stdin)
    result = pkgutil.resolve_name(task.pop("job"))(**task)
    with os.fdopen(parent, "w", encoding="utf-8") as stream:
        json.dump(result, stream)


if __name__ == "__main__":
    main()
