"""What a training has done, and whether its model is better."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from multiqa_integrations.evaluation.numerals import interval, signed
from multiqa_integrations.training.read import SetCounts

Phase: TypeAlias = Literal["reading", "measuring", "mining", "training", "blending", "writing"]

SHOWN = ("nDCG@10", "MRR@10", "recall@100")
"""The measures that are reported; the first decides."""


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """How far a training is.

    Attributes:
        phase: What it is at.
        detail: More of that, in words.
        step: Steps that are done.
        steps: All that are planned; 0 before that.
        loss: The latest; None before there is one.
        rate: Examples per second.
        seconds_left: Until the steps are done; None before that can be told.
    """

    phase: Phase
    detail: str = ""
    step: int = 0
    steps: int = 0
    loss: float | None = None
    rate: float = 0.0
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A model before and after training, on one retrieval set.

    Attributes:
        name: Of the set.
        queries: How many were asked.
        documents: How many were searched.
        before: By measure, the mean of the base.
        after: By measure, the mean of the trained model.
        difference: The mean difference in nDCG@10.
        low: Lower end of its 95 % confidence interval.
        high: Upper end.
        p_value: How likely a difference at least as large is if both are equally good.
    """

    name: str
    queries: int
    documents: int
    before: dict[str, float]
    after: dict[str, float]
    difference: float
    low: float | None
    high: float | None
    p_value: float | None

    @property
    def better(self) -> bool:
        """Whether the trained model is better beyond noise: the interval lies above 0."""
        return self.low is not None and self.low > 0

    @property
    def worse(self) -> bool:
        """Whether it is worse beyond noise."""
        return self.high is not None and self.high < 0

    @property
    def sentence(self) -> str:
        """The difference, in words."""
        verdict = "better" if self.better else "worse" if self.worse else "no different from noise"
        return (
            f"{SHOWN[0]} {self.before[SHOWN[0]]:.4f} before, {self.after[SHOWN[0]]:.4f} after: "
            f"{signed(self.difference, 4)} (95 % interval {interval(self.low, self.high)}), "
            f"{verdict}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What a training has done.

    Attributes:
        out: Where the model is; None after a dry run.
        base: What was trained.
        base_fingerprint: Names its weights.
        fingerprint: Names the trained weights; None after a dry run.
        sets: What was read of each set.
        pairs: What was trained on.
        held_out: Pairs that were not.
        long_texts: The share of the texts that are longer than 250 word pieces.
        steps: Steps of the training.
        epochs: How often a pair was seen, on average.
        settings: Everything that was chosen, by the user or by default.
        loss: Steps, each with the loss there.
        blend: The share of the trained weights in what was written; the rest is the base's.
        blends: nDCG@10 of each share that was tried, on queries that are not reported on.
        measured: The held-out queries; None after a dry run.
        general: The set that was to be kept, if one was named.
        notes: What is to be known about the data, in sentences.
        rejections: The first rejected records, each with its place and the reason. They may quote
            text, and are not written to `out`.
        seconds: How long it took, from the last start.
    """

    out: Path | None
    base: str
    base_fingerprint: str
    fingerprint: str | None = None
    sets: tuple[SetCounts, ...]
    pairs: int
    held_out: int
    long_texts: float
    steps: int
    epochs: float
    settings: dict[str, Any]
    loss: tuple[tuple[int, float], ...] = ()
    blend: float = 1.0
    blends: dict[float, float] = field(default_factory=dict)
    measured: Measured | None = None
    general: Measured | None = None
    notes: tuple[str, ...] = ()
    rejections: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def better(self) -> bool:
        """Whether the model is better than its base beyond noise, on the held-out queries."""
        return self.measured is not None and self.measured.better

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            **asdict(self),
            "out": None if self.out is None else str(self.out),
            "loss": [list(point) for point in self.loss],
            "blends": {f"{share:g}": value for share, value in self.blends.items()},
            "sets": [asdict(counts) for counts in self.sets],
            "better": self.better,
        }
