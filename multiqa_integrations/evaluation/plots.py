"""Plots as SVG for a page (`page`), drawn by matplotlib in the colours of the page's style sheet.

Text stays text, in the page's font; nothing is loaded from elsewhere.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations._optional import require
from multiqa_integrations.evaluation.numerals import signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERIES = ("s0", "s1", "s2", "s3", "s4", "s5")
"""Colours of series that are told apart in one plot."""

# Drawn in these, which the page replaces by what its style sheet calls so, light or dark.
_COLOURS = {
    name: f"#0102{number:02x}"
    for number, name in enumerate(("ink", "soft", "grid", "gain", "loss", *SERIES))
}
_RC = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _COLOURS["soft"],
    "axes.labelcolor": _COLOURS["soft"],
    "axes.edgecolor": _COLOURS["soft"],
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.color": _COLOURS["soft"],
    "xtick.major.size": 0,
    "ytick.color": _COLOURS["soft"],
    "ytick.major.size": 0,
    "grid.color": _COLOURS["grid"],
    "grid.linewidth": 0.8,
    "legend.frameon": False,
}
_CARD = (4.6, 2.5)  # inches
_WIDE = 9.4


def shares(
    series: Sequence[tuple[str, Sequence[float]]],
    labels: Sequence[str],
    *,
    xlabel: str,
    colours: Sequence[str] = SERIES,
    stacked: bool = False,
) -> str:
    """Draw shares as bars.

    Args:
        series: Name and shares (0 to 1) of each; one share per label.
        labels: Below the bars.
        xlabel: What the labels are.
        colours: Of each series.
        stacked: Whether the series stand one on the other, and not side by side.
    """
    places = np.arange(len(labels), dtype=np.float64)
    width = 0.84 / (1 if stacked else len(series))
    with _style():
        figure, axes = _new_figure(*_CARD)
        bottom = np.zeros(len(labels))
        for number, ((name, values), colour) in enumerate(zip(series, cycle(colours))):
            shift = 0.0 if stacked else (number - (len(series) - 1) / 2) * width
            axes.bar(
                places + shift,
                values,
                width * (1 if stacked else 0.92),
                bottom=bottom,
                label=_shortened(name, 26),
                color=_COLOURS[colour],
            )
            if stacked:
                bottom += values
        axes.set_xticks(places, labels)
        axes.set_xlabel(xlabel)
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.grid(axis="y")
        if len(series) > 1:
            axes.legend(
                ncols=2,
                loc="lower left",
                bbox_to_anchor=(0, 1),
                borderaxespad=0,
                handlelength=0.8,
                handleheight=0.8,
            )
        return _to_svg(figure)


def differences(values: NDArray[np.float64]) -> str:
    """Draw the differences of the queries that differ, the largest gain first."""
    ordered = np.sort(values[values != 0])[::-1]
    gains = int((ordered > 0).sum())
    reach = float(np.abs(ordered).max(initial=0.01)) * 1.05
    with _style():
        figure, axes = _new_figure(*_CARD)
        # One area each for gains and losses, and one step for equal values: thousands of bars
        # would make a slow page.
        for colour, begin, part in (
            ("gain", 0, ordered[:gains]),
            ("loss", gains, ordered[gains:]),
        ):
            if len(part):
                heights, counts = np.unique(-part, return_counts=True)
                edges = begin + np.append(0, np.cumsum(counts))
                axes.stairs(-heights, edges, fill=True, color=_COLOURS[colour])
        axes.axhline(0, color=_COLOURS["soft"], linewidth=0.8)
        axes.set_ylim(-reach, reach)
        axes.set_xlim(0, max(len(ordered), 12))
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.yaxis.set_major_formatter(lambda value, _: signed(value, 2))
        axes.grid(axis="y")
        axes.set_xlabel(
            f"{gains:,} queries better, {len(ordered) - gains:,} worse, "
            f"{len(values) - len(ordered):,} the same"
        )
        return _to_svg(figure)


def intervals(rows: Sequence[tuple[str, float, float, float]]) -> str:
    """Draw mean differences with their confidence intervals, a row each.

    Args:
        rows: Name, mean, lower and upper end.
    """
    with _style():
        figure, axes = _new_figure(_WIDE, 0.55 + 0.28 * len(rows))
        for place, (_, mean, low, high) in enumerate(rows):
            colour = _COLOURS["gain" if low > 0 else "loss" if high < 0 else "soft"]
            axes.errorbar(
                mean, place, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, linewidth=2
            )
        axes.axvline(0, color=_COLOURS["soft"], linewidth=0.8)
        reach = max(max(abs(low), abs(high)) for _, _, low, high in rows) * 1.08 or 0.001
        axes.set_xlim(-reach, reach)
        axes.set_yticks(range(len(rows)), [_shortened(name, 44) for name, *_ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.xaxis.set_major_formatter(lambda value, _: signed(value, 3))
        axes.spines["bottom"].set_visible(False)
        axes.grid(axis="x")
        return _to_svg(figure)


def _style() -> AbstractContextManager[None]:
    matplotlib = require("matplotlib", purpose="drawing plots")
    context: AbstractContextManager[None] = matplotlib.rc_context(_RC)
    return context


def _new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    return figure, figure.subplots()


def _to_svg(figure: Figure) -> str:
    """Write a figure as an element of a page: no namespaces, no ids that other plots have too."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue()
    svg = re.sub(
        r' xmlns(:\w+)?="[^"]*"| id="\w+_\d+"|<style.*?</style>', "", text[text.index("<svg") :]
    )
    for name, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg


def _shortened(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"
