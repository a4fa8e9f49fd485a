"""What the trainer is given: losses, lengths, what is learned and what stays."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate")
pytest.importorskip("datasets")
pytest.importorskip("torch")

import torch
from transformers import TrainerState

from multiqa_integrations.checkpoint import resolve
from multiqa_integrations.errors import TrainingError
from multiqa_integrations.training.fit import Plan, _Watch, load
from multiqa_integrations.training.pairs import Pair
from multiqa_integrations.training.trainer import PairTrainer, Settings, parts_of
from tests.support.pairs import glossary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def settings(cached: int | None) -> Settings:
    return Settings(
        batch_size=8,
        learning_rate=1e-4,
        warmup=0.1,
        max_length=16,
        cached=cached,
        seed=0,
        prompts={},
    )


def test_losses_and_columns(test_model: Path, tmp_path: Path) -> None:
    """The symmetric loss for pairs, one way for triplets, whatever is cached; scale 20, cosine."""
    pairs = [Pair(row["query"], row["positive"]) for row in glossary(24)]
    triplets = [pair._replace(negatives=(f"not {pair.query}",), set=1) for pair in pairs]
    model = load(resolve(test_model), torch.device("cpu"), frozen=True).eval()
    found = []
    for cached in (None, 64):
        trainer = PairTrainer(
            model,
            parts_of([*pairs, *triplets], [1.0, 1.0]),
            settings(cached),
            steps=4,
            folder=tmp_path / "checkpoints",
        )
        losses: dict[str, float] = {}
        for inputs in trainer.get_train_dataloader():
            name = inputs["dataset_name"]
            texts = [key for key in inputs if key.endswith("_input_ids")]
            assert len(texts) == (2 if name == "0-pairs" else 3)
            assert inputs[texts[0]].shape[0] == 8
            vectors = [
                torch.nn.functional.normalize(
                    model(
                        {
                            part: inputs[f"{column}_{part}"]
                            for part in ("input_ids", "attention_mask", "token_type_ids")
                        }
                    )["sentence_embedding"]
                )
                for column in ("query", "positive", "negative")[: len(texts)]
            ]
            query, documents = vectors[0], torch.cat(vectors[1:])
            right = torch.arange(8)
            expected = torch.nn.functional.cross_entropy(20 * query @ documents.T, right)
            if name == "0-pairs":
                back = torch.nn.functional.cross_entropy(20 * documents @ query.T, right)
                expected = (expected + back) / 2
            loss: Any = trainer.compute_loss(model, dict(inputs))
            assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
            losses.setdefault(name, loss.item())
        found.append(losses)
    assert found[0].keys() == {"0-pairs", "1-triplets"}
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_a_loss_that_is_not_finite_ends_it() -> None:
    plan = Plan(settings(None), steps=9, frozen=True, seconds_per_step=0.0)
    watch = _Watch(plan, lambda _: None, None)
    state = TrainerState(global_step=7)
    watch.on_log(None, state, None, logs={"loss": 0.7})
    watch.on_log(None, state, None, logs={"train_runtime": 1.0})
    for loss in (math.nan, math.inf):
        with pytest.raises(TrainingError, match="at step 7: the training diverged. Pass a smaller"):
            watch.on_log(None, state, None, logs={"loss": loss})


def test_frozen_embeddings(test_model: Path) -> None:
    for frozen in (True, False):
        model = load(resolve(test_model), torch.device("cpu"), frozen=frozen)
        learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert any("encoder.layer.5.output" in name for name in learned)
        assert any("word_embeddings" in name for name in learned) is not frozen
        assert not any("pooler" in name for name in learned)
