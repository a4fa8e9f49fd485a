"""`multiqa verify`: compare a collection with its source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from multiqa_integrations.cli import jobs, terminal
from multiqa_integrations.cli.job_file import Job
from multiqa_integrations.cli.job_options import (
    CollectionOption,
    RayOptions,
    SourceArgument,
    SourceOptions,
    TargetOptions,
    job_options,
)
from multiqa_integrations.cli.options import AsJson, EncoderOptions, StoreOptions, options
from multiqa_integrations.cli.progress import job_progress

if TYPE_CHECKING:
    from multiqa_integrations.etl import VerifyReport

_MEANINGS = {
    "missing": "missing from the collection",
    "stale": "stale: other texts, other metadata, or missing chunks",
    "extra": "not in the source",
    "foreign": "encoded by other weights (points)",
    "norms": "of another length than 1 (vectors)",
}


@options
def verify(
    source: SourceArgument,
    collection: CollectionOption,
    *,
    job: Job = None,
    store: StoreOptions,
    cluster: RayOptions,
    reading: SourceOptions,
    as_json: AsJson = False,
    target: TargetOptions,
    encoder: EncoderOptions,
) -> None:
    """Compare a collection with its source.

    Document by document; nothing is encoded or written.

    Exit status: 0 if they are equal, 3 if not; otherwise as for multiqa sync.
    """
    with jobs.exit_statuses():
        with (
            jobs.showing_report(_show, as_json=as_json),
            job_options(
                store,
                encoder,
                target,
                reading,
                existing=collection,
                connects=cluster.ray is None,
            ) as options,
            job_progress() as progress,
        ):
            report = cluster.job("verify")(
                cluster.one_source(source), collection, progress=progress, options=options
            )
        if as_json:
            terminal.echo_json(report.to_dict())
        else:
            _show(report, "equals its source" if report.fits else "differs from its source")
        if not report.fits:
            raise typer.Exit(jobs.INCOMPLETE)


def _show(report: VerifyReport, outcome: str = "was compared in part") -> None:
    records = terminal.count(report.records, "record")
    terminal.echo(f"{report.collection} {outcome}: {records}, {report.equal:,} equal")
    for kind, ids in report.examples.items():
        count, shown = report.differences[kind], ", ".join(ids[:3])
        terminal.echo(f"  {count:,} {_MEANINGS[kind]}, such as {shown}")
    jobs.show_counts({"rejected": report.rejected}, report.rejections)
