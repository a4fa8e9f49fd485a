"""The recipe: how the model was trained, as far as it matters, and what may be chosen.

MultipleNegativesRankingLoss over cosine similarities times 20, mean pooling, AdamW with a linear
warm-up and a learning rate of 2e-5, gradients cut to a norm of 1, texts of up to 250 word pieces,
data sets drawn by weight; pairs with a symmetric loss, triplets with hard negatives one way.

Source: the model card and its train_script.py,
https://huggingface.co/sentence-transformers/multi-qa-MiniLM-L6-cos-v1
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from multiqa_integrations.errors import ConfigurationError

SCALE = 20.0
GRADIENT_NORM = 1.0
TRAINED_LENGTH = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train. What is None is chosen by the device, the texts and the time.

    Attributes:
        minutes: What training and measuring may take together. The number of steps is planned by
            it when the run begins, and then stays.
        steps: That number, where it must not depend on how fast the machine is.
        epochs: How often a pair is seen at most.
        batch_size: Examples of a batch; by default 32 on a processor, 1,024 on an accelerator.
        learning_rate: The highest, reached after the warm-up.
        warmup: The share of the steps during which the learning rate grows.
        max_length: Word pieces of a text that are trained on; by default 250, on a processor 128
            or 64 where the time is too short for that.
        freeze_embeddings: Leave the vectors of the word pieces as they are; by default on a
            processor.
        seed: The same seed gives the same split, batches and, with the same steps and threads on
            one machine, weights.
        device: "auto", "cpu", or a torch device such as "cuda:0".
        threads: Processors to use; by default torch's choice.
    """

    minutes: float = 10.0
    steps: int | None = None
    epochs: float = 3.0
    batch_size: int | None = None
    learning_rate: float = 2e-5
    warmup: float = 0.1
    max_length: int | None = None
    freeze_embeddings: bool | None = None
    seed: int = 0
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, least, most in (
            ("minutes", 0, 10_000),
            ("epochs", 0, 1_000),
            ("learning_rate", 0, 1),
        ):
            value = getattr(self, name)
            if not _is_number(value) or not least < value <= most:
                raise ConfigurationError(
                    f"{name} is {value!r}, expected more than {least} and at most {most:,}."
                )
        if not _is_number(self.warmup) or not 0 <= self.warmup < 1:
            raise ConfigurationError(f"warmup is {self.warmup!r}, expected 0 or more, below 1.")
        for name, least, most in (
            ("steps", 1, 10_000_000),
            ("batch_size", 2, 65_536),
            ("max_length", 8, 512),
            ("seed", 0, 2**31 - 1),
            ("threads", 1, 1_024),
        ):
            value = getattr(self, name)
            if value is None and name != "seed":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise ConfigurationError(
                    f"{name} is {value!r}, expected a whole number from {least} to {most:,}."
                )
        if self.freeze_embeddings not in (None, True, False):
            raise ConfigurationError(
                f"freeze_embeddings is {self.freeze_embeddings!r}, expected True, False or None."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return it as `Recipe(**…)` takes it."""
        return asdict(self)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
