from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def bench_texts() -> list[str]:
    """Two of twenty words and more, two short ones, and one over the limit of the model."""
    return [
        "Around nine million people live in London, which makes it the largest city of the "
        "country; it has been settled for two thousand years.",
        "short one",
        "brief two",
        "The river rises in the hills to the west and reaches the sea after three hundred and "
        "forty-six kilometres, most of them through farmland.",
        "It was raining when they left the station. " * 60,
    ]


@pytest.fixture(scope="session")
def records(bench_texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of these texts, in the field "body", and an empty one."""
    file = tmp_path_factory.mktemp("bench") / "records.jsonl.gz"
    with gzip.open(file, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"body": text}) + "\n" for text in [*bench_texts, " "])
    return file
