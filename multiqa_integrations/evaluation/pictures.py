"""A picture of a training, as a file of SVG that stands by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from multiqa_integrations._optional import require
from multiqa_integrations.evaluation.numerals import interval, signed

_INK, _SOFT, _GRID = "#30343b", "#6b7280", "#d9dce1"
_BEFORE, _AFTER = "#9aa3b2", "#2f6fde"
_RC = {
    "svg.fonttype": "none",
    "svg.hashsalt": "multiqa",  # the same picture of the same figures
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _SOFT,
    "axes.edgecolor": _SOFT,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "ytick.major.size": 0,
    "grid.color": _GRID,
    "legend.frameon": False,
}


@dataclass(frozen=True, slots=True)
class Change:
    """The mean of a measure before and after.

    Attributes:
        name: Of the retrieval set.
        before: The mean before.
        after: The mean after.
        low: Lower end of the 95 % confidence interval of the difference; None if there is none.
        high: Upper end.
    """

    name: str
    before: float
    after: float
    low: float | None
    high: float | None


def draw_training(
    file: Path, loss: Sequence[tuple[int, float]], changes: Sequence[Change], *, metric: str
) -> None:
    """Draw the loss by step, and a measure before and after with the interval of its difference.

    Args:
        file: Where the SVG is written.
        loss: Steps, each with the loss there.
        changes: One a retrieval set.
        metric: The measure.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    matplotlib = require("matplotlib", purpose="drawing plots")
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_RC):
        figure = Figure((9.4, 2.9), layout="constrained", facecolor="white")
        left, right = figure.subplots(1, 2)
        left.plot([step for step, _ in loss], [value for _, value in loss], color=_AFTER)
        left.set_title("Loss")
        left.set_xlabel("step")
        left.set_ylim(bottom=0)
        left.grid(axis="y")
        for place, change in enumerate(changes):
            right.bar(place - 0.2, change.before, 0.36, color=_BEFORE, label="before")
            right.bar(place + 0.2, change.after, 0.36, color=_AFTER, label="after")
            if change.low is not None and change.high is not None:
                # Where it would lie with other queries, beside the same figure before.
                ends = [change.before + change.low, change.before + change.high]
                errors = [[change.after - ends[0]], [ends[1] - change.after]]
                right.errorbar(
                    place + 0.2, change.after, yerr=errors, color=_INK, capsize=3, linewidth=1.2
                )
        right.set_title(f"{metric}, with the 95 % interval of the difference")
        right.set_xticks(
            range(len(changes)),
            [
                f"{change.name}\n{signed(change.after - change.before, 4)}"
                f" ({interval(change.low, change.high)})"
                for change in changes
            ],
        )
        right.set_xlim(-0.7, len(changes) - 0.3)
        right.set_ylim(0, 1)
        right.grid(axis="y")
        handles, labels = right.get_legend_handles_labels()
        right.legend(handles[:2], labels[:2], ncols=2, loc="upper right")
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing)
