"""`multiqa plan`: what a sync would do."""

from __future__ import annotations

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


def plan(
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
    """Say what `multiqa sync` with the same arguments would do; nothing is written.

    Exit status: 0; 4 if --prune would be refused; otherwise as of `multiqa sync`.
    """
    from multiqa_integrations.etl import plan as run

    with jobs.exit_statuses():
        with jobs.job_options(context.params) as options, jobs.ShowProgress() as progress:
            report = run(
                source,
                collection,
                prune=prune,
                max_delete_share=max_delete_share,
                allow_empty=allow_empty,
                progress=progress,
                **options,
            )
        if as_json:
            typer.echo(report.as_json())
        else:
            typer.echo(f"{collection}: {report.records:,} records; nothing was written")
            jobs.say(
                {
                    "documents to add": report.added,
                    "to encode again": report.changed,
                    "to give other metadata only": report.metadata,
                    "unchanged": report.unchanged,
                    "that the source no longer has"
                    + (", to delete" if prune else "; --prune deletes them"): report.deleted,
                    "rejected": report.rejected,
                },
                report.rejections,
            )
            if report.estimated_seconds is not None:
                typer.echo(
                    f"{report.chunks:,} chunks of {report.tokens:,} word pieces to encode: "
                    f"about {_duration(report.estimated_seconds)} here, at "
                    f"{report.tokens_per_second:,.0f} word pieces/s"
                )
            if report.note:
                typer.echo(f"--prune would delete nothing: {report.note}")
        if report.pruning == "refused":
            raise typer.Exit(jobs.REFUSED)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7_200 else f"{seconds / 3_600:,.1f} h"
