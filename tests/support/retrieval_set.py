"""A small retrieval set in the format of BEIR."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

DOCUMENTS = {
    "press": ("Presses", "The red button stops the press at once."),
    "oil": ("Care", "Oil the bearings of the press once a year."),
    "belt": ("", "The belt is changed when it squeals."),
    "lamp": ("Lamps", "A green lamp tells that the press may start."),
    "key": ("Locks", "The key of the cabinet hangs behind the door."),
}
QUERIES = {
    "q1": "which button stops the press",
    "q2": "when to change the belt",
    "q3": "what does the green lamp tell",
    "q4": "where is the key of the cabinet",
    "spare": "nobody judged this one",
}
QRELS = [("q1", "press", 2), ("q1", "oil", 1), ("q2", "belt", 1), ("q3", "lamp", 1)]
QRELS += [("q3", "key", 0), ("q4", "key", 1), ("q4", "gone", 1)]


class MakeSet(Protocol):
    """Call `write_set` with a folder of that name."""

    def __call__(self, name: str = ..., **parts: Any) -> Path: ...


def write_set(
    folder: Path,
    documents: Mapping[str, tuple[str, str]] = DOCUMENTS,
    queries: Mapping[str, str] = QUERIES,
    qrels: Sequence[tuple[str, str, int]] = QRELS,
) -> Path:
    """Write a retrieval set into a new folder and return the folder."""
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": k, "title": title, "text": v} for k, (title, v) in documents.items()]
    asked = [{"_id": k, "text": v} for k, v in queries.items()]
    for file, records in (("corpus.jsonl", corpus), ("queries.jsonl", asked)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / file).write_text(lines, encoding="utf-8")
    judged = "".join(f"{q}\t{d}\t{score}\n" for q, d, score in qrels)
    (folder / "qrels" / "test.tsv").write_text(
        f"query-id\tcorpus-id\tscore\n{judged}", encoding="utf-8"
    )
    return folder
