"""`multiqa plan`: what a sync would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from multiqa_integrations.cli import jobs, terminal
from multiqa_integrations.cli.job_file import Job
from multiqa_integrations.cli.job_options import (
    CollectionOption,
    Limit,
    PruneOptions,
    RayOptions,
    SourceArgument,
    SourceOptions,
    TargetOptions,
    job_options,
)
from multiqa_integrations.cli.options import AsJson, EncoderOptions, StoreOptions, options
from multiqa_integrations.cli.progress import job_progress

if TYPE_CHECKING:
    from multiqa_integrations.etl import PlanReport


@options
def plan(
    source: SourceArgument,
    collection: CollectionOption,
    *,
    job: Job = None,
    store: StoreOptions,
    cluster: RayOptions,
    reading: SourceOptions,
    limit: Limit = None,
    pruning: PruneOptions,
    as_json: AsJson = False,
    target: TargetOptions,
    encoder: EncoderOptions,
) -> None:
    """Show what a sync would do.

    Takes the arguments of multiqa sync; nothing is written.

    Exit status: 0; 4 if --prune would be refused; otherwise as for multiqa sync.
    """
    with jobs.exit_statuses():
        with (
            jobs.showing_report(lambda report: _show(report, pruning.prune), as_json=as_json),
            job_options(
                store, encoder, target, reading, limit=limit, connects=cluster.ray is None
            ) as options,
            job_progress() as progress,
        ):
            report = cluster.job("plan")(
                cluster.one_source(source),
                collection,
                prune=pruning.prune,
                max_delete_share=pruning.max_delete_share,
                allow_empty=pruning.allow_empty,
                progress=progress,
                options=options,
            )
        if as_json:
            terminal.echo_json(report.to_dict())
        else:
            _show(report, pruning.prune)
        if report.pruning == "refused":
            raise typer.Exit(jobs.REFUSED)


def _show(report: PlanReport, prune: bool) -> None:
    terminal.echo(
        f"{report.collection}: {terminal.count(report.records, 'record')}; nothing was written"
    )
    jobs.show_counts(
        {
            "to add": report.added,
            "to encode again": report.changed,
            "to give other metadata only": report.metadata,
            "unchanged": report.unchanged,
            "no longer in the source, "
            + ("to delete" if prune else "kept without --prune"): report.deleted,
            "rejected": report.rejected,
        },
        report.rejections,
    )
    if report.estimated_seconds is not None:
        terminal.echo(
            f"{terminal.count(report.chunks, 'chunk')} of {report.tokens:,} word pieces to encode: "
            f"about {_duration(report.estimated_seconds)} here, at "
            f"{report.tokens_per_second:,.0f} word pieces/s"
        )
    if report.note:
        terminal.echo(f"--prune would delete nothing: {report.note}")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7_200 else f"{seconds / 3_600:,.1f} h"
