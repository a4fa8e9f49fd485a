"""The training itself: planned when it begins, kept in checkpoints, ended by a stop.

The number of steps is fixed by the plan, not by the clock at the end: a run that was killed and
resumed ends with the weights of one that was not.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback, set_seed
from transformers.utils import logging as transformers_logging

from multiqa_integrations.backends.torch_device import open_device
from multiqa_integrations.checkpoint import Checkpoint
from multiqa_integrations.errors import ModelIntegrityError, TrainingError
from multiqa_integrations.memory import return_memory
from multiqa_integrations.training.output import trained_tensors
from multiqa_integrations.training.recipe import TRAINED_LENGTH, Recipe
from multiqa_integrations.training.report import TrainProgress
from multiqa_integrations.training.trainer import PairTrainer, Part, Settings

_CPU_BATCH, _GPU_BATCH = 32, 1024
# Word pieces that are computed at a time: 1 MB each or more, for the backward pass.
_CPU_PIECES, _GPU_PIECES = 128, 65_536
_SHORTER = (128, 64)  # word pieces of a text, where the time is too short for longer ones
_MEASURED_STEPS = 100  # a plan to measure the speed by; never run


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long the texts are, in word pieces.

    Attributes:
        padded: Of a query and its positive together, as long as the longest of a batch are.
        longest: The longest of all.
        beyond: The share of texts that are longer than 250.
    """

    padded: float
    longest: int
    beyond: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do, once it has begun.

    Attributes:
        settings: Of the trainer.
        steps: How many it takes.
        frozen: Whether embeddings stay as they are.
        seconds_per_step: As it was measured; 0 where it need not be.
    """

    settings: Settings
    steps: int
    frozen: bool
    seconds_per_step: float


def device_of(recipe: Recipe) -> torch.device:
    """Return the device of a recipe.

    Raises:
        ConfigurationError: torch cannot use it here.
    """
    name = recipe.device
    if name == "auto":
        backends: Any = torch.backends
        name = (
            "cuda" if torch.cuda.is_available() else "mps" if backends.mps.is_available() else "cpu"
        )
    return open_device(name, threads=None, forked=False)


def load(checkpoint: Checkpoint, device: torch.device, *, frozen: bool) -> SentenceTransformer:
    """Load a checkpoint to be trained, in float32.

    Raises:
        ModelIntegrityError: It cannot be loaded.
    """
    try:
        model = SentenceTransformer(
            str(checkpoint.directory),
            device=str(device),
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={
                "torch_dtype": torch.float32,
                "use_safetensors": True,
                "attn_implementation": "sdpa",
            },
        )
    except Exception as error:
        raise ModelIntegrityError(
            f"sentence-transformers cannot load {checkpoint.directory}: {error} "
            "Fetch the checkpoint again."
        ) from error
    for name, parameter in model.named_parameters():
        if "pooler." in name or (frozen and ".embeddings." in name):
            parameter.requires_grad_(False)
    return model


def make_plan(
    checkpoint: Checkpoint,
    parts: Sequence[Part],
    recipe: Recipe,
    lengths: Lengths,
    seconds: Callable[[], float],
    folder: Path,
    show: Callable[[str], None],
) -> Plan:
    """Choose what the recipe leaves open, and how many steps fit into the time.

    Args:
        checkpoint: The base.
        parts: What batches are drawn of.
        recipe: What was asked for.
        lengths: Of the texts.
        seconds: Returns the time that is left for the training.
        folder: Of checkpoints; none is written.
        show: Called with what is measured; may end it by an error.
    """
    device = device_of(recipe)
    on_cpu = device.type == "cpu"
    examples = sum(len(part.rows) for part in parts)
    batch_size = recipe.batch_size or min(
        _CPU_BATCH if on_cpu else _GPU_BATCH, max(2, examples // 8)
    )
    most = max(1, math.ceil(examples * recipe.epochs / batch_size))
    frozen = on_cpu if recipe.freeze_embeddings is None else recipe.freeze_embeddings
    limit = _CPU_PIECES if on_cpu else _GPU_PIECES
    prompts = checkpoint.spec.prompts
    columns = {"query": "query", "positive": "document", "negative": "document"}
    settings = Settings(
        batch_size=batch_size,
        learning_rate=recipe.learning_rate,
        warmup=recipe.warmup,
        max_length=recipe.max_length or TRAINED_LENGTH,
        cached=limit if batch_size * lengths.padded > limit else None,
        seed=recipe.seed,
        prompts={name: prompts[role] for name, role in columns.items() if prompts.get(role)},
    )
    if recipe.steps is not None:
        return Plan(settings, recipe.steps, frozen, 0.0)
    # Shorter texts only where there are longer ones, and one pass over all would not fit.
    shorter = (
        [n for n in _SHORTER if n < lengths.longest] if recipe.max_length is None and on_cpu else []
    )
    while True:
        model = load(checkpoint, device, frozen=frozen)
        trainer = PairTrainer(model, parts, settings, steps=_MEASURED_STEPS, folder=folder)
        step = trainer.seconds_per_step(show)
        steps = min(most, max(1, int(seconds() / step)))
        if not shorter or steps >= min(most, examples / batch_size):
            return Plan(settings, steps, frozen, step)
        settings = replace(settings, max_length=shorter.pop(0))


def fit(
    checkpoint: Checkpoint,
    parts: Sequence[Part],
    plan: Plan,
    recipe: Recipe,
    folder: Path,
    last: Path | None,
    *,
    progress: Callable[[TrainProgress], None],
    stop: threading.Event | None,
) -> tuple[dict[str, torch.Tensor], list[tuple[int, float]]]:
    """Train the planned steps, from the last checkpoint if there is one.

    Returns:
        The trained tensors, by the names of BERT, and the curve of the loss.

    Raises:
        TrainingError: It was stopped, the loss is not finite, or a checkpoint cannot be written.
    """
    model = load(checkpoint, device_of(recipe), frozen=plan.frozen)
    watch = _Watch(plan, progress, stop)
    trainer = PairTrainer(
        model, parts, plan.settings, steps=plan.steps, folder=folder, callbacks=[watch]
    )
    if last is not None and last.name == f"checkpoint-{plan.steps}":
        trainer.state = type(trainer.state).load_from_json(str(last / "trainer_state.json"))
        loaded = load_file(last / "model.safetensors")
        return {name.removeprefix("bert."): value for name, value in loaded.items()}, _curve(
            trainer
        )
    set_seed(recipe.seed)  # whatever was measured before
    try:
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    except torch.cuda.OutOfMemoryError as error:
        raise TrainingError(
            f"the device has too little memory for batches of {plan.settings.batch_size:,}. Pass a "
            "smaller batch_size (--batch-size)."
        ) from error
    if stop is not None and stop.is_set() and trainer.state.global_step < plan.steps:
        raise TrainingError(
            f"the training was stopped at step {trainer.state.global_step:,} of {plan.steps:,}; "
            "pass resume=True (--resume) to go on."
        )
    return trained_tensors(model.state_dict()), _curve(trainer)


def _curve(trainer: PairTrainer) -> list[tuple[int, float]]:
    return [
        (int(entry["step"]), float(entry["loss"]))
        for entry in trainer.state.log_history
        if "loss" in entry
    ]


class _Watch(TrainerCallback):
    """Reports progress, stops where that is asked for, and ends a training that diverges."""

    def __init__(
        self,
        plan: Plan,
        progress: Callable[[TrainProgress], None],
        stop: threading.Event | None,
    ) -> None:
        self._plan, self._progress, self._stop = plan, progress, stop
        self._began, self._first = time.monotonic(), 0
        self._loss: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began, self._first = time.monotonic(), state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        return_memory()
        step, steps = state.global_step, self._plan.steps
        seconds = max(time.monotonic() - self._began, 1e-9)
        done = step - self._first
        rate = done / seconds
        self._progress(
            TrainProgress(
                phase="training",
                step=step,
                steps=steps,
                loss=self._loss,
                rate=rate * self._plan.settings.batch_size,
                seconds_left=(steps - step) / rate,
            )
        )
        if step == steps:
            control.should_save = True
        elif self._stop is not None and self._stop.is_set():
            control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        self._loss = float(loss)
        if not math.isfinite(self._loss):
            raise TrainingError(
                f"the loss is {self._loss} at step {state.global_step:,}: the training diverged. "
                "Pass a smaller learning_rate (--learning-rate)."
            )


@contextmanager
def surroundings(recipe: Recipe) -> Iterator[None]:
    """Give torch its threads, and keep the libraries' own bars, notes and warnings to themselves.

    What is set for the whole process is as before at the end.
    """
    threads = torch.get_num_threads()
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    loggers = [logging.getLogger(name) for name in ("sentence_transformers", "accelerate")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    shown = transformers_logging.is_progress_bar_enabled()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"torch\..*|transformers\..*|accelerate\..*")
            yield
    finally:
        torch.set_num_threads(threads)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        transformers_logging.set_verbosity(verbosity)
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
