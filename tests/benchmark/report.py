"""Show results on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table as RichTable

from tests.benchmark import results


def render_machine(machine: Mapping[str, Any]) -> str:
    """Describe the machine in two lines."""
    sets: Mapping[str, bool] = machine["instruction_sets"]
    present = ", ".join(name for name, there in sets.items() if there) or "none known"
    lacking = ", ".join(name for name, there in sets.items() if not there)
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['cpus']} × {machine['processor']}; has {present}; lacks {lacking or 'none'}; "
        f"{machine['system']}\nPython {machine['python']}, {versions}"
    )


def render_table(table: results.Table) -> RenderableType:
    """Lay out a measure: medians, with the smallest and largest value where there are several."""
    shown = RichTable()
    shown.add_column("")
    for column in table.columns:
        shown.add_column(escape(column.name), justify="right")
    if any(row.note for row in table.rows):
        shown.add_column("")
    for row in table.rows:
        cells = [_cell(row.figures.get(column.name, ()), column) for column in table.columns]
        shown.add_row(escape(row.name), *cells, *([escape(row.note)] if row.note else []))
    remarks = list(table.remarks)
    values = [figures for row in table.rows for figures in row.figures.values()]
    if any(len(figures) > 1 for figures in values):
        remarks.append("Median of the rounds (smallest–largest).")
    if any(map(results.is_wide, values)):
        remarks.append(
            f"! spread wider than {results.WIDE_SPREAD - 1:.0%}: the machine was not quiet; "
            "run again."
        )
    return Group(f"[bold]{escape(table.title)}[/bold]", shown, *map(escape, remarks))


def _cell(values: Sequence[float], column: results.Column) -> str:
    if not values:
        return "–"
    text = f"{median(values):,.{column.digits}f}"
    if len(values) > 1:
        text += f" ({min(values):,.{column.digits}f}–{max(values):,.{column.digits}f})"
    return f"{text} !" if results.is_wide(values) else text
