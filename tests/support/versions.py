"""Versions of a source that follow each other; a job over one of them, to be killed.

python tests/support/versions.py SOURCE.jsonl --path DIR|--url URL     # syncs, with prune
"""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from typing import Any

import numpy as np

from multiqa_integrations.etl import Progress, sync
from multiqa_integrations.qdrant import Point, Store, open_store
from multiqa_integrations.testing import FakeEncoder

Row = dict[str, Any]

COLLECTION = "docs"


def first_version(count: int, chance: random.Random) -> list[Row]:
    return [row(number, chance) for number in range(count)]


def row(number: int, chance: random.Random) -> Row:
    # One in five has several chunks.
    sentences = chance.randrange(1, 5) if chance.random() < 0.8 else chance.randrange(60, 150)
    words = " ".join(f"Word{chance.randrange(50)} and more." for _ in range(sentences))
    return {"id": f"d{number}", "text": f"{number}: {words}", "n": chance.randrange(5)}


def next_version(version: list[Row], share: float, chance: random.Random) -> list[Row]:
    """Add, change, give other metadata, delete: each `share` of the documents."""
    last = max(int(one["id"][1:]) for one in version)
    following = []
    for one in version:
        event = chance.random() / share
        if event < 1:
            continue
        if event < 2:
            following.append({**row(int(one["id"][1:]), chance), "n": one["n"]})
        elif event < 3:
            following.append({**one, "n": one["n"] + 1})
        else:
            following.append(one)
    added = range(last + 1, last + 1 + int(share * len(version)))
    following += [row(number, chance) for number in added]
    chance.shuffle(following)
    return following


def points_of(store: Store, **options: Any) -> list[Point]:
    points: list[Point] = []
    offset = None
    while True:
        page, offset = store.scroll(COLLECTION, offset=offset, limit=1_000, **options)
        points += page
        if offset is None:
            return points


def assert_equal(store: Store, version: list[Row]) -> None:
    """The collection has the version, whole, and nothing else; found without any hash."""
    documents: dict[str, list[Point]] = defaultdict(list)
    for point in points_of(store, with_vectors=True):
        documents[point.payload["metadata"]["document_id"]].append(point)
    assert documents.keys() == {one["id"] for one in version}
    encoder = FakeEncoder()
    for one in version:
        points = sorted(documents[one["id"]], key=lambda point: point.payload["metadata"]["chunk"])
        assert [p.payload["metadata"]["chunk"] for p in points] == list(range(len(points)))
        assert all(p.payload["metadata"]["n"] == one["n"] for p in points)
        texts = [p.payload["page_content"] for p in points]
        assert " ".join(texts).split() == one["text"].split()
        vectors = np.stack([p.vectors[""] for p in points])  # type: ignore[misc]
        np.testing.assert_allclose(vectors, encoder.encode(texts), atol=1e-6)


def main(source: str, kind: str, where: str) -> None:
    def progress(one: Progress) -> None:
        sys.stdout.write(f"{one.records}\n")
        sys.stdout.flush()

    with open_store(**{kind.removeprefix("--"): where}) as store:  # type: ignore[arg-type]
        sync(
            source,
            COLLECTION,
            store=store,
            encoder=FakeEncoder(),
            prune=True,
            max_delete_share=0.5,
            progress=progress,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
