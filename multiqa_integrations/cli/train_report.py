"""Show what `train` has done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from multiqa_integrations.cli import terminal
from multiqa_integrations.evaluation.numerals import interval, signed

if TYPE_CHECKING:
    from multiqa_integrations.training import Measured, TrainReport


def show_report(report: TrainReport, dead_letter: Path | None) -> None:
    """Print what was read, the first rejected records and what the training has gained."""
    console = terminal.stdout()
    console.prose(
        ", ".join(
            f"{read.name}: {terminal.count(read.pairs, 'pair')}"
            + (f" in {terminal.count(read.groups, 'group')}" if read.groups else "")
            + (f", weight {read.weight:g}" if len(report.sets) > 1 else "")
            for read in report.sets
        )
    )
    settings = report.settings
    console.prose(
        f"{terminal.count(report.pairs, 'pair')} to train on, {report.held_out:,} held out; "
        f"{terminal.count(report.steps, 'step')} of {settings['batch_size']:,} examples "
        f"({report.epochs:.1f} epochs), texts of up to {settings['max_length']} word pieces, "
        f"embeddings {'frozen' if settings['freeze_embeddings'] else 'trained'}"
    )
    for note in report.notes:
        console.prose(f"• {terminal.one_line(note)}")
    for reason in report.rejections[:5]:
        console.prose(f"    {terminal.one_line(reason)}")
    if report.rejections and dead_letter is not None:
        console.prose(f"• the rejected records are in {dead_letter}")
    if report.measured is None:
        console.prose("Nothing was trained.")
        return
    console.table(_table(report.measured, report.general))
    if len(report.blends) > 1:
        tried = ", ".join(f"{share:g}: {value:.4f}" for share, value in report.blends.items())
        console.prose(f"trained share {report.blend:g}, chosen on other queries ({tried})")
    console.prose(f"{report.out}: {report.measured.sentence}, in {report.seconds:,.0f} s")
    if report.general is not None and report.general.worse:
        console.prose(
            f"• on {report.general.name} it lost beyond noise; a smaller --blend keeps more"
        )
    if report.better:
        console.prose(
            f"next: multiqa evaluate SET --against model={report.out}, then multiqa reembed "
            f"COLLECTION --model {report.out}"
        )


def _table(*measured: Measured | None) -> Table:
    """Return a table with a row for each measure of each set; the first one decides."""
    table = Table()
    table.add_column("")
    for name in ("before", "after", "difference"):
        table.add_column(name, justify="right")
    for found in filter(None, measured):
        queries = "query" if found.queries == 1 else "queries"
        label = f"{found.name} ({found.queries:,} {queries}) "
        difference = f"{signed(found.difference, 4)} ({interval(found.low, found.high)})"
        for metric, before in found.before.items():
            table.add_row(label + metric, f"{before:.4f}", f"{found.after[metric]:.4f}", difference)
            label = difference = ""
    return table
