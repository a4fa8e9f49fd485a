"""Progress of what takes long: a bar on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from tqdm import tqdm

from multiqa_integrations.cli import terminal

if TYPE_CHECKING:
    from multiqa_integrations import etl
    from multiqa_integrations.training import TrainProgress

_LINE_SECONDS = 10.0
_FIGURES = TextColumn("{task.fields[figures]}", markup=False)


@contextmanager
def points_bar(total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal; yield a function that takes the number of points just done."""
    with tqdm(total=total, unit="point", disable=not terminal.shows_progress()) as bar:

        def advance(points: int) -> None:
            bar.update(points)

        yield advance


@contextmanager
def job_progress() -> Iterator[Callable[[etl.Progress], None]]:
    """Yield a function that shows how far a job is."""
    began = time.monotonic()
    with _bar_or_lines(TaskProgressColumn(), _FIGURES, TimeRemainingColumn()) as show:

        def show_job(progress: etl.Progress) -> None:
            seconds = max(time.monotonic() - began, 1e-9)
            records = terminal.count(progress.records, "record")
            figures = f"{records}, {progress.records / seconds:,.0f}/s"
            if progress.workers is not None:
                figures += f", {terminal.count(progress.workers, 'worker')}"
            if progress.rejected:
                figures += f", {progress.rejected:,} rejected"
            fraction = progress.fraction if progress.phase.startswith("reading") else None
            left = (
                f", {fraction:.0%}, {seconds * (1 / fraction - 1):,.0f} s left" if fraction else ""
            )
            show(
                progress.phase,
                figures,
                completed=fraction or 0.0,
                total=None if fraction is None else 1.0,
                left=left,
            )

        yield show_job


@contextmanager
def training_progress() -> Iterator[Callable[[TrainProgress], None]]:
    """Yield a function that shows how far a training is."""
    with _bar_or_lines(_FIGURES) as show:

        def show_training(progress: TrainProgress) -> None:
            figures = progress.detail
            if progress.steps:
                figures = f"step {progress.step:,} of {progress.steps:,}"
                if progress.loss is not None:
                    figures += f", loss {progress.loss:.3f}"
                figures += f", {progress.rate:,.0f} examples/s"
                if progress.seconds_left is not None:
                    figures += f", {progress.seconds_left:,.0f} s left"
            show(progress.phase, figures, completed=progress.step, total=progress.steps or None)

        yield show_training


@contextmanager
def _bar_or_lines(*columns: ProgressColumn) -> Iterator[Callable[..., None]]:
    """Yield `show(phase, figures, completed=, total=, left=)`; `left` is for lines alone."""
    console = terminal.stderr()
    shows_bar = terminal.shows_progress()
    last_line = time.monotonic()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *columns)
    with Progress(*columns, console=console, transient=True, disable=not shows_bar) as bar:
        task = bar.add_task("reading", total=None, figures="")

        def show(
            phase: str, figures: str, *, completed: float, total: float | None, left: str = ""
        ) -> None:
            nonlocal last_line
            now = time.monotonic()
            if shows_bar:
                bar.update(
                    task, description=phase, figures=figures, completed=completed, total=total
                )
            elif not terminal.quiet and now - last_line >= _LINE_SECONDS:
                last_line = now
                console.print(f"{phase}: {figures}{left}")

        yield show
