"""`multiqa download`: fetch the model ahead of time, verified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from multiqa_integrations.checkpoint import resolve
from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.options import AsJson
from multiqa_integrations.cli.outputs import check_folder
from multiqa_integrations.download import download as fetch
from multiqa_integrations.model import MULTI_QA


def download(
    model: Annotated[str, typer.Argument(help="Hub name of the model.")] = MULTI_QA.name,
    revision: Annotated[
        str | None,
        typer.Option(help="Commit, branch or tag.", show_default="the pinned commit"),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write into this new directory, to carry to another machine."
        ),
    ] = None,
    cache_folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The hub cache.", show_default="the hub's own"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the model and verify every file.

    Without --to it goes into the hub cache, where every program on this machine finds it. With
    --to it becomes a directory that works on a machine without network.
    """
    for option, folder in (("--to", to), ("--cache-folder", cache_folder)):
        if folder is not None:
            check_folder(folder, option)
    directory = fetch(model, revision=revision, to=to, cache_folder=cache_folder)
    checkpoint = resolve(directory)
    text = (
        f"{model} is complete and verified in\n"
        f"  {directory}\n"
        f"  {checkpoint.weights.name}  {checkpoint.fingerprint.split('/')[0]}\n"
        "Use it:\n"
        f"  MultiQAEncoder({str(directory)!r})\n"
        f"  multiqa search NAME QUERY --model {directory}"
    )
    values = {
        "model": model,
        "directory": str(directory),
        "fingerprint": checkpoint.fingerprint,
    }
    terminal.echo_result(text, values, as_json=as_json)
