"""Files that may hold documents are their owner's alone, and keep what their owner made of them."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from multiqa_integrations.private_files import private, replacing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes are different there")


@pytest.fixture(params=[0o000, 0o022], autouse=True)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    with open(tmp_path / "opened", "w", opener=private) as opened:
        opened.write("x")
    with replacing(tmp_path / "replaced") as replaced:
        replaced.write(b"x")
        (partial,) = tmp_path.glob(".replaced.*")
        assert mode(partial) == 0o600
    assert {file.name: mode(file) for file in tmp_path.iterdir()} == {
        "opened": 0o600,
        "replaced": 0o600,
    }


def test_one_that_exists_keeps_its_mode_and_a_link_stays_one(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.touch()
    file.chmod(0o644)
    link.symlink_to("file")
    with replacing(link) as replaced:
        replaced.write(b"new")
    assert link.is_symlink()
    assert (file.read_bytes(), mode(file)) == (b"new", 0o644)


def test_a_file_that_cannot_be_finished_is_what_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")

    def interrupted() -> None:
        with replacing(file) as replaced:
            replaced.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_no_group_gets_rights_that_another_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a member of a team who may write the file, but whose own group is another."""

    def refuse(file: int, user: int, group: int) -> None:
        raise PermissionError

    file = tmp_path / "file"
    file.touch()
    file.chmod(0o664)
    monkeypatch.setattr(os, "fchown", refuse)
    with replacing(file):
        pass
    assert mode(file) == 0o604
