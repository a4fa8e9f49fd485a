"""`multiqa replay`: retry rejected records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from multiqa_integrations.cli import jobs, terminal
from multiqa_integrations.cli.job_file import Job
from multiqa_integrations.cli.job_options import (
    CollectionOption,
    TargetOptions,
    job_options,
)
from multiqa_integrations.cli.options import AsJson, EncoderOptions, StoreOptions, options
from multiqa_integrations.cli.outputs import check_file
from multiqa_integrations.cli.progress import job_progress

if TYPE_CHECKING:
    from multiqa_integrations.etl import ReplayReport


@options
def replay(
    dead_letter: Annotated[
        Path, typer.Argument(metavar="FILE", help="The dead letters that sync wrote.")
    ],
    collection: CollectionOption,
    *,
    job: Job = None,
    store: StoreOptions,
    as_json: AsJson = False,
    target: TargetOptions,
    encoder: EncoderOptions,
) -> None:
    """Retry rejected records.

    Those that fail again stay in the file, with the new reason.

    Exit status: 0 if none is left, 3 if some are; otherwise as for multiqa sync.
    """
    from multiqa_integrations.etl import replay as run

    with jobs.exit_statuses(), jobs.Signals() as signals:
        check_file(dead_letter, "FILE")

        def show(report: ReplayReport) -> None:
            terminal.echo(f"{collection}: {terminal.count(report.entries, 'dead letter')}")
            jobs.show_counts(
                {
                    "stored": report.stored,
                    "outdated: the collection has another version": report.outdated,
                    f"left in {dead_letter}": report.left,
                },
                report.rejections,
            )

        with (
            jobs.showing_report(show, as_json=as_json),
            job_options(store, encoder, target, existing=collection) as options,
            job_progress() as progress,
        ):
            report = run(
                dead_letter, collection, progress=progress, stop=signals.stop, options=options
            )
        if as_json:
            terminal.echo_json(report.to_dict())
        else:
            show(report)
        signals.check()
        if not report.complete:
            raise typer.Exit(jobs.INCOMPLETE)
