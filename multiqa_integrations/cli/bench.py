"""`multiqa bench`: measure the package on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from multiqa_integrations.benchmark.measures import Measure, measure
from multiqa_integrations.benchmark.session import Settings
from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.machine import describe_machine, render_machine
from multiqa_integrations.cli.options import TestModel, choose_model, options
from multiqa_integrations.cli.outputs import check_file
from multiqa_integrations.model import MULTI_QA


@options
def bench(
    what: Annotated[Measure, typer.Argument(metavar="MEASURE", help="What to measure.")],
    texts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Your texts, in any file that sync reads; by default the documentation that "
            "every Python carries.",
        ),
    ] = None,
    text_field: Annotated[str, typer.Option(help="Field of a record that has its text.")] = "text",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            envvar="MULTIQA_MODEL",
            help="Hub name or directory.",
            show_default=MULTI_QA.name,
        ),
    ] = None,
    test_model: TestModel = False,
    limit_tokens: Annotated[
        int, typer.Option(help="Longest text in word pieces; longer ones are truncated.")
    ] = MULTI_QA.max_seq_length,
    samples: Annotated[int, typer.Option(help="Number of texts.")] = 800,
    rounds: Annotated[int, typer.Option(help="How often each process runs.")] = 3,
    device: Annotated[
        str, typer.Option(help="What computes: cpu, auto, or a torch device such as cuda:0.")
    ] = "cpu",
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="For ingest: a Qdrant server to store on, in a collection that is dropped "
            "afterwards. Its API key is read from QDRANT_API_KEY.",
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write all figures of all rounds here."),
    ] = None,
) -> None:
    """Measure speed, memory and exactness on this machine.

    Everything runs in processes of its own, several rounds; figures are medians.
    """
    if json_file is not None:
        check_file(json_file, "--json")
    settings = Settings(
        model=choose_model(model, test_model),
        texts=texts,
        text_field=text_field,
        limit_tokens=limit_tokens,
        samples=samples,
        rounds=rounds,
        url=url,
        device=device,
    )
    machine = describe_machine()
    report = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine,
        "settings": asdict(settings),
        "tables": (tables := []),
    }
    console = terminal.stdout()
    console.prose(f"{render_machine(machine)}\nModel: {settings.model}")
    try:
        with new_progress(terminal.stderr()) as progress:
            task = progress.add_task("starting", total=None)

            def step(description: str, done: int = 0, total: int | None = None) -> None:
                if done == 0:  # a new measure: the time left is that of its own steps
                    progress.reset(task, total=total)
                progress.update(task, description=description, completed=done, total=total)

            for table in measure(what, settings, step):
                tables.append(asdict(table))
                progress.stop()  # the bar would be left above the table
                console.print()
                console.table(table.render())
                progress.start()
    finally:  # after Ctrl-C too: what is finished is kept
        if json_file is not None:
            text = json.dumps(report, indent=2, default=str)
            json_file.write_text(f"{text}\n", encoding="utf-8")


def new_progress(console: Console) -> Progress:
    """Make a bar with the time that is left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not terminal.shows_progress(),
    )
