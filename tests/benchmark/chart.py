"""Draw the comparisons of a run: how many times as fast as the baseline each implementation is."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from multiqa_integrations.benchmark.table import Column, Row, Table
from multiqa_integrations.errors import ConfigurationError
from tests.benchmark.measures import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLE_CHARACTERS = 74
_SUFFIXES = (".png", ".svg")
_OURS, _OTHERS, _TEXT = "#1f6fb4", "#b4bac4", "#30343b"
_WIDTH, _BAR, _MARGIN, _FOOTER = 9.0, 0.36, 1.15, 0.25  # inches


def check(file: Path) -> None:
    """Make sure that a chart can be drawn into the file.

    Raises:
        ConfigurationError: It has another suffix than .png or .svg.
    """
    if file.suffix not in _SUFFIXES:
        raise ConfigurationError(
            f"the chart is {file.name!r}, expected a name that ends in {' or '.join(_SUFFIXES)}."
        )


def draw(report: Report, file: Path) -> bool:
    """Draw every column of ratios as a panel of bars with the range of the rounds.

    Args:
        report: What was measured.
        file: PNG or SVG, by its suffix.

    Returns:
        Whether there was anything to draw.

    Raises:
        ConfigurationError: As `check`.
    """
    check(file)
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    panels = [
        (table, column, rows)
        for table in report.tables
        for column in table.columns
        if "×" in column.name and (rows := _measured(table, column))
    ]
    if not panels:
        return False
    heights = [_MARGIN + _BAR * len(rows) for _, _, rows in panels]
    height = sum(heights) + _FOOTER
    layout = ConstrainedLayoutEngine(
        rect=(0, _FOOTER / height, 1, 1 - _FOOTER / height), h_pad=0.12
    )
    figure = Figure((_WIDTH, height), layout=layout)
    all_axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)
    for axes, (table, column, rows) in zip(all_axes.flat, panels, strict=True):
        _panel(axes, table, column, rows)
    machine = report.machine
    footer = f"{machine['cpus']} × {machine['processor']}, {report.date[:10]}"
    if report.settings.rounds > 1:
        footer += "; bars: median of the rounds, whiskers: smallest to largest"
    figure.text(0.99, 0.004, footer, ha="right", va="bottom", fontsize=7.5, color=_TEXT)
    figure.savefig(file, dpi=150)
    return True


def _measured(table: Table, column: Column) -> list[Row]:
    return [row for row in table.rows if row.figures.get(column.name)]


def _panel(axes: Axes, table: Table, column: Column, rows: Sequence[Row]) -> None:
    values = [list(row.figures[column.name]) for row in rows]
    middles = [median(each) for each in values]
    below = [middle - min(each) for middle, each in zip(middles, values, strict=True)]
    above = [max(each) - middle for middle, each in zip(middles, values, strict=True)]
    colors = [_OURS if _is_ours(row.name) else _OTHERS for row in rows]
    places = range(len(rows))
    axes.barh(
        places,
        middles,
        xerr=[below, above] if any(len(each) > 1 for each in values) else None,
        color=colors,
        height=0.66,
        error_kw={"ecolor": _TEXT, "elinewidth": 1, "capsize": 3},
    )
    axes.axvline(1, color=_TEXT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    longest = max(max(each) for each in values)
    for place, middle, each in zip(places, middles, values, strict=True):
        axes.text(
            max(each) + longest * 0.012,
            place,
            f"{middle:.{column.digits}f} ×",
            va="center",
            fontsize=8.5,
            color=_TEXT,
            # Not crossed by the line of the baseline.
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    axes.set_yticks(places, [row.name for row in rows], fontsize=8.5, color=_TEXT)
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.1)
    title = textwrap.fill(table.title, _TITLE_CHARACTERS)
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=_TEXT)
    axes.set_xlabel(f"{column.name} (longer is better)", fontsize=8.5, color=_TEXT)
    axes.tick_params(axis="x", labelsize=8, colors=_TEXT)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _is_ours(name: str) -> bool:
    return name.lower().startswith("multiqa")
