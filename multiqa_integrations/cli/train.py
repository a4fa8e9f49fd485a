"""`multiqa train`: the model's own recipe on the user's pairs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from multiqa_integrations._test_model import require_test_model
from multiqa_integrations.cli import jobs, terminal
from multiqa_integrations.cli.job_options import Format
from multiqa_integrations.cli.options import AsJson, DryRun, TestModel, options
from multiqa_integrations.cli.outputs import check_file, check_folder, keep_fonts_out_of_home
from multiqa_integrations.errors import ConfigurationError, SourceError, TrainingError
from multiqa_integrations.evaluation.numerals import interval, signed
from multiqa_integrations.model import MULTI_QA

if TYPE_CHECKING:
    from multiqa_integrations.training import Measured, TrainProgress, TrainReport

_LINE_SECONDS = 10.0
_RECIPE = "Recipe"


@dataclass(frozen=True)
class PairOptions:
    """How pairs are read."""

    query_field: Annotated[str, typer.Option(metavar="FIELD", help="Field of the query.")] = "query"
    positive_field: Annotated[
        str, typer.Option(metavar="FIELD", help="Field of the text that answers it.")
    ] = "positive"
    negative_field: Annotated[
        str, typer.Option(metavar="FIELD", help="Field of a text that does not; may be missing.")
    ] = "negative"
    negatives_field: Annotated[
        str, typer.Option(metavar="FIELD", help="Field of a list of such texts; may be missing.")
    ] = "negatives"
    group_field: Annotated[
        str,
        typer.Option(
            metavar="FIELD",
            help="Field of what pairs have in common that answer each other; may be missing.",
        ),
    ] = "group"
    format: Annotated[
        Format | None, typer.Option(help="Format of the files.", show_default="by their names")
    ] = None
    max_errors: Annotated[
        int, typer.Option(help="Train nothing when more records than this are rejected.")
    ] = 1_000
    dead_letter: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Append rejected records to this file.", show_default="nowhere"
        ),
    ] = None

    @property
    def fields(self) -> dict[str, str]:
        """Return the fields as `PairFields(**…)` takes them."""
        names = ("query", "positive", "negative", "negatives", "group")
        return {name: getattr(self, f"{name}_field") for name in names}


@dataclass(frozen=True)
class RecipeOptions:
    """What of the recipe may be chosen."""

    steps: Annotated[
        int | None,
        typer.Option(
            help="Steps to train, however long they take.",
            show_default="as --minutes allows",
            rich_help_panel=_RECIPE,
        ),
    ] = None
    epochs: Annotated[
        float, typer.Option(help="How often a pair is seen at most.", rich_help_panel=_RECIPE)
    ] = 3.0
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Examples of a batch.",
            show_default="32; 1024 on an accelerator",
            rich_help_panel=_RECIPE,
        ),
    ] = None
    learning_rate: Annotated[
        float, typer.Option(help="The highest learning rate.", rich_help_panel=_RECIPE)
    ] = 2e-5
    warmup: Annotated[
        float,
        typer.Option(help="Share of the steps of the warm-up.", rich_help_panel=_RECIPE),
    ] = 0.1
    max_length: Annotated[
        int | None,
        typer.Option(
            help="Word pieces of a text that are trained on.",
            show_default="250; less where the time is short",
            rich_help_panel=_RECIPE,
        ),
    ] = None
    freeze_embeddings: Annotated[
        bool | None,
        typer.Option(
            "--freeze-embeddings/--train-embeddings",
            help="Whether the vectors of word pieces stay as they are.",
            show_default="frozen on a processor",
            rich_help_panel=_RECIPE,
        ),
    ] = None
    seed: Annotated[
        int, typer.Option(help="Of split, batches and dropout.", rich_help_panel=_RECIPE)
    ] = 0
    device: Annotated[
        str,
        typer.Option(help="auto, cpu, or a torch device such as cuda:0.", rich_help_panel=_RECIPE),
    ] = "auto"
    threads: Annotated[
        int | None,
        typer.Option(help="Processors to use.", show_default="all", rich_help_panel=_RECIPE),
    ] = None


@options
def train(
    pairs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PAIRS[:WEIGHT]...",
            help="Files of records with query and positive, and optionally negative, negatives, "
            "group: .jsonl, .csv, .tsv (also .gz), .parquet, .arrow, or - for standard input. "
            "Batches are drawn in proportion to the weights; 1 where there is none.",
        ),
    ] = None,
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The directory of the new model.")
    ],
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            "-b",
            metavar="MODEL",
            help="What is trained: a hub name or a directory.",
            show_default=MULTI_QA.name,
        ),
    ] = None,
    test_model: TestModel = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    data_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='More files with weights: [{"name": "faq.jsonl", "weight": 3}, …], as in the '
            "model's card.",
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="Time for training and measuring, which the steps are planned by.")
    ] = 10.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training that was begun to DIR.")
    ] = False,
    mine_negatives: Annotated[
        int, typer.Option(metavar="N", help="Find so many hard negatives for each pair.")
    ] = 0,
    keep_general: Annotated[
        Path | None,
        typer.Option(
            metavar="SET", help="Measure on this folder, in the format of BEIR, what is forgotten."
        ),
    ] = None,
    blend: Annotated[
        str,
        typer.Option(
            metavar="auto|0..1",
            help="Share of the trained weights in the result; the rest is the base's. auto chooses "
            "it on half of the held-out queries, and reports on the others.",
        ),
    ] = "auto",
    reading: PairOptions,
    recipe: RecipeOptions,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Train the model on pairs of questions and answers.

    A tenth of the pairs is held out, to measure with before and after. Ctrl-C keeps a checkpoint,
    which --resume takes up.

    Exit status: 0 the model is better; 1 failed; 2 wrong usage, or too little to learn from; 3 not
    better than the base beyond noise, but written; 5 the base is not available; 130 or 143 stopped
    by a signal.
    """
    keep_fonts_out_of_home()
    from multiqa_integrations.training import PairFields, Recipe, read_data_config
    from multiqa_integrations.training import train as run

    with _no_pairs_are_wrong_usage(), jobs.Signals() as signals:
        if test_model and base is not None:
            raise ConfigurationError("--test-model and --base exclude each other. Pass one.")
        if reading.dead_letter is not None:
            check_file(reading.dead_letter, "--dead-letter", creates_folder=True)
        check_folder(out, "--out")
        sets = [_parse_set(text) for text in pairs or ()]
        sets += [] if data_config is None else read_data_config(data_config)
        if not sets:
            raise ConfigurationError("no pairs were given. Name a file, or pass --data-config.")
        with TrainBar(signals) as progress, _telling_of_stop(signals):
            report = run(
                sets,
                out,
                base=require_test_model() if test_model else base,
                fields=PairFields(**reading.fields),
                format=reading.format,
                mine_negatives=mine_negatives,
                keep_general=keep_general,
                blend=_parse_blend(blend),
                resume=resume,
                dry_run=dry_run,
                max_errors=reading.max_errors,
                dead_letter=reading.dead_letter,
                local_files_only=offline,
                progress=progress,
                stop=signals.stop,
                recipe=Recipe(minutes=minutes, **vars(recipe)),
            )
        if as_json:
            terminal.echo_json({**report.to_dict(), "dry_run": dry_run})
        else:
            _show(report, reading.dead_letter)
        if not dry_run and not report.better:
            terminal.show_warning(
                "the model is not better than its base beyond noise on the held-out queries. It "
                f"is in {out}; do not change over to it for its figures."
            )
            raise typer.Exit(jobs.INCOMPLETE)


