"""What a measure finds: a table of figures, several values each where there were rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

WIDE_SPREAD = 1.25
"""Above this ratio of the largest to the smallest value a figure says little by itself."""


@dataclass(frozen=True, slots=True)
class Column:
    """A kind of figure.

    Attributes:
        name: With its unit.
        digits: After the point.
    """

    name: str
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one implementation.

    Attributes:
        name: Of the implementation.
        figures: One value a round for each column; no entry where it was not measured.
        note: What is to be known about it, such as why there are no figures.
    """

    name: str
    figures: Mapping[str, Sequence[float]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """The result of a measure.

    Attributes:
        measure: Its name on the command line.
        title: What was measured, on how much text.
        columns: In the order to be shown.
        rows: In the order to be shown.
        remarks: Sentences that belong below it.
    """

    measure: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    remarks: Sequence[str] = ()


def is_wide(values: Sequence[float]) -> bool:
    """Tell whether the values differ too much for their median to be relied on."""
    return min(values) > 0 and max(values) / min(values) > WIDE_SPREAD


def speed_ratios(seconds: Sequence[float], baseline: Sequence[float] | None) -> list[float]:
    """Tell how many times as fast as the baseline each round was; no values without one.

    Rounds are compared with their own round: what disturbs the machine for minutes disturbs
    both. A round that one of the two did not finish is left out.
    """
    if baseline is None:
        return []
    return [theirs / ours for ours, theirs in zip(seconds, baseline, strict=False)]


def present(figures: Mapping[str, Sequence[float | None]]) -> dict[str, list[float]]:
    """Leave out what could not be measured on this machine."""
    kept = {name: [v for v in values if v is not None] for name, values in figures.items()}
    return {name: values for name, values in kept.items() if values}
