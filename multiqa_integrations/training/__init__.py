"""Train the model on your own pairs by its own recipe: `multiqa train`.

Examples:
    >>> from multiqa_integrations.training import train
    >>> report = train("faq.jsonl", "./my-model", minutes=10)  # doctest: +SKIP
    >>> print(report.measured.sentence)  # doctest: +SKIP
"""

from __future__ import annotations

from multiqa_integrations.training.pairs import PairFields, PairSet, read_data_config
from multiqa_integrations.training.read import SetCounts
from multiqa_integrations.training.recipe import Recipe
from multiqa_integrations.training.report import Measured, TrainProgress, TrainReport
from multiqa_integrations.training.train import train

__all__ = [
    "Measured",
    "PairFields",
    "PairSet",
    "Recipe",
    "SetCounts",
    "TrainProgress",
    "TrainReport",
    "read_data_config",
    "train",
]