@contextmanager
def _no_pairs_are_wrong_usage() -> Iterator[None]:
    """Give status 2 to what cannot be learned from; 3, as of jobs, has another meaning here."""
    try:
        yield
    except SourceError as error:
        terminal.show_error(error)
        raise typer.Exit(jobs.USAGE) from error


@contextmanager
def _telling_of_stop(signals: jobs.Signals) -> Iterator[None]:
    """Say how to go on after a stop; the signals exit without a message."""
    try:
        yield
    except TrainingError as error:
        if signals.received is not None:
            terminal.stderr().prose(str(error))
        raise


def _parse_set(text: str) -> Any:
    from multiqa_integrations.training import PairSet

    path, colon, weight = text.rpartition(":")
    if not colon or not path or Path(text).exists():
        return PairSet(text)
    try:
        number = float(weight)
    except ValueError:
        return PairSet(text)
    return PairSet(path, number)


def _parse_blend(text: str) -> Any:
    try:
        return text if text == "auto" else float(text)
    except ValueError as error:
        raise ConfigurationError(
            f"--blend is {text!r}, expected auto or a share from 0 to 1."
        ) from error


def _show(report: TrainReport, letters: Path | None) -> None:
    console = terminal.stdout()
    counts = ", ".join(
        f"{one.name}: {terminal.count(one.pairs, 'pair')}"
        + (f" in {terminal.count(one.groups, 'group')}" if one.groups else "")
        + (f", weight {one.weight:g}" if len(report.sets) > 1 else "")
        for one in report.sets
    )
    console.prose(counts)
    settings = report.settings
    console.prose(
        f"{terminal.count(report.pairs, 'pair')} to train on, {report.held_out:,} held out; "
        f"{terminal.count(report.steps, 'step')} of {settings['batch_size']:,} examples "
        f"({report.epochs:.1f} epochs), texts of up to {settings['max_length']} word pieces, "
        f"embeddings {'frozen' if settings['freeze_embeddings'] else 'trained'}"
    )
    for note in report.notes:
        console.prose(f"• {terminal.one_line(note)}")
    for reason in report.rejections[:5]:
        console.prose(f"    {terminal.one_line(reason)}")
    if report.rejections and letters is not None:
        console.prose(f"• the rejected records are in {letters}")
    if report.measured is None:
        console.prose("Nothing was trained.")
        return
    table = Table()
    table.add_column("")
    for name in ("before", "after"):
        table.add_column(name, justify="right")
    table.add_column("difference", justify="right")
    for found in (report.measured, report.general):
        if found is not None:
            _add(table, found)
    console.table(table)
    if len(report.blends) > 1:
        tried = ", ".join(f"{share:g}: {value:.4f}" for share, value in report.blends.items())
        console.prose(f"trained share {report.blend:g}, chosen on other queries ({tried})")
    console.prose(f"{report.out}: {report.measured.sentence}, in {report.seconds:,.0f} s")
    if report.general is not None and report.general.worse:
        console.prose(
            f"• on {report.general.name} it lost beyond noise; a smaller --blend keeps more"
        )
    if report.better:
        console.prose(
            f"next: multiqa evaluate SET --against model={report.out}, then multiqa reembed "
            f"COLLECTION --model {report.out}"
        )


