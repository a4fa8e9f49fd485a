"""A training from its pairs to its directory, on the test model."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("accelerate")
pytest.importorskip("datasets")
pytest.importorskip("sentence_transformers")

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.digest import sha256
from multiqa_integrations.errors import ConfigurationError, SourceError, TrainingError
from multiqa_integrations.training import Recipe, TrainProgress, TrainReport, train
from tests.support.pairs import glossary, rows
from tests.support.retrieval_set import MakeSet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SHORT = Recipe(steps=6, batch_size=8, max_length=16, threads=1)
"""Too few steps to learn anything: what is tested is what happens around them."""


@pytest.fixture(scope="module")
def learned(
    test_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainReport, list[TrainProgress]]:
    """A training that learns something, by its report and what was shown."""
    folder = tmp_path_factory.mktemp("learned")
    shown: list[TrainProgress] = []
    report = train(
        glossary(330),
        folder / "model",
        base=test_model,
        steps=16,
        batch_size=24,
        learning_rate=5e-4,
        threads=1,
        progress=shown.append,
    )
    return report, shown


def test_what_was_learned_is_better(learned: tuple[TrainReport, list[TrainProgress]]) -> None:
    report, _ = learned
    measured = report.measured
    assert measured is not None
    assert report.better
    assert measured.low is not None
    assert 0 < measured.low <= measured.difference
    assert measured.after["nDCG@10"] - measured.before["nDCG@10"] == pytest.approx(
        measured.difference
    )
    assert report.loss[-1][1] < report.loss[0][1]
    # The share was chosen on other queries than those that are reported on.
    assert report.blend == max(report.blends, key=lambda share: report.blends[share])
    assert set(report.blends) == {0.0, 0.5, 0.75, 1.0}
    assert measured.queries < report.held_out < 0.15 * 330
    assert report.pairs + report.held_out == 330


def test_the_directory(learned: tuple[TrainReport, list[TrainProgress]], test_model: Path) -> None:
    report, _ = learned
    out = report.out
    assert out is not None
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == sorted(
        [
            *["1_Pooling/config.json", "README.md", "config.json"],
            *["config_sentence_transformers.json", "model.safetensors", "modules.json"],
            *["sentence_bert_config.json", "special_tokens_map.json", "tokenizer.json"],
            *["tokenizer_config.json", "training.json", "training.svg", "vocab.txt"],
        ]
    )
    assert len({path.stat().st_mode for path in out.glob("*.*")}) == 1
    assert list(out.parent.iterdir()) == [out]  # what was needed to go on is gone
    tokenizer = json.loads((out / "tokenizer.json").read_text(encoding="utf-8"))
    assert (tokenizer["truncation"], tokenizer["padding"]) == (None, None)
    settings = json.loads((out / "sentence_bert_config.json").read_text(encoding="utf-8"))
    assert settings["max_seq_length"] == 256
    written = json.loads((out / "training.json").read_text(encoding="utf-8"))
    assert written["measured"]["after"] == report.to_dict()["measured"]["after"]
    assert written["settings"]["learning_rate"] == 5e-4
    card = (out / "README.md").read_text(encoding="utf-8")
    encoder = MultiQAEncoder(out)
    assert encoder.fingerprint == report.fingerprint != report.base_fingerprint
    for shown in (report.fingerprint, report.base_fingerprint, report.sets[0].digest[:16]):
        assert str(shown) in card
    assert report.base_fingerprint == MultiQAEncoder(test_model).fingerprint


def test_no_text_of_the_training_is_in_the_directory(
    learned: tuple[TrainReport, list[TrainProgress]],
) -> None:
    out = learned[0].out
    assert out is not None
    files = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    weights = files.pop("model.safetensors")
    # Beside the numbers there is a header of JSON, whose length stands first.
    files["header"] = weights[: 8 + int.from_bytes(weights[:8], "little")]
    content = b"\n".join(files.values())
    texts = [text.encode() for pair in glossary(200) for text in pair.values()]
    assert [text for text in texts if text in content] == []
    assert str(out).encode() not in content  # nor where it was made
    assert [text for text in texts[:10] if text in weights] == []


def test_both_backends_compute_the_same(
    learned: tuple[TrainReport, list[TrainProgress]],
) -> None:
    out = learned[0].out
    assert out is not None
    texts = [pair["positive"] for pair in glossary(40)] + ["", "Anything else. " * 60]
    vectors = [
        MultiQAEncoder(out, backend=backend, dtype="float32", device="cpu").encode(texts)
        for backend in ("openvino", "sentence-transformers")
    ]
    assert np.einsum("ij,ij->i", *vectors).min() >= 0.9999


def test_what_is_shown_meanwhile(learned: tuple[TrainReport, list[TrainProgress]]) -> None:
    _, shown = learned
    phases = list(dict.fromkeys(progress.phase for progress in shown))
    assert phases == ["reading", "measuring", "training", "blending", "writing"]
    steps = [progress for progress in shown if progress.phase == "training"]
    assert [progress.step for progress in steps] == list(range(1, 17))
    assert {progress.steps for progress in steps} == {16}
    assert steps[-1].loss is not None
    assert steps[-1].seconds_left == 0
    assert all(progress.rate > 0 for progress in steps)


def stopping_at(step: int, action: Callable[[], None]) -> Callable[[TrainProgress], None]:
    def progress(shown: TrainProgress) -> None:
        if shown.phase == "training" and shown.step == step:
            action()

    return progress


class Killed(BaseException):
    """What nobody catches, as nobody catches a kill."""


def kill() -> None:
    raise Killed


@pytest.mark.soak
def test_what_was_stopped_or_killed_ends_as_it_would_have(test_model: Path, tmp_path: Path) -> None:
    pairs = [*rows(230), *({**row, "negative": f"not {row['query']}"} for row in rows(40, "b"))]
    settings: dict[str, Any] = {"base": test_model, "recipe": SHORT, "blend": 1}
    whole = train(pairs, tmp_path / "whole", **settings)
    stop = threading.Event()
    out, kept = tmp_path / "resumed", tmp_path / ".resumed.training"
    with pytest.raises(TrainingError, match="stopped at step 2 of 6; pass resume=True"):
        train(pairs, out, **settings, stop=stop, progress=stopping_at(2, stop.set))
    assert not out.exists()
    assert kept.stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigurationError, match="begun and is not finished. Pass resume=True"):
        train(pairs, out, **settings)
    with pytest.raises(ConfigurationError, match="cannot be resumed: learning_rate was 2e-05 and"):
        train(pairs, out, **settings, resume=True, learning_rate=1e-5)
    with pytest.raises(ConfigurationError, match="cannot be resumed: pairs was"):
        train(pairs[1:], out, **settings, resume=True)
    with pytest.raises(Killed):
        train(pairs, out, **settings, resume=True, progress=stopping_at(5, kill))
    (kept / "checkpoints" / "checkpoint-5").mkdir(exist_ok=True)  # half written
    resumed = train(pairs, out, **settings, resume=True)
    assert resumed.fingerprint == whole.fingerprint
    assert resumed.loss == whole.loss
    assert resumed.measured == whole.measured
    assert sha256(out / "model.safetensors") == sha256(tmp_path / "whole" / "model.safetensors")
    assert not kept.exists()
    with pytest.raises(ConfigurationError, match="exists already"):
        train(pairs, out, **settings, resume=True)


@pytest.mark.soak
def test_killed_after_the_last_step(test_model: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"base": test_model, "recipe": SHORT, "blend": 1}

    def progress(shown: TrainProgress) -> None:
        if shown.phase == "blending":
            kill()

    with pytest.raises(Killed):
        train(rows(200), tmp_path / "model", **settings, progress=progress)
    assert train(rows(200), tmp_path / "model", **settings, resume=True).loss[-1][0] == 6


@pytest.mark.parametrize("phase", ["reading", "measuring"])
def test_an_interrupt_before_there_is_a_plan_leaves_nothing(
    phase: str, test_model: Path, tmp_path: Path
) -> None:
    def progress(shown: TrainProgress) -> None:
        if shown.phase == phase:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(rows(200), tmp_path / "m", base=test_model, recipe=SHORT, progress=progress)
    assert list(tmp_path.iterdir()) == []


def test_a_stop_while_steps_are_timed(test_model: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def progress(shown: TrainProgress) -> None:
        if shown.detail == "how long a step takes, 2 of 5":
            stop.set()

    recipe = replace(SHORT, steps=None)
    with pytest.raises(TrainingError, match=r"stopped while measuring\.$"):
        train(
            rows(200), tmp_path / "m", base=test_model, recipe=recipe, progress=progress, stop=stop
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.soak
def test_a_disk_that_refuses_while_the_picture_is_drawn(
    test_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"base": test_model, "recipe": replace(SHORT, steps=2), "blend": 1}
    out = tmp_path / "model"
    for number, told in (
        (
            errno.ENOSPC,
            r"\(No space left .*\)\. A training needs .* Make room, and pass resume=True",
        ),
        (errno.EACCES, r"\(Permission denied\)\. Let this user write there, and pass resume=True"),
    ):
        with monkeypatch.context() as patched:

            def refuse(*_: object, number: int = number) -> None:
                raise OSError(number, os.strerror(number), "training.svg")

            patched.setattr("multiqa_integrations.training.picture.write_picture", refuse)
            with pytest.raises(TrainingError, match=f"^'training.svg' cannot be written.* {told}"):
                train(rows(200), out, **settings, resume=number != errno.ENOSPC)
        assert not out.exists()
    assert train(rows(200), out, **settings, resume=True).out == out
    assert (out / "training.svg").is_file()
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.soak
def test_a_blend_lies_between(test_model: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    base = load_file(test_model / "model.safetensors")
    made = {}
    for share in (0.25, 1.0):
        out = tmp_path / f"{share}"
        recipe = replace(SHORT, steps=2)
        train(rows(200), out, base=test_model, recipe=recipe, blend=share, learning_rate=1e-3)
        made[share] = load_file(out / "model.safetensors")
    name = "encoder.layer.3.output.dense.weight"
    assert np.abs(made[1.0][name] - base[name]).max() > 1e-4
    np.testing.assert_allclose(
        made[0.25][name], 0.75 * base[name] + 0.25 * made[1.0][name], atol=1e-6
    )
    frozen = "embeddings.word_embeddings.weight"
    assert (made[1.0][frozen] == base[frozen]).all()
    assert made[1.0].keys() == base.keys()


@pytest.mark.soak
def test_mined_negatives_make_triplets_and_forgetting_is_measured(
    test_model: Path, tmp_path: Path, make_set: MakeSet
) -> None:
    report = train(
        rows(200),
        tmp_path / "model",
        base=test_model,
        recipe=replace(SHORT, steps=2),
        mine_negatives=1,
        keep_general=make_set("general"),
        blend=0.5,
    )
    assert report.settings["mine_negatives"] == 1
    assert report.general is not None
    assert (report.general.name, report.general.queries) == ("general", 4)
    assert not report.general.worse
    assert "general" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


def test_a_plan_by_the_minutes(test_model: Path, tmp_path: Path) -> None:
    """A dry run measures how long a step takes, and writes nothing."""
    recipe = replace(SHORT, steps=None, minutes=1000, epochs=2)
    report = train(rows(400), tmp_path / "model", base=test_model, recipe=recipe, dry_run=True)
    # However slow the machine: so long a time is enough for both passes.
    assert report.steps == 2 * report.pairs / 8
    assert not any("so few steps" in note for note in report.notes)
    assert (report.out, report.measured, report.better) == (None, None, False)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_sees_few_of_the_pairs_says_so(test_model: Path, tmp_path: Path) -> None:
    recipe = replace(SHORT, steps=9)
    report = train(rows(400), tmp_path / "model", base=test_model, recipe=recipe, dry_run=True)
    assert report.pairs == 360
    assert "so few steps see only 20% of the pairs: give more --minutes, or --steps" in report.notes


def test_what_is_refused_before_anything_is_read(test_model: Path, tmp_path: Path) -> None:
    def refused(match: str, **settings: Any) -> None:
        with pytest.raises(ConfigurationError, match=match):
            train(rows(200), tmp_path / "model", base=test_model, **settings)
        assert list(tmp_path.iterdir()) == []

    refused("there is no training to .* to resume", resume=True)
    refused("blend is 1.5, expected 'auto' or a share from 0 to 1", blend=1.5)
    refused("mine_negatives is -1", mine_negatives=-1)
    refused("steps is 0", steps=0)
    refused("unexpected keyword argument 'lr'", lr=1e-5)
    refused("cannot use the device 'cuda:99'", device="cuda:99", steps=1)
    (tmp_path / "model").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="exists already"):
        train(rows(200), tmp_path / "model", base=test_model)


def test_too_few_pairs_leave_nothing_behind(test_model: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="pairs to learn from: 1, where"):
        train(rows(1), tmp_path / "deep" / "model", base=test_model)
    assert list((tmp_path / "deep").iterdir()) == []
