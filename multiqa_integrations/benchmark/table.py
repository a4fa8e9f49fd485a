"""What a measure finds: a table of figures, several values each where there were rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from rich.table import Table as RichTable
from rich.text import Text

WIDE_SPREAD = 1.25
"""Above this ratio of the largest to the smallest value a figure says little by itself."""


@dataclass(frozen=True, slots=True)
class Column:
    """A kind of figure: its name with the unit, and how many digits are shown after the point."""

    name: str
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one implementation.

    Attributes:
        name: Of the implementation.
        figures: One value per round for each column; no entry where it was not measured.
        note: A remark on it, such as why there are no figures.
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
        columns: In the order to be shown; those without any figure are not.
        rows: In the order to be shown.
        remarks: Sentences that belong below it.
    """

    measure: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    remarks: Sequence[str] = ()

    def render(self) -> RichTable:
        """Lay it out: medians, with the smallest and largest value where there are several."""
        header, *rows = self.cells()
        shown = RichTable(title=self.title, caption="\n".join(self.captions()))
        for index, name in enumerate(header):
            shown.add_column(Text(name), justify="right" if index and name else "left")
        for row in rows:
            shown.add_row(*map(Text, row))
        return shown

    def cells(self) -> list[list[str]]:
        """Return the header and the rows as they are shown, the names and notes included."""
        columns = [c for c in self.columns if any(c.name in row.figures for row in self.rows)]
        notes = any(row.note for row in self.rows)
        header = ["", *(column.name for column in columns), *([""] if notes else [])]
        return [header] + [
            [
                row.name,
                *(_cell(row.figures.get(column.name, ()), column) for column in columns),
                *([row.note] if notes else []),
            ]
            for row in self.rows
        ]

    def captions(self) -> list[str]:
        """Return the remarks, and what the figures are."""
        values = [figures for row in self.rows for figures in row.figures.values()]
        remarks = list(self.remarks)
        if any(len(figures) > 1 for figures in values):
            remarks.append("Median of the rounds (smallest–largest).")
        if any(map(is_wide, values)):
            remarks.append(
                f"! spread wider than {WIDE_SPREAD - 1:.0%}: the machine was not quiet; run again."
            )
        return remarks


def is_wide(values: Sequence[float]) -> bool:
    """Check whether the values differ too much for their median to be relied on."""
    return min(values) > 0 and max(values) / min(values) > WIDE_SPREAD


def present(figures: Mapping[str, Sequence[float | None]]) -> dict[str, list[float]]:
    """Leave out what could not be measured on this machine."""
    kept = {name: [v for v in values if v is not None] for name, values in figures.items()}
    return {name: values for name, values in kept.items() if values}


def _cell(values: Sequence[float], column: Column) -> str:
    if not values:
        return "–"
    text = f"{median(values):,.{column.digits}f}"
    if len(values) > 1:
        text += f" ({min(values):,.{column.digits}f}–{max(values):,.{column.digits}f})"
    return f"{text} !" if is_wide(values) else text