def _add(table: Table, found: Measured) -> None:
    for number, (metric, before) in enumerate(found.before.items()):
        queries = "query" if found.queries == 1 else "queries"
        name = f"{found.name} ({found.queries:,} {queries})"
        difference = ""
        if not number:
            difference = f"{signed(found.difference, 4)} ({interval(found.low, found.high)})"
        table.add_row(
            f"{name if not number else ''} {metric}".strip(),
            f"{before:.4f}",
            f"{found.after[metric]:.4f}",
            difference,
        )


class TrainBar:
    """Shows how far a training is: a bar on a terminal, elsewhere a line now and then.

    It also tells the signals whether a stop is awaited: a step ends soon, other work does not.
    """

    def __init__(self, signals: jobs.Signals) -> None:
        self._signals = signals
        self._last_line = time.monotonic()
        self._stack = ExitStack()
        self._console = terminal.stderr()
        self._update: Callable[..., None] | None = None

    def __enter__(self) -> TrainBar:
        self._signals.finishes = False
        if terminal.shows_progress():
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[figures]}", markup=False),
            )
            bar = self._stack.enter_context(Bar(*columns, console=self._console, transient=True))
            task = bar.add_task("reading", total=None, figures="")
            self._update = lambda **values: bar.update(task, **values)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def __call__(self, progress: TrainProgress) -> None:
        """Show how far it is."""
        self._signals.finishes = progress.phase == "training"
        figures = progress.detail
        if progress.steps:
            figures = f"step {progress.step:,} of {progress.steps:,}"
            if progress.loss is not None:
                figures += f", loss {progress.loss:.3f}"
            figures += f", {progress.rate:,.0f} examples/s"
            if progress.seconds_left is not None:
                figures += f", {progress.seconds_left:,.0f} s left"
        now = time.monotonic()
        if self._update is not None:
            self._update(
                description=progress.phase,
                figures=figures,
                total=progress.steps or None,
                completed=progress.step,
            )
        elif not terminal.quiet and now - self._last_line >= _LINE_SECONDS:
            self._last_line = now
            self._console.print(f"{progress.phase}: {figures}")
