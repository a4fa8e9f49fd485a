"""`multiqa replay`: take up the records of a dead-letter file again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from multiqa_integrations.cli import jobs
from multiqa_integrations.cli.options import (
    Backend,
    Device,
    Directory,
    DType,
    Index,
    Model,
    Offline,
    Url,
)
from multiqa_integrations.errors import SyncIncompleteError


def replay(
    context: typer.Context,
    dead_letter: Annotated[
        Path, typer.Argument(metavar="FILE", help="The dead letters that sync wrote.")
    ],
    collection: jobs.CollectionOption,
    url: Url = None,
    path: Directory = None,
    max_characters: jobs.MaxCharacters = 5_000_000,
    index: Index = None,
    sparse: jobs.Sparse = None,
    vector_name: jobs.VectorName = "",
    as_json: jobs.AsJson = False,
    model: Model = None,
    backend: Backend = "auto",
    dtype: DType = "auto",
    device: Device = "auto",
    offline: Offline = False,
) -> None:
    """Try rejected records again. What still fails stays in the file, with the new reason.

    Exit status: 0 if none is left, 3 if some are; otherwise as of `multiqa sync`.
    """
    from multiqa_integrations.etl import replay as run

    with jobs.exit_statuses(), jobs.Signals() as signals:
        try:
            with jobs.job_options(context.params) as options, jobs.ShowProgress() as progress:
                report = run(
                    dead_letter, collection, progress=progress, stop=signals.stop, **options
                )
        except SyncIncompleteError:
            signals.check()
            raise
        if as_json:
            typer.echo(report.as_json())
        else:
            typer.echo(f"{collection}: {report.entries:,} dead letters")
            jobs.say(
                {
                    "stored": report.stored,
                    "outdated, the collection has another version": report.outdated,
                    f"left in {dead_letter}": report.left,
                },
                report.rejections,
            )
        signals.check()
        if not report.complete:
            raise typer.Exit(jobs.INCOMPLETE)
