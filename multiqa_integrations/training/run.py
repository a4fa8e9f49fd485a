"""One start of a training: measure, train, blend, measure again, write."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from multiqa_integrations.checkpoint import Checkpoint, parse_model, resolve
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import TrainingError
from multiqa_integrations.evaluation import Dataset
from multiqa_integrations.evaluation.metrics import Scores
from multiqa_integrations.training.heldout import Split, shared_texts, write_retrieval_set
from multiqa_integrations.training.measure import Held, best, measured, scores_of
from multiqa_integrations.training.mine import mine
from multiqa_integrations.training.pairs import Pair, text_key
from multiqa_integrations.training.read import PairData
from multiqa_integrations.training.recipe import TRAINED_LENGTH, Recipe
from multiqa_integrations.training.report import SHOWN, Phase, TrainProgress, TrainReport
from multiqa_integrations.training.room import RESUME, write_error
from multiqa_integrations.training.workplace import Workplace

if TYPE_CHECKING:
    import torch

    from multiqa_integrations.training.fit import Lengths, Plan
    from multiqa_integrations.training.trainer import Part

_BLENDS = (0.5, 0.75, 1.0)
_BLEND = 0.5  # where nothing can be chosen on
_LEAST_QUERIES = 5  # to choose a blend on, and to report on
_PADDED = 0.98  # the longest of a batch is about so long
_COUNTED = 20_000  # texts of which the length is counted
_LEAST_SHARE = 0.2  # of the time that training gets, however long measuring takes
_RESERVE = 0.9  # of the time that is planned for
_NAMED = 10  # rejections that a report shows


@dataclass
class Run:
    """One start of a training."""

    workplace: Workplace
    checkpoint: Checkpoint
    data: PairData
    parts: Split
    general: Dataset | None
    recipe: Recipe
    blend: float | Literal["auto"]
    mined: int
    show: Callable[[TrainProgress], None]
    stop: threading.Event | None
    began: float

    @property
    def asked(self) -> dict[str, Any]:
        """What must be the same when the run is resumed."""
        return {
            **self.recipe.to_dict(),
            "base": self.checkpoint.fingerprint,
            "pairs": [[counts.digest, counts.weight] for counts in self.data.sets],
            "mine_negatives": self.mined,
            "blend": self.blend,
            "keep_general": None if self.general is None else self.general.name,
        }

    def plan_only(self) -> TrainReport:
        """Tell what would be done.

        Raises:
            TrainingError: It was stopped, or found no room.
        """
        with self._explaining_disk_errors():
            return self._plan_only()

    def _plan_only(self) -> TrainReport:
        lengths = self._lengths()
        held = self._held_out()
        began = time.monotonic()
        self._scores(held.dataset, self._encoder(self.checkpoint.directory))
        plan = self._plan(self._parts_of(self.parts.trained), lengths, time.monotonic() - began)
        return self._report(plan, lengths)

    def train(self) -> TrainReport:
        """Do it.

        Raises:
            TrainingError: It was stopped, diverged, or found no room.
        """
        with self._explaining_disk_errors():
            return self._train()

    @contextmanager
    def _explaining_disk_errors(self) -> Iterator[None]:
        weights = self.checkpoint.weights.stat().st_size
        try:
            yield
        except OSError as error:
            where = str(error.filename or self.workplace.folder)
            raise write_error(
                f"{where!r} cannot be written or read",
                error,
                self.workplace.folder,
                weights,
                again="train again" if self.workplace.plan is None else RESUME,
            ) from error

    def _train(self) -> TrainReport:
        lengths = self._lengths()
        held = self._held_out()
        began = time.monotonic()
        base_encoder = self._encoder(self.checkpoint.directory)
        before = self._scores(held.dataset, base_encoder)
        measuring = time.monotonic() - began
        general_before = None
        if self.general is not None:
            general_before = self._scores(self.general, base_encoder)
            measuring += (time.monotonic() - began - measuring) / self._tries
        trained = self.parts.trained
        if self.mined:
            trained = mine(trained, base_encoder, self.mined, self._progress("mining"))
        del base_encoder
        parts = self._parts_of(trained)
        plan = self._plan(parts, lengths, measuring * self._tries)
        tensors, loss = self._fit(parts, plan)
        share, blends, after, folder = self._blended(tensors, held, before)
        report = self._report(
            plan,
            lengths,
            out=self.workplace.out,
            fingerprint=resolve(folder).fingerprint,
            loss=tuple(loss),
            blend=share,
            blends=blends,
            measured=measured(
                held.dataset, "held-out queries", before, after, held.reported, self.recipe.seed
            ),
        )
        if self.general is not None and general_before is not None:
            report = replace(
                report,
                general=measured(
                    self.general,
                    self.general.name,
                    general_before,
                    self._scores(self.general, self._encoder(folder)),
                    np.arange(len(self.general.queries)),
                    self.recipe.seed,
                ),
            )
        self._write(report, folder)
        return replace(report, seconds=time.monotonic() - self.began)

    # --- the steps ------------------------------------------------------------------------------

    @property
    def _tries(self) -> int:
        return len(_BLENDS) if self.blend == "auto" else 1

    def _held_out(self) -> Held:
        dataset = write_retrieval_set(
            self.workplace.sets / "held-out",
            self.parts.held_out,
            self.parts.trained,
            self.recipe.seed,
        )
        rows = np.arange(len(dataset.queries))
        if self.blend != "auto":
            return Held(dataset, rows, rows[:0])
        first, _ = self.parts.halves(self.recipe.seed)
        chosen = {text_key(pair.query) for pair in first}
        on = np.array([text_key(text) in chosen for text in dataset.queries.values()], bool)
        if min(on.sum(), (~on).sum()) < _LEAST_QUERIES:  # it hangs together too much
            return Held(dataset, rows, rows[:0])
        return Held(dataset, rows[~on], rows[on])

    def _lengths(self) -> Lengths:
        """Count word pieces, of a sample."""
        from multiqa_integrations.tokenizer import WordPieceTokenizer
        from multiqa_integrations.training.fit import Lengths

        tokenizer = WordPieceTokenizer(self.checkpoint.tokenizer_file)
        rows = np.random.default_rng(self.recipe.seed).permutation(len(self.data.pairs))
        sample = [self.data.pairs[row] for row in rows[: _COUNTED // 2]]
        counts = tokenizer.count([text for pair in sample for text in pair[:2]])
        cut = np.minimum(counts, self.recipe.max_length or TRAINED_LENGTH).reshape(-1, 2)
        return Lengths(
            padded=float(np.quantile(cut, _PADDED, axis=0).sum()),
            longest=int(counts.max()),
            beyond=float((counts > TRAINED_LENGTH).mean()),
        )

    def _parts_of(self, pairs: Sequence[Pair]) -> list[Part]:
        from multiqa_integrations.training.trainer import parts_of

        return parts_of(pairs, [counts.weight for counts in self.data.sets])

    def _plan(self, parts: list[Part], lengths: Lengths, measuring: float) -> Plan:
        from multiqa_integrations.training.fit import Plan, make_plan, surroundings
        from multiqa_integrations.training.trainer import Settings

        if self.workplace.plan is not None:
            kept = dict(self.workplace.plan["plan"])
            return Plan(**{**kept, "settings": Settings(**kept["settings"])})
        self._show("measuring", "how long a step takes")

        def seconds() -> float:
            whole = self.recipe.minutes * 60
            left = whole - (time.monotonic() - self.began) - measuring
            return _RESERVE * max(left, _LEAST_SHARE * whole)

        with surroundings(self.recipe):
            return make_plan(
                self.checkpoint,
                parts,
                self.recipe,
                lengths,
                seconds,
                self.workplace.checkpoints,
                lambda detail: self._show("measuring", detail),
            )

    def _fit(
        self, parts: list[Part], plan: Plan
    ) -> tuple[dict[str, torch.Tensor], list[tuple[int, float]]]:
        from multiqa_integrations.training.fit import fit, surroundings

        if self.workplace.plan is None:
            self.workplace.keep_plan({"asked": self.asked, "plan": asdict(plan)})
        last = self.workplace.last_checkpoint()
        with surroundings(self.recipe):
            made = fit(
                self.checkpoint,
                parts,
                plan,
                self.recipe,
                self.workplace.checkpoints,
                last,
                progress=self.show,
                stop=self.stop,
            )
        gc.collect()  # the trainer, its model and the optimiser hold each other
        return made

    def _blended(
        self, tensors: dict[str, torch.Tensor], held: Held, before: Scores
    ) -> tuple[float, dict[float, float], Scores, Path]:
        """Write the checkpoint of each share, and keep the best."""
        from multiqa_integrations.training.output import base_tensors, blend, write_checkpoint

        shares: tuple[float, ...] = _BLENDS if len(held.chosen_on) else (_BLEND,)
        if self.blend != "auto":
            shares = (float(self.blend),)
        old = base_tensors(self.checkpoint)
        scores: dict[float, Scores] = {}
        for share in shares:
            self._show("blending", f"{share:.0%} of the trained weights")
            folder = self.workplace.results / f"{share:g}"
            write_checkpoint(folder, self.checkpoint, blend(old, tensors, share))
            scores[share] = self._scores(held.dataset, self._encoder(folder))
        share, blends = shares[0], {}
        if len(held.chosen_on):
            blends = {s: float(scores[s][SHOWN[0]][held.chosen_on].mean()) for s in shares}
            blends[0.0] = float(before[SHOWN[0]][held.chosen_on].mean())
            share = best(shares, [blends[s] for s in shares])
        return (
            share,
            dict(sorted(blends.items())),
            scores[share],
            self.workplace.results / (f"{share:g}"),
        )

    def _write(self, report: TrainReport, folder: Path) -> None:
        from multiqa_integrations.training.card import model_card
        from multiqa_integrations.training.picture import write_picture

        self._show("writing")
        write_picture(report, folder / "training.svg")
        report = replace(report, seconds=time.monotonic() - self.began)
        _, directory = parse_model(self.checkpoint.spec.name)
        hub_name = self.checkpoint.spec.name if directory is None else None
        card = model_card(report, picture="training.svg", hub_name=hub_name)
        (folder / "README.md").write_text(card, encoding="utf-8")
        values = report.to_dict()
        del values["rejections"]  # they may quote text
        del values["out"]  # where it is now; a model is moved, and given to others
        (folder / "training.json").write_text(
            json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        self.workplace.publish(folder)

    # --- what they share ------------------------------------------------------------------------

    def _report(self, plan: Plan, lengths: Lengths, **values: Any) -> TrainReport:
        trained = len(self.parts.trained)
        epochs = plan.steps * plan.settings.batch_size / max(trained, 1)
        settings = {
            **self.recipe.to_dict(),
            **asdict(plan.settings),
            "freeze_embeddings": plan.frozen,
            "mine_negatives": self.mined,
            "blend": self.blend,
            "keep_general": None if self.general is None else self.general.name,
        }
        return TrainReport(
            **{"out": None, **values},
            base=self.checkpoint.spec.name,
            base_fingerprint=self.checkpoint.fingerprint,
            sets=tuple(self.data.sets),
            pairs=trained,
            held_out=len(self.parts.held_out),
            long_texts=lengths.beyond,
            steps=plan.steps,
            epochs=epochs,
            settings=settings,
            notes=tuple(self._notes(lengths.beyond, epochs)),
            rejections=tuple(
                f"{self.data.sets[number].name}, line {rejection.line:,}: {rejection.reason}"
                for number, rejection in self.data.rejections[:_NAMED]
            ),
            seconds=time.monotonic() - self.began,
        )

    def _notes(self, long_texts: float, epochs: float) -> Iterator[str]:
        data = self.data
        if epochs < 1:  # a machine that was busy while a few steps were timed plans too few
            yield (
                f"so few steps see only {epochs:.0%} of the pairs: give more --minutes, or --steps"
            )
        for counts in data.sets:
            if counts.rejected:
                yield f"{counts.name}: {counts.rejected:,} of {counts.records:,} records rejected"
            if counts.duplicates:
                yield f"{counts.name}: {counts.duplicates:,} pairs occur more than once"
        if data.unwritten:
            yield f"{data.unwritten:,} dead letters could not be written"
        if long_texts:
            yield (
                f"{long_texts:.1%} of the texts are longer than {TRAINED_LENGTH} word pieces; "
                "what is beyond is not trained on"
            )
        if self.general is not None:
            shared = shared_texts(self.parts.trained, self.general)
            if shared:
                yield (
                    f"{shared:,} pairs have a text of {self.general.name}: its figures say little "
                    "about what was forgotten"
                )

    def _encoder(self, directory: Path) -> MultiQAEncoder:
        return MultiQAEncoder(
            directory,
            device=self.recipe.device,
            threads=self.recipe.threads,
            on_truncation="ignore",
            local_files_only=True,
        )

    def _scores(self, dataset: Dataset, encoder: MultiQAEncoder) -> Scores:
        return scores_of(dataset, encoder, self._progress("measuring"))

    def _progress(self, phase: Phase) -> Callable[[str, int, int], None]:
        def progress(what: str, done: int, total: int) -> None:
            self._show(phase, f"{what} {done:,} of {total:,}" if total else what)

        return progress

    def _show(self, phase: Phase, detail: str = "") -> None:
        if self.stop is not None and self.stop.is_set():
            again = "" if self.workplace.plan is None else "; pass resume=True (--resume) to go on"
            raise TrainingError(f"the training was stopped while {phase}{again}.")
        self.show(TrainProgress(phase, detail))
