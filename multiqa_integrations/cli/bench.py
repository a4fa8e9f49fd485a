"""`multiqa bench`: measure the encoder against its peers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from multiqa_integrations.benchmark.machine import describe_machine
from multiqa_integrations.benchmark.measures import MEASURES, measure
from multiqa_integrations.benchmark.report import new_console, render_machine, render_table
from multiqa_integrations.benchmark.settings import Settings
from multiqa_integrations.cli.options import Model, Sibling, choose_model
from multiqa_integrations.model import MULTI_QA


def bench(
    what: Annotated[str, typer.Argument(help=f"What to measure: {', '.join(MEASURES)} or all.")],
    texts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON lines, .gz too; by default the documentation that every Python carries.",
        ),
    ] = None,
    text_field: Annotated[str, typer.Option(help="Field of a record that has its text.")] = "text",
    vectors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For search: the texts' vectors, as `multiqa encode TEXTS -o FILE.npy` makes "
            "them; by default those of --samples texts are made.",
        ),
    ] = None,
    model: Model = None,
    sibling: Sibling = False,
    limit_tokens: Annotated[
        int, typer.Option(help="Longest text in word pieces; what is longer is cut.")
    ] = MULTI_QA.max_seq_length,
    samples: Annotated[int, typer.Option(help="Texts to encode.")] = 800,
    rounds: Annotated[int, typer.Option(help="How often each contestant runs.")] = 3,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write all figures of all rounds here."),
    ] = None,
) -> None:
    """Measure speed, memory and exactness on this machine.

    Each contestant runs in a process of its own, in turn; figures are medians of the rounds.
    Peers that are not installed are listed as such.
    """
    settings = Settings(
        model=choose_model(model, sibling),
        texts=texts,
        text_field=text_field,
        vectors=vectors,
        limit_tokens=limit_tokens,
        samples=samples,
        rounds=rounds,
    )
    console = new_console()
    console.print(f"{render_machine(describe_machine())}\nModel: {settings.model}", markup=False)
    with console.status("starting") as status:
        report = measure(
            what,
            settings,
            progress=status.update,
            finished=lambda table: console.print("", render_table(table)),
        )
    if json_file is not None:
        json_file.write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")
