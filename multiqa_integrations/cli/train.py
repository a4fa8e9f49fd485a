"""`multiqa train`: the model's own recipe on the user's pairs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from multiqa_integrations._test_model import require_test_model
from multiqa_integrations.cli import jobs, terminal
from multiqa_integrations.cli.options import AsJson, DryRun, TestModel, options
from multiqa_integrations.cli.outputs import check_file, check_folder, keep_fonts_out_of_home
from multiqa_integrations.cli.progress import training_progress
from multiqa_integrations.cli.signals import telling_at_the_end
from multiqa_integrations.cli.train_options import PairOptions, RecipeOptions
from multiqa_integrations.cli.train_report import show_report
from multiqa_integrations.errors import ConfigurationError, SourceError, TrainingError
from multiqa_integrations.model import MULTI_QA

if TYPE_CHECKING:
    from multiqa_integrations.training import PairSet, TrainProgress


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
    offline: Annotated[
        bool, typer.Option("--offline", envvar="MULTIQA_OFFLINE", help="Never use the network.")
    ] = False,
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

    with _no_pairs_are_wrong_usage(), jobs.Signals(finishes=False) as signals:
        if test_model and base is not None:
            raise ConfigurationError("--test-model and --base exclude each other. Pass one.")
        if reading.dead_letter is not None:
            check_file(reading.dead_letter, "--dead-letter", creates_folder=True)
        for folder in (out, out.expanduser().absolute().parent):  # checkpoints are kept beside it
            check_folder(folder, "--out")
        sets = [_parse_set(text) for text in pairs or ()]
        sets += [] if data_config is None else read_data_config(data_config)
        if not sets:
            raise ConfigurationError("no pairs were given. Name a file, or pass --data-config.")
        with training_progress() as show_progress, _showing_how_to_resume(signals, out):

            def progress(update: TrainProgress) -> None:
                # A step ends soon; other work may not.
                signals.finishes = update.phase == "training"
                show_progress(update)

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
            show_report(report, None if dry_run else reading.dead_letter)
        if not dry_run and not report.better:
            terminal.show_warning(
                "the model is not better than its base beyond noise on the held-out queries. It "
                f"is in {out}; do not change over to it for its figures."
            )
            raise typer.Exit(jobs.INCOMPLETE)


@contextmanager
def _no_pairs_are_wrong_usage() -> Iterator[None]:
    """Exit with 2 where there is nothing to learn from; the 3 of jobs means something else here."""
    try:
        yield
    except SourceError as error:
        terminal.show_error(error)
        raise typer.Exit(jobs.USAGE) from error


@contextmanager
def _showing_how_to_resume(signals: jobs.Signals, out: Path) -> Iterator[None]:
    """Show the message of a training that was stopped: after a signal, `Signals` shows none."""

    def message() -> str | None:
        from multiqa_integrations.training.workplace import is_resumable

        if is_resumable(out):
            return "the training was stopped; pass --resume to go on."
        if (out / "training.json").exists():
            return f"the model is complete in {out}."
        return None

    try:
        with telling_at_the_end(message):
            yield
    except TrainingError as error:
        if signals.received is not None:
            terminal.stderr().prose(str(error))
        raise
    except KeyboardInterrupt:
        text = message()
        if text is not None:
            terminal.stderr().prose(text)
        raise


def _parse_set(text: str) -> PairSet:
    from multiqa_integrations.training import PairSet

    path, colon, weight = text.rpartition(":")
    if not colon or not path or Path(text).exists():
        return PairSet(text)
    try:
        number = float(weight)
    except ValueError:
        return PairSet(text)
    return PairSet(path, number)


def _parse_blend(text: str) -> float | Literal["auto"]:
    try:
        return "auto" if text == "auto" else float(text)
    except ValueError as error:
        raise ConfigurationError(
            f"--blend is {text!r}, expected auto or a share from 0 to 1."
        ) from error
