"""On an accelerator: bfloat16, and batches so large that gradients are cached."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("accelerate")
pytest.importorskip("datasets")
pytest.importorskip("torch")

import torch

from multiqa_integrations.training import train
from tests.support.pairs import glossary

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="torch finds no CUDA device on this machine"
    ),
]


def test_it_learns_in_large_batches(test_model: Path, tmp_path: Path) -> None:
    report = train(
        glossary(430),
        tmp_path / "model",
        base=test_model,
        steps=40,
        batch_size=256,
        learning_rate=3e-4,
        device="cuda",
    )
    assert report.better
    assert not report.settings["freeze_embeddings"]
    assert report.settings["max_length"] == 250
