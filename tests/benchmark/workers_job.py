"""What the worker of `workers` does: a sync by this process, or by workers on Ray."""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from tests.benchmark import implementations

ALONE = "one process, all processors"
WORKERS = {"1 worker of 1 thread": 1, "2 workers of 1 thread": 2}


def workers(
    *, implementation: str, model: str, limit_tokens: int, texts: str, url: str
) -> dict[str, Any]:
    """Store the texts of a JSON file on a server; the time is without that until all are ready."""
    from multiqa_integrations import distributed, etl
    from multiqa_integrations.etl.reports import Progress
    from multiqa_integrations.qdrant import open_store

    documents: list[str] = json.loads(Path(texts).read_text(encoding="utf-8"))
    encoder = implementations.our_encoder("auto", model, limit_tokens)
    name = f"bench-{uuid.uuid4().hex[:12]}"
    ready: list[float] = []
    count = WORKERS.get(implementation)
    with tempfile.TemporaryDirectory(prefix="multiqa-bench-") as folder:
        source = Path(folder) / "source.jsonl"
        rows = ({"id": number, "text": text} for number, text in enumerate(documents))
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

        def note(progress: Progress) -> None:
            if not ready and progress.workers == count:
                ready.append(time.perf_counter())

        begun = time.perf_counter()
        try:
            if count is None:
                encoder.encode(["warm up", "and once more"])
                ready.append(time.perf_counter())
                report = etl.sync(str(source), name, url=url, encoder=encoder)
            else:
                report = distributed.sync(
                    str(source),
                    name,
                    url=url,
                    encoder=encoder,
                    address="local",
                    workers=count,
                    progress=note,
                )
            ended = time.perf_counter()
        finally:
            with open_store(url=url) as store:
                store.drop(name)
    return {
        "seconds": ended - ready[0],
        "start_s": ready[0] - begun,
        "points": report.encoded,
        "documents": report.added,
    }
