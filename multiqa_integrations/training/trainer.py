"""sentence-transformers' trainer, with our batches and losses, and without its model card.

Its card quotes sentences that were trained on, in every checkpoint too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.sentence_transformer.training_args import (
    SentenceTransformerTrainingArguments,
)
from transformers import PrinterCallback, ProgressCallback, TrainerCallback

from multiqa_integrations.training.pairs import Pair
from multiqa_integrations.training.recipe import GRADIENT_NORM, SCALE
from multiqa_integrations.training.room import RESUME, write_error
from multiqa_integrations.training.sampler import (
    Conflicts,
    GroupedBatchSampler,
    WeightedBatchSampler,
    conflicts,
)

_WARM_UP, _MEASURED = 1, 4  # batches of which the speed is measured
_MEASURED_SECONDS = 20.0  # with one of them at least, no more are begun after that
_CHECKPOINTS = 10
_POINTS = 200  # of the curve of the loss


@dataclass(frozen=True, slots=True)
class Part:
    """The pairs or the triplets of a data set.

    Attributes:
        name: Of the part.
        rows: Its examples, all with a negative or all without.
        weight: How often it is drawn.
    """

    name: str
    rows: list[Pair]
    weight: float

    @property
    def triplets(self) -> bool:
        """Whether its examples have a negative."""
        return bool(self.rows[0].negatives)


def parts_of(pairs: Sequence[Pair], weights: Sequence[float]) -> list[Part]:
    """Make the parts of which batches are drawn: pairs and triplets never stand in one batch.

    A pair with several negatives makes as many triplets. What a set has of both shares its weight
    in proportion to their numbers.
    """
    parts = []
    for number, weight in enumerate(weights):
        plain = [pair for pair in pairs if pair.set == number and not pair.negatives]
        triplets = [
            pair._replace(negatives=(negative,))
            for pair in pairs
            if pair.set == number
            for negative in pair.negatives
        ]
        total = len(plain) + len(triplets)
        for kind, rows in (("pairs", plain), ("triplets", triplets)):
            if rows:
                parts.append(Part(f"{number}-{kind}", rows, weight * len(rows) / total))
    return parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the trainer is told.

    Attributes:
        batch_size: Examples of a batch.
        learning_rate: The highest.
        warmup: The share of the steps during which it grows.
        max_length: Word pieces of a text.
        cached: Word pieces that are computed at a time, by gradient caching; None for all.
        seed: Of batches and dropout.
        prompts: By column.
    """

    batch_size: int
    learning_rate: float
    warmup: float
    max_length: int
    cached: int | None
    seed: int
    prompts: Mapping[str, str]


class PairTrainer(SentenceTransformerTrainer):
    """The trainer with batches of ours."""

    def __init__(
        self,
        model: SentenceTransformer,
        parts: Sequence[Part],
        settings: Settings,
        *,
        steps: int,
        folder: Path,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        """Prepare so many steps, with checkpoints in a folder."""
        self._steps = steps
        self._weights = [part.weight for part in parts]
        self._conflicts: dict[str, Conflicts] = {part.name: conflicts(part.rows) for part in parts}
        on_cpu = model.device.type == "cpu"
        arguments = SentenceTransformerTrainingArguments(
            output_dir=str(folder),
            max_steps=steps,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=math.ceil(steps * settings.warmup),
            weight_decay=0.0,
            max_grad_norm=GRADIENT_NORM,
            optim="adamw_torch",
            seed=settings.seed,
            data_seed=settings.seed,
            bf16=model.device.type == "cuda" and torch.cuda.is_bf16_supported(),
            use_cpu=on_cpu,
            prompts=dict(settings.prompts) or None,
            logging_steps=max(1, steps // _POINTS),
            logging_nan_inf_filter=False,
            save_strategy="steps",
            save_steps=max(1, math.ceil(steps / _CHECKPOINTS)),
            save_total_limit=1,
            disable_tqdm=True,
            report_to="none",
            dataloader_pin_memory=not on_cpu,
        )
        model.max_seq_length = settings.max_length
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=DatasetDict(
                {part.name: _dataset(part, settings.max_length) for part in parts}
            ),
            loss={part.name: _loss(model, part.triplets, settings.cached) for part in parts},
            callbacks=list(callbacks),
        )
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)

    def get_batch_sampler(  # type: ignore[override]
        self, dataset: Dataset, **settings: Any
    ) -> GroupedBatchSampler:
        """Return the sampler of a part."""
        return GroupedBatchSampler(
            dataset, conflicts=self._conflicts[dataset.info.description], **settings
        )

    def get_multi_dataset_batch_sampler(  # type: ignore[override]
        self, dataset: Any, **settings: Any
    ) -> WeightedBatchSampler:
        """Return the sampler of all."""
        return WeightedBatchSampler(dataset, weights=self._weights, steps=self._steps, **settings)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Make no card of sentence-transformers' own."""

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        folder = Path(output_dir or self.args.output_dir or "")
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(str(folder), create_model_card=False)

    def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
        try:
            super()._save_checkpoint(*arguments, **options)
        except (OSError, SafetensorError, RuntimeError) as error:  # the last is torch's
            folder = Path(self.args.output_dir or "")
            raise write_error(
                f"a checkpoint cannot be written to {str(folder)!r}",
                error,
                folder,
                sum(tensor.nbytes for tensor in self.model.state_dict().values()),
                again=RESUME,
            ) from error

    def seconds_per_step(self, show: Callable[[str], None]) -> float:
        """Measure how long a step takes, without changing the model.

        Args:
            show: Called before each batch; ends the measuring by an error.
        """
        self.model.train()
        times: list[float] = []
        for inputs in self.get_train_dataloader():
            show(f"how long a step takes, {len(times)} of {_WARM_UP + _MEASURED}")
            began = time.perf_counter()
            loss: Any = self.compute_loss(self.model, self._prepare_inputs(inputs))
            loss.backward()
            self.model.zero_grad()
            times.append(time.perf_counter() - began)
            if len(times) == _WARM_UP + _MEASURED:
                break
            if len(times) > _WARM_UP and sum(times) > _MEASURED_SECONDS:
                break
        measured = times[_WARM_UP:] or times
        return sum(measured) / len(measured)


def _dataset(part: Part, max_length: int) -> Dataset:
    columns = {
        "query": [_cut(row.query, max_length) for row in part.rows],
        "positive": [_cut(row.positive, max_length) for row in part.rows],
    }
    if part.triplets:
        columns["negative"] = [_cut(row.negatives[0], max_length) for row in part.rows]
    dataset = Dataset.from_dict(columns)
    dataset.info.description = part.name
    return dataset


def _cut(text: str, max_length: int) -> str:
    """Leave out what is certainly beyond the limit, which would be tokenised at every step."""
    if len(text) <= 32 * max_length:
        return text
    return " ".join(text.split(maxsplit=max_length)[:max_length])


def _loss(model: SentenceTransformer, triplets: bool, cached: int | None) -> torch.nn.Module:
    settings: dict[str, Any] = {"scale": SCALE}
    if not triplets:
        settings |= {
            "directions": ("query_to_doc", "doc_to_query"),
            "partition_mode": "per_direction",
        }
    if cached is None:
        return MultipleNegativesRankingLoss(model, **settings)
    return CachedMultipleNegativesRankingLoss(model, mini_batch_num_tokens=cached, **settings)
