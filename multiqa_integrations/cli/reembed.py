"""`multiqa reembed`: the vectors of another model for the same documents."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from tqdm import tqdm

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.options import (
    CollectionName,
    DryRun,
    EncoderOptions,
    StoreOptions,
    options,
)
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
    encoder: EncoderOptions,
) -> None:
    """Encode a collection with another model.

    A new collection is filled with the vectors of the stored texts. If NAME is an alias, it stands
    for the new collection at the end, so that searches never fail. The old collection stays until
    it is dropped. It may be interrupted and started again.
    """
    # The user was warned of long texts when the documents were added.
    made = encoder.encoder(on_truncation="ignore")
    with store.open() as opened:
        info = store.find(opened, name)
        if dry_run:
            switched = (
                ", then the alias switched" if name in opened.aliases() else "; no alias to switch"
            )
            terminal.echo(
                f"{name}: {info.points:,} texts would be encoded by {made.spec.name}{switched}. "
                "Nothing was written."
            )
            return
        with tqdm(total=info.points, unit="point", disable=not sys.stderr.isatty()) as bar:
            report = reembed_collection(
                opened,
                name,
                made,
                to=to,
                content_payload_key=content_payload_key,
                progress=bar.update,
            )
    terminal.echo(
        f"{report.target}: {report.points:,} points, {report.written:,} encoded now, "
        f"{report.unchanged:,} before"
    )
    if report.swapped:
        terminal.echo(
            f"{report.swapped} stands for {report.target} now; {report.source} is still there"
        )
