"""`multiqa verify`: compare a collection with its source."""

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

_MEANINGS = {
    "missing": "missing from the collection",
    "stale": "stale: other texts, other metadata, or not all chunks",
    "extra": "that the source does not have",
    "foreign": "points encoded by other weights",
    "norms": "points whose vectors are not of length 1",
}


def verify(
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
    shard: jobs.Shard = None,
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
    """Compare a collection with its source, document by document; nothing is encoded or written.

    Exit status: 0 if they are equal, 3 if not; otherwise as of `multiqa sync`.
    """
    from multiqa_integrations.etl import verify as run

    with jobs.exit_statuses():
        with jobs.job_options(context.params) as options, jobs.ShowProgress() as progress:
            report = run(source, collection, progress=progress, **options)
        if as_json:
            typer.echo(report.as_json())
        else:
            fits = "equals its source" if report.fits else "differs from its source"
            typer.echo(f"{collection} {fits}: {report.records:,} records, {report.equal:,} equal")
            for kind, ids in report.examples.items():
                count, some = report.differences[kind], ", ".join(ids[:3])
                typer.echo(f"  {count:,} {_MEANINGS[kind]}, such as {some}")
            jobs.say({"rejected": report.rejected}, report.rejections)
        if not report.fits:
            raise typer.Exit(jobs.INCOMPLETE)
