"""Progress of jobs: a bar on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from tqdm import tqdm

from multiqa_integrations.cli import terminal

if TYPE_CHECKING:
    from multiqa_integrations.etl import Progress

_LINE_SECONDS = 10.0


@contextmanager
def points_bar(total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, and yield what takes the numbers of points that are done."""
    with tqdm(total=total, unit="point", disable=not terminal.shows_progress()) as bar:

        def advance(points: int) -> None:
            bar.update(points)

        yield advance


class JobProgress:
    """Shows how far a job is."""

    def __init__(self) -> None:
        self._began = self._last_line = time.monotonic()
        self._stack = ExitStack()
        self._console = terminal.stderr()
        self._bar: Bar | None = None

    def __enter__(self) -> JobProgress:
        if terminal.shows_progress():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[counts]}"),
                TimeRemainingColumn(),
            )
            self._bar = self._stack.enter_context(
                Bar(*columns, console=self._console, transient=True)
            )
            self._task = self._bar.add_task("reading", total=None, counts="")
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def __call__(self, progress: Progress) -> None:
        """Show how far the job is."""
        now = time.monotonic()
        seconds = max(now - self._began, 1e-9)
        records = terminal.count(progress.records, "record")
        counts = f"{records}, {progress.records / seconds:,.0f}/s"
        if progress.workers is not None:
            counts += f", {terminal.count(progress.workers, 'worker')}"
        if progress.rejected:
            counts += f", {progress.rejected:,} rejected"
        fraction = progress.fraction if progress.phase.startswith("reading") else None
        if self._bar is not None:
            self._bar.update(
                self._task,
                description=progress.phase,
                counts=counts,
                total=None if fraction is None else 1.0,
                completed=fraction or 0.0,
            )
        elif not terminal.quiet and now - self._last_line >= _LINE_SECONDS:
            self._last_line = now
            if fraction:
                counts += f", {fraction:.0%}, {seconds * (1 / fraction - 1):,.0f} s left"
            self._console.print(f"{progress.phase}: {counts}")
