"""Train the model on a user's pairs: what is asked for is checked, read and split, then run."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from multiqa_integrations._optional import is_installed
from multiqa_integrations.checkpoint import resolve
from multiqa_integrations.errors import ConfigurationError, MissingDependencyError
from multiqa_integrations.etl.records import Format
from multiqa_integrations.evaluation import read_dataset
from multiqa_integrations.model import default_model
from multiqa_integrations.training.heldout import split
from multiqa_integrations.training.pairs import PairFields, pair_sets
from multiqa_integrations.training.read import read_pairs
from multiqa_integrations.training.recipe import Recipe
from multiqa_integrations.training.report import TrainProgress, TrainReport
from multiqa_integrations.training.run import Run
from multiqa_integrations.training.workplace import Workplace

_PACKAGES = (
    *("sentence_transformers", "torch", "accelerate", "datasets", "safetensors"),
    *("ir_measures", "pytrec_eval", "scipy", "matplotlib"),
)


def train(
    pairs: object,
    out: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] | None = None,
    fields: PairFields | None = None,
    format: Format | None = None,
    mine_negatives: int = 0,
    keep_general: str | Path | None = None,
    blend: float | Literal["auto"] = "auto",
    resume: bool = False,
    dry_run: bool = False,
    max_errors: int = 1_000,
    dead_letter: str | Path | None = None,
    local_files_only: bool = False,
    progress: Callable[[TrainProgress], None] | None = None,
    stop: threading.Event | None = None,
    recipe: Recipe | None = None,
    **settings: Any,
) -> TrainReport:
    """Train the model on pairs of a question and the text that answers it.

    A tenth of the pairs is held out, by what hangs together and never by row; on it the model is
    measured before and after. What was begun and killed goes on with `resume=True`, and ends as it
    would have ended.

    Args:
        pairs: Records with `query` and `positive`, and optionally `negative`, `negatives` and
            `group`, from whatever `open_source` takes; or a list of paths or of `PairSet`s.
        out: The directory of the new model, which appears at the end, complete.
        base: What is trained: a hub name or a directory; by default as for `MultiQAEncoder`.
        fields: Which field of a record is what.
        format: What the paths are, where their names do not say.
        mine_negatives: So many hard negatives are found for each pair without one.
        keep_general: A folder in the format of BEIR on which forgetting is measured.
        blend: The share of the trained weights in the result, from 0 to 1; "auto" chooses it on
            half of the held-out queries, and the other half is reported on.
        resume: Go on with the training that was begun to `out`.
        dry_run: Read, check and plan; write nothing.
        max_errors: With more rejected records than that, nothing is trained.
        dead_letter: A file to whose end rejected records are written.
        local_files_only: Never use the network.
        progress: Called now and then.
        stop: Set it, from another thread or a signal handler, and the training ends after the step
            in hand, with a checkpoint.
        recipe: How to train.
        settings: The same as keywords: those of `Recipe`, such as `minutes=10`.

    Returns:
        What was done. `report.better` is False where the model is not better than its base beyond
        noise; it is there nevertheless.

    Raises:
        ConfigurationError: An argument is wrong, `out` exists, or what is resumed was begun with
            something else.
        SourceError: A source cannot be read, or too little of it can be learned from.
        TrainingError: It was stopped, diverged, or found no room.
        ModelError: The base cannot be found or used.
        MissingDependencyError: The extra `train` is not installed.

    Examples:
        >>> report = train("faq.jsonl", "./my-model", minutes=10)  # doctest: +SKIP
        >>> report.better, report.measured.difference  # doctest: +SKIP
        (True, 0.0412)
    """
    began = time.monotonic()
    try:
        recipe = replace(recipe or Recipe(), **settings)
    except TypeError as error:
        known = ", ".join(Recipe().to_dict())
        raise ConfigurationError(f"{error}. The settings of a recipe are {known}.") from error
    _check(blend, mine_negatives, max_errors)
    _require_packages()
    show = progress or (lambda _: None)
    general = None if keep_general is None else read_dataset(keep_general)
    with _workplace(Path(out), resume=resume, dry_run=dry_run) as workplace:
        checkpoint = resolve(
            default_model() if base is None else base, local_files_only=local_files_only
        )
        show(TrainProgress("reading"))
        data = read_pairs(
            pair_sets(pairs),
            fields or PairFields(),
            format=format,
            max_errors=max_errors,
            dead_letter=None if dead_letter is None or dry_run else Path(dead_letter),
            stop=stop,
        )
        run = Run(
            workplace=workplace,
            checkpoint=checkpoint,
            data=data,
            parts=split(data.pairs, recipe.seed),
            general=general,
            recipe=recipe,
            blend=blend,
            mined=mine_negatives,
            show=show,
            stop=stop,
            began=began,
        )
        if workplace.plan is not None:
            workplace.check_same(run.asked)
        return run.plan_only() if dry_run else run.train()


@contextmanager
def _workplace(out: Path, *, resume: bool, dry_run: bool) -> Iterator[Workplace]:
    """Take the folder beside the output; of a dry run, one that is gone at the end."""
    if not dry_run:
        with Workplace(out, resume=resume) as workplace:
            yield workplace
        return
    if resume:
        raise ConfigurationError("dry_run and resume exclude each other. Pass one of them.")
    Workplace(out, resume=False)  # that it could be written
    with (
        tempfile.TemporaryDirectory(prefix="multiqa-train-") as folder,
        Workplace(Path(folder) / "model", resume=False) as workplace,
    ):
        yield workplace


def _check(blend: object, mine_negatives: object, max_errors: object) -> None:
    is_share = isinstance(blend, int | float) and not isinstance(blend, bool) and 0 <= blend <= 1
    if blend != "auto" and not is_share:
        raise ConfigurationError(f"blend is {blend!r}, expected 'auto' or a share from 0 to 1.")
    for name, value, most in (
        ("mine_negatives", mine_negatives, 32),
        ("max_errors", max_errors, 10**9),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise ConfigurationError(
                f"{name} is {value!r}, expected a whole number from 0 to {most:,}."
            )


def _require_packages() -> None:
    for package in _PACKAGES:
        if not is_installed(package):
            raise MissingDependencyError(package, "train", "training")
