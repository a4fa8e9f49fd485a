"""`multiqa reembed`: the vectors of another model for the same documents."""

from __future__ import annotations

from typing import Annotated

import typer

from multiqa_integrations.cli import jobs, terminal
from multiqa_integrations.cli.copy import show_done
from multiqa_integrations.cli.options import (
    AsJson,
    CollectionName,
    DryRun,
    EncoderOptions,
    StoreOptions,
    options,
)
from multiqa_integrations.cli.progress import points_bar
from multiqa_integrations.cli.settings import SettingsOptions
from multiqa_integrations.qdrant import reembed as reembed_collection


@options
def reembed(
    name: CollectionName,
    *,
    store: StoreOptions,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The new collection.", show_default="named after the weights"
        ),
    ] = None,
    content_payload_key: Annotated[
        str, typer.Option(help="Payload key of the text.")
    ] = "page_content",
    dry_run: DryRun = False,
    as_json: AsJson = False,
    kept: SettingsOptions,
    encoder: EncoderOptions,
) -> None:
    """Encode a collection with another model.

    A new collection is filled with the vectors of the stored texts. If NAME is an alias, it is
    pointed at the new collection at the end, so that searches never fail. The old collection stays
    until it is dropped. It may be interrupted and started again.

    Exit status: 0 done; otherwise as for multiqa sync.
    """
    settings = kept.made()
    # The user was warned of long texts when the documents were added.
    made = encoder.encoder(on_truncation="ignore")
    with (
        jobs.Signals() as signals,
        jobs.showing_report(show_done, as_json=as_json),
        store.open() as opened,
    ):
        info = store.find(opened, name)
        with points_bar(info.points) as progress:
            report = reembed_collection(
                opened,
                name,
                made,
                to=to,
                content_payload_key=content_payload_key,
                settings=settings,
                progress=progress,
                stop=signals.stop,
                dry_run=dry_run,
            )
    points = terminal.count(report.points, "point")
    if dry_run:
        then = f"; then {report.swapped} would point to it" if report.swapped else ""
        text = (
            f"{report.target}: {report.written:,} of {points} would be encoded by "
            f"{made.spec.name}{then}. Nothing was written."
        )
    else:
        text = (
            f"{report.target}: {points}, {report.written:,} encoded now, "
            f"{report.unchanged:,} before"
        )
        if report.swapped:
            text += (
                f"\n{report.swapped} now points to {report.target}; {report.source} still exists"
            )
    terminal.echo_result(text, {**report.to_dict(), "dry_run": dry_run}, as_json=as_json)
