"""`multiqa reembed`: the vectors of another model for the same documents."""

from __future__ import annotations

import sys
from typing import Annotated, Optional

import typer
from tqdm import tqdm

from multiqa_integrations.cli.options import (
    Backend,
    CollectionName,
    Device,
    Directory,
    DryRun,
    DType,
    Model,
    Offline,
    Url,
    open_at,
)
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import StoreError
from multiqa_integrations.model import MULTI_QA
from multiqa_integrations.qdrant import reembed as reembed_collection


def reembed(
    name: CollectionName,
    url: Url = None,
    path: Directory = None,
    to: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="NAME", help="The new collection; by default named after the weights."
        ),
    ] = None,
    content_payload_key: Annotated[
        str, typer.Option(help="Payload key of the text.")
    ] = "page_content",
    dry_run: DryRun = False,
    model: Model = None,
    backend: Backend = "auto",
    dtype: DType = "auto",
    device: Device = "auto",
    offline: Offline = False,
) -> None:
    """Fill a new collection with another model's vectors of the stored texts.

    Where NAME is an alias, it stands for the new collection at the end, so that nobody is without
    answers meanwhile. The old collection stays until it is dropped. It may be interrupted and
    started again.
    """
    encoder = MultiQAEncoder(
        model or MULTI_QA.name,
        backend=backend,  # type: ignore[arg-type]  # checked by the encoder, here and below
        dtype=dtype,  # type: ignore[arg-type]
        device=device,
        on_truncation="ignore",  # was told when the documents were added
        local_files_only=offline,
    )
    with open_at(url, path) as store:
        info = store.info(name)
        if info is None:
            raise StoreError(f"there is no collection {name!r}.")
        if dry_run:
            swapped = (
                ", then the alias swapped" if name in store.aliases() else "; no alias to swap"
            )
            typer.echo(
                f"{name}: {info.points:,} texts would be encoded by {encoder.spec.name}{swapped}. "
                "Nothing was written."
            )
            return
        with tqdm(total=info.points, unit="point", disable=not sys.stderr.isatty()) as bar:
            report = reembed_collection(
                store,
                name,
                encoder,
                to=to,
                content_payload_key=content_payload_key,
                progress=bar.update,
            )
    typer.echo(
        f"{report.target}: {report.points:,} points, {report.written:,} encoded now, "
        f"{report.unchanged:,} before"
    )
    if report.swapped:
        typer.echo(
            f"{report.swapped} stands for {report.target} now; {report.source} is still there"
        )
