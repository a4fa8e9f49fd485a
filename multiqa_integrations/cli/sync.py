"""`multiqa sync`: make a collection equal to its source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

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
from multiqa_integrations.errors import PruneRefusedError, SyncIncompleteError

if TYPE_CHECKING:
    from multiqa_integrations.etl import SyncReport


def sync(
    context: typer.Context,
    source: jobs.SourceArgument,
    collection: jobs.CollectionOption,
    url: Url = None,
    path: Directory = None,
    source_name: jobs.SourceName = "default",
    id_field: jobs.IdField = None,
    text_field: jobs.TextField = "text",
    title_field: jobs.TitleField = None,
    metadata: jobs.Metadata = None,
    format: jobs.Format = None,
    glob: jobs.Glob = None,
    chunk_tokens: jobs.ChunkTokens = 250,
    overlap: jobs.Overlap = 0,
    max_characters: jobs.MaxCharacters = 5_000_000,
    prune: jobs.Prune = False,
    max_delete_share: jobs.MaxDeleteShare = 0.2,
    allow_empty: jobs.AllowEmpty = False,
    shard: jobs.Shard = None,
    limit: jobs.Limit = None,
    on_error: Annotated[
        str, typer.Option(help="After a record that cannot be stored: continue or stop.")
    ] = "continue",
    max_errors: Annotated[int, typer.Option(help="With more rejected records, stop.")] = 1_000,
    dead_letter: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="Rejected records are written to its end.",
            show_default="NAME.dead-letters.jsonl",
        ),
    ] = None,
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
    """Make a collection equal to its source. Run again, it does only what is left to do.

    Exit status: 0 complete; 2 wrong usage; 3 incomplete, some records were rejected or the source
    broke off; 4 refused, by the guard of --prune, another run, or a collection that does not fit; 5
    store or model not available; 130 or 143 stopped by a signal.
    """
    from multiqa_integrations.etl import sync as run

    letters = dead_letter or Path(f"{collection}.dead-letters.jsonl")
    with jobs.exit_statuses(), jobs.Signals() as signals:
        try:
            with jobs.job_options(context.params) as options, jobs.ShowProgress() as progress:
                report = run(
                    source,
                    collection,
                    prune=prune,
                    max_delete_share=max_delete_share,
                    allow_empty=allow_empty,
                    on_error=on_error,  # type: ignore[arg-type]  # checked there
                    max_errors=max_errors,
                    dead_letter=letters,
                    progress=progress,
                    stop=signals.stop,
                    **options,
                )
        except (PruneRefusedError, SyncIncompleteError) as error:
            _say(error.report, letters, as_json)  # type: ignore[arg-type]  # it is a SyncReport
            signals.check()
            raise
        _say(report, letters, as_json)
        signals.check()
        if not report.complete:
            raise typer.Exit(jobs.INCOMPLETE)


def _say(report: SyncReport, letters: Path, as_json: bool) -> None:
    if as_json:
        typer.echo(report.as_json())
        return
    rate = f"{report.records / max(report.seconds, 1e-9):,.0f}/s"
    typer.echo(
        f"{report.collection}: {report.records:,} records in {report.seconds:,.1f} s ({rate})"
    )
    jobs.say(
        {
            f"added and changed documents, {report.encoded:,} chunks encoded": report.added
            + report.changed,
            "with other metadata only": report.metadata,
            "unchanged": report.unchanged,
            "deleted, for the source no longer has them": report.deleted,
            "rejected": report.rejected,
        },
        report.rejections,
        letters,
    )
    if report.pruning == "left out" and report.note:
        typer.echo(f"  nothing was pruned: {report.note}")
