"""The folder beside the output, and who may have it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from multiqa_integrations.errors import ConfigurationError, TrainingError
from multiqa_integrations.training.workplace import Workplace, is_resumable


def begun(out: Path) -> Path:
    """Leave a run that can be resumed; returns its folder."""
    with Workplace(out, resume=False) as workplace:
        workplace.keep_plan({"asked": {"steps": 9}, "plan": {}})
        return workplace.folder


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks of files there")
def test_two_at_once(tmp_path: Path) -> None:
    with Workplace(tmp_path / "model", resume=False):
        other = Workplace(tmp_path / "model", resume=False)
        with pytest.raises(TrainingError, match="another process is training to"), other:
            pass
    assert list(tmp_path.iterdir()) == []


def test_an_empty_directory_is_as_good_as_none(tmp_path: Path) -> None:
    out = tmp_path / "model"
    out.mkdir()
    with Workplace(out, resume=False) as workplace:
        made = workplace.results / "1"
        made.mkdir()
        (made / "config.json").write_text("{}", encoding="utf-8")
        workplace.publish(made)
    assert [path.name for path in out.iterdir()] == ["config.json"]
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_an_output_that_exists(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "model"
    if kind == "file":
        out.write_text("", encoding="utf-8")
    elif kind == "folder":
        (out / "inner").mkdir(parents=True)
    else:
        out.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="exists already. Name another directory"):
        Workplace(out, resume=False)


def test_what_a_kill_at_the_very_end_has_left_is_named(tmp_path: Path) -> None:
    folder = begun(tmp_path / "model")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}", encoding="utf-8")
    for resume in (False, True):
        with pytest.raises(ConfigurationError, match="exists already") as raised:
            Workplace(tmp_path / "model", resume=resume)
        assert f"{str(folder)!r} is left" in str(raised.value)


def test_an_output_that_is_a_mount_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a container: it is empty, and nothing can be moved to its place."""
    (tmp_path / "model").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda _: True)
    with pytest.raises(ConfigurationError, match=r"is mounted.*Name a directory in it"):
        Workplace(tmp_path / "model", resume=False)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"asked": 1}'])
def test_a_plan_that_is_damaged(content: str, tmp_path: Path) -> None:
    folder = begun(tmp_path / "model")
    (folder / "run.json").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="to begin anew"):
        Workplace(tmp_path / "model", resume=True)


def test_what_differs_is_told(tmp_path: Path) -> None:
    begun(tmp_path / "model")
    workplace = Workplace(tmp_path / "model", resume=True)
    workplace.check_same({"steps": 9})
    with pytest.raises(ConfigurationError, match="steps was 9 and is 8; seed was null and is 1"):
        workplace.check_same({"steps": 8, "seed": 1})


def test_the_last_checkpoint_that_is_complete(tmp_path: Path) -> None:
    folder = begun(tmp_path / "model") / "checkpoints"
    for step, state in ((9, "{}"), (10, "{}"), (11, '{"global_st'), (12, None)):
        (folder / f"checkpoint-{step}").mkdir(parents=True)
        if state is not None:
            file = folder / f"checkpoint-{step}" / "trainer_state.json"
            file.write_text(state, encoding="utf-8")
    with Workplace(tmp_path / "model", resume=True) as workplace:
        assert workplace.last_checkpoint() == folder / "checkpoint-10"
        assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-10", "checkpoint-9"]


def test_no_text_stays_longer_than_needed(tmp_path: Path) -> None:
    with Workplace(tmp_path / "model", resume=False) as workplace:
        workplace.sets.mkdir()
        (workplace.sets / "corpus.jsonl").write_text(json.dumps("text"), encoding="utf-8")
        workplace.keep_plan({"asked": {}, "plan": {}})
    assert not workplace.sets.exists()
    assert workplace.folder.stat().st_mode & 0o077 == 0
    shutil.rmtree(workplace.folder)


def test_an_interrupt_does_not_keep_the_folder_from_being_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def interrupted(*_: object, **__: object) -> None:
        monkeypatch.setattr(shutil, "rmtree", remove)
        raise KeyboardInterrupt

    with Workplace(tmp_path / "model", resume=False) as workplace:
        workplace.keep_plan({"asked": {}, "plan": {}})
        assert is_resumable(tmp_path / "model")
        made = workplace.results / "1"
        made.mkdir()
        monkeypatch.setattr(shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            workplace.publish(made)
    assert not is_resumable(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "checkpoints").mkdir(parents=True)
    (tmp_path / ".model.training").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(ConfigurationError, match="is a link"),
        Workplace(tmp_path / "model", resume=False),
    ):
        pass
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["checkpoints"]


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such owner there")
def test_a_folder_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = begun(tmp_path / "model")
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    for resume in (False, True):  # what to do comes first, whatever lies there
        with pytest.raises(ConfigurationError, match="belongs to another user.*Name another"):
            Workplace(tmp_path / "model", resume=resume)
    assert (folder / "run.json").is_file()
