"""Measure a model on retrieval sets, before and after it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.evaluation import Configuration, Dataset, compare, evaluate
from multiqa_integrations.evaluation.encoding import Progress
from multiqa_integrations.evaluation.metrics import Scores
from multiqa_integrations.training.report import SHOWN, Measured
from multiqa_integrations.types import Encoder

_LIMIT = 100  # hits of a query: recall@100 needs no more


@dataclass(frozen=True)
class Held:
    """A retrieval set, and which of its queries are reported on.

    Attributes:
        dataset: The set.
        reported: Rows of its queries.
        chosen_on: Rows of the others, on which the blend is chosen; none where it is not.
    """

    dataset: Dataset
    reported: NDArray[np.intp]
    chosen_on: NDArray[np.intp]


def scores_of(dataset: Dataset, encoder: Encoder, progress: Progress) -> Scores:
    """Search a set exactly; returns the value of each query by measure."""
    found = evaluate(
        dataset,
        Configuration(encoder=encoder),
        limit=min(_LIMIT, max(10, len(dataset.document_ids))),
        ignore_identical_ids=True,
        progress=progress,
    )
    return found.results[0].scores


def measured(
    dataset: Dataset,
    name: str,
    before: Scores,
    after: Scores,
    rows: NDArray[np.intp],
    seed: int,
) -> Measured:
    """Compare two models by some of the queries of a set."""
    compared = compare(before[SHOWN[0]][rows], after[SHOWN[0]][rows], metric=SHOWN[0], seed=seed)
    return Measured(
        name=name,
        queries=len(rows),
        documents=len(dataset.document_ids),
        before={metric: float(before[metric][rows].mean()) for metric in SHOWN},
        after={metric: float(after[metric][rows].mean()) for metric in SHOWN},
        difference=compared.mean,
        low=compared.low,
        high=compared.high,
        p_value=compared.p_value,
    )


def best(shares: Sequence[float], values: Sequence[float]) -> float:
    """Return the share with the highest value; of equal ones the smallest, nearest to the base."""
    return min(zip(shares, values, strict=True), key=lambda tried: (-tried[1], tried[0]))[0]
