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
    """Store the texts of a JSON file on a server.

    The time is from when all have their model to the end of the report: neither a cluster's start
    nor its end counts.
    """
    from multiqa_integrations import distributed, etl
    from multiqa_integrations.distributed import driver
    from multiqa_integrations.etl.reports import Progress
    from multiqa_integrations.qdrant import open_store
    from tests.benchmark.loaded_encoder import load

    documents: list[str] = json.loads(Path(texts).read_text(encoding="utf-8"))
    settings = implementations.our_encoder("auto", model, limit_tokens).settings
    name = f"bench-{uuid.uuid4().hex[:12]}"
    driver._PROGRESS_SECONDS = 0.0  # told at once that all are ready, not half a second later
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
        encoder = load(settings)
        started = time.perf_counter()
        try:
            if count is None:
                ready.append(started)
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
        finally:
            with open_store(url=url) as store:
                store.drop(name)
    return {
        "seconds": started + report.seconds - ready[0],
        "start_s": ready[0] - begun,
        "points": report.encoded,
        "documents": report.added,
    }
