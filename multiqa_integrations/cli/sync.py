"""`multiqa sync`: make a collection equal to its source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
from multiqa_integrations.cli.outputs import check_file
from multiqa_integrations.cli.progress import job_progress
from multiqa_integrations.cli.settings import SettingsOptions

if TYPE_CHECKING:
    from multiqa_integrations.etl import SyncReport


@options
def sync(
    source: SourceArgument,
    collection: CollectionOption,
    *,
    job: Job = None,
    store: StoreOptions,
    cluster: RayOptions,
    reading: SourceOptions,
    limit: Limit = None,
    pruning: PruneOptions,
    on_error: Annotated[
        Literal["continue", "stop"],
        typer.Option(help="What to do after a record that cannot be stored."),
    ] = "continue",
    max_errors: Annotated[
        int, typer.Option(help="Stop when more records than this are rejected.")
    ] = 1_000,
    dead_letter: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Append rejected records to this file.",
            show_default="NAME.dead-letters.jsonl",
        ),
    ] = None,
    as_json: AsJson = False,
    target: TargetOptions,
    kept: SettingsOptions,
    encoder: EncoderOptions,
) -> None:
    """Make a collection equal to its source.

    Run again, it does only what is left to do.

    Exit status: 0 complete; 2 wrong usage; 3 incomplete: records were rejected, or the source
    ended early; 4 refused: --prune would delete too much, or the collection does not fit; 5 try
    later: store, source or model not available, or another run is at work; 6 the store or the
    source denies it: key, quota or disk; 130 or 143 stopped by a signal.
    """
    letters = dead_letter or Path(f"{collection}.dead-letters.jsonl")
    with jobs.exit_statuses(), jobs.Signals() as signals:
        check_file(letters, "--dead-letter", creates_folder=True)
        with (
            jobs.showing_report(lambda report: _show(report, letters), as_json=as_json),
            job_options(
                store,
                encoder,
                target,
                reading,
                limit=limit,
                kept=kept,
                connects=cluster.ray is None,
            ) as options,
            job_progress() as progress,
        ):
            report = cluster.job("sync")(
                cluster.one_source(source),
                collection,
                prune=pruning.prune,
                max_delete_share=pruning.max_delete_share,
                allow_empty=pruning.allow_empty,
                on_error=on_error,
                max_errors=max_errors,
                dead_letter=letters,
                progress=progress,
                stop=signals.stop,
                options=options,
            )
        if as_json:
            terminal.echo_json(report.to_dict())
        else:
            _show(report, letters)
        signals.check()
        if not report.complete:
            raise typer.Exit(jobs.INCOMPLETE)


def _show(report: SyncReport, letters: Path) -> None:
    rate = f"{report.records / max(report.seconds, 1e-9):,.0f}/s"
    terminal.echo(
        f"{report.collection}: {terminal.count(report.records, 'record')} in "
        f"{report.seconds:,.1f} s ({rate})"
    )
    jobs.show_counts(
        {
            f"added or changed, {terminal.count(report.encoded, 'chunk')} encoded": report.added
            + report.changed,
            "with other metadata only": report.metadata,
            "unchanged": report.unchanged,
            "deleted, no longer in the source": report.deleted,
            "rejected": report.rejected,
            "of them without a dead letter": report.unwritten,
        },
        report.rejections,
        letters,
        unwritten=report.unwritten,
    )
    if report.pruning == "left out" and report.note:
        terminal.echo(f"  nothing was pruned: {report.note}")
