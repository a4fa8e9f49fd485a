"""The embedded store where the disk is full, read-only, damaged, or oddly named."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multiqa_integrations.errors import (
    ConfigurationError,
    PerformanceWarning,
    StoreError,
)
from multiqa_integrations.qdrant import (
    Collection,
    CollectionSchema,
    EdgeStore,
    Point,
    PointQuery,
    Uploader,
)
from multiqa_integrations.qdrant import upload as upload_module
from multiqa_integrations.qdrant.edge import files
from multiqa_integrations.testing import FakeEncoder

SCHEMA = CollectionSchema(fingerprint="f")
VECTOR = np.eye(384, dtype=np.float32)[0]


def points(count: int) -> list[Point]:
    vectors = np.random.default_rng(0).standard_normal((count, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [Point(n, {"": vector}, {"n": n}) for n, vector in enumerate(vectors)]


# --- a full disk --------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if not hasattr(os, "getuid") or os.getuid() or not shutil.which("mount"):
        pytest.skip("only the superuser may mount a small disk")
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this system does not let us mount a small disk")
    yield folder
    subprocess.run([shutil.which("umount") or "umount", str(folder)], check=True)


def test_a_disk_that_fills_up_is_an_error_while_there_is_room(small_disk: Path) -> None:
    """The engine's files are mapped: without room, the system ends the process by a signal."""
    script = """
        import sys
        from multiqa_integrations.errors import StoreError
        from multiqa_integrations.qdrant import Collection
        from multiqa_integrations.testing import FakeEncoder
        added = 0
        with Collection.open("docs", path=sys.argv[1], encoder=FakeEncoder()) as docs:
            try:
                for turn in range(100):
                    docs.add([f"{turn} {n} " + "word " * 100 for n in range(200)])
                    added += 200
            except StoreError as error:
                print("MB left" in str(error))
            print(docs.count() >= added > 0)
        with Collection.open("docs", path=sys.argv[1], encoder=FakeEncoder()) as docs:
            print(docs.count() >= added, len(docs.search("word", limit=3)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(small_disk)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True", "True", "3"]


def test_what_needs_more_room_than_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EdgeStore(tmp_path) as store:
        store.ensure("docs", SCHEMA)
        store.upsert("docs", points(10))
        monkeypatch.setattr(files, "free_bytes", lambda path: 1_000_000)
        for action in (
            lambda: store.upsert("docs", points(20)),
            lambda: store.ensure("more", SCHEMA),
            lambda: store.optimize("docs"),
        ):
            with pytest.raises(StoreError, match=r"has 1 MB left, .* are needed. Make room"):
                action()
        assert store.count("docs") == 10
        assert len(store.query("docs", PointQuery(vector=VECTOR))) == 10


def test_an_upload_does_not_fail_because_optimising_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(upload_module, "OPTIMIZE_AT", 2_500)
    with EdgeStore(tmp_path) as store:
        store.ensure("docs", SCHEMA)
        monkeypatch.setattr(shutil, "copytree", full)
        with (
            pytest.warns(PerformanceWarning, match="not optimised, which is tried again later"),
            Uploader(store, "docs") as uploader,
        ):
            uploader.add(points(3_000))
        assert store.count("docs") == 3_000
        with pytest.raises(StoreError, match="it is as it was"):
            store.optimize("docs")
        monkeypatch.undo()
        store.optimize("docs")
        assert store.count("docs") == 3_000
    assert len(list((tmp_path / "docs").glob("shard-*"))) == 1


# --- optimising ---------------------------------------------------------------------------------


def test_optimising_runs_no_code_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("json", "contextlib", "pathlib", "numpy", "qdrant_edge", "sitecustomize"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'was run')!r}, 'w')\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    with EdgeStore(tmp_path / "db") as store:
        store.ensure("docs", SCHEMA)
        store.upsert("docs", points(3_000))
        store.optimize("docs")
        info = store.info("docs")
        assert info is not None
        assert info.indexed_vectors == 3_000
    assert not (tmp_path / "was run").exists()


def test_an_exit_status_is_no_proof_of_optimising(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EdgeStore(tmp_path) as store:
        store.ensure("docs", SCHEMA)
        store.upsert("docs", points(3_000))
        monkeypatch.setattr(sys, "executable", shutil.which("true") or "/bin/true")
        with pytest.raises(StoreError, match="it is as it was: the process ended with status 0"):
            store.optimize("docs")
        assert store.count("docs") == 3_000


# --- rights, names and damage -------------------------------------------------------------------


def test_files_that_may_not_be_written(tmp_path: Path) -> None:
    """As a user without rights would see them: the superuser may write everywhere."""
    script = """
        import ctypes, sys
        header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        ctypes.CDLL(None).capget(header, sets)
        sets[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).capset(header, sets)
        from multiqa_integrations.errors import StoreError
        from multiqa_integrations.qdrant import EdgeStore
        try:
            EdgeStore(sys.argv[1]).count("docs")
        except StoreError as error:
            print(error)
    """
    if sys.platform != "linux":
        pytest.skip("capabilities are Linux's")
    with EdgeStore(tmp_path) as store:
        store.ensure("docs", SCHEMA)
    everything = [tmp_path, *tmp_path.rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    for path in everything:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert "is not writable for this user" in done.stdout, done.stderr


@pytest.mark.parametrize("path", ["a\0b", "a\ud800b"], ids=["NUL", "surrogate"])
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used as a directory"):
        EdgeStore(path)
    with pytest.raises(ConfigurationError, match="cannot be used as a directory"):
        Collection.open("docs", path=path, encoder=FakeEncoder())


def test_aliases_as_long_as_a_file_name_may_be(tmp_path: Path) -> None:
    with EdgeStore(tmp_path) as store:
        store.ensure("docs", SCHEMA)
        for length in (240, 250, 255):
            alias = "a" * length
            assert store.swap(alias, "docs") is None
            assert store.count(alias) == 0
        with pytest.raises(ConfigurationError, match="1 to 255 bytes"):
            store.swap("a" * 256, "docs")
        assert len(store.aliases()) == 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a collection that was closed."""
    path = tmp_path_factory.mktemp("whole")
    with EdgeStore(path) as store:
        store.ensure("docs", SCHEMA)
        store.upsert("docs", points(30))
        store.optimize("docs")
        store.upsert("docs", points(3))
        assert len(store.query("docs", PointQuery(vector=VECTOR, limit=99))) == 30
    return path


def error_of(path: Path) -> str:
    """Open and search the collection; return what is said if that is refused."""
    try:
        with EdgeStore(path) as store:
            found = store.query("docs", PointQuery(vector=VECTOR, limit=99))
    except StoreError as error:
        return str(error)
    assert len(found) == 30, "points are gone without a word"
    return ""


@pytest.mark.parametrize("damage", ["missing", "empty", "cut off"])
def test_damage_to_each_of_its_files_is_said(whole: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    notes = {"open.json", "open.lock"}  # of who has it open, and for checking the others
    names = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file()]
    for name in [name for name in names if name.name not in notes]:
        file = tmp_path / name
        if damage == "missing":
            file.unlink()
        else:
            os.truncate(file, file.stat().st_size // 2 if damage == "cut off" else 0)
        said = error_of(tmp_path)
        assert str(file) in said
        assert re.search("[Rr]estore .* from a backup", said)
        assert damage != "missing" or f"{file} is missing" in said
        shutil.copy(whole / name, file)
    assert error_of(tmp_path) == ""


def test_damage_is_opened_where_the_list_of_files_was_deleted(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (file,) = tmp_path.glob("docs/shard-*/edge_config.json")
    file.unlink()
    (note,) = re.findall("delete (.*)[.]", error_of(tmp_path))
    Path(note).unlink()
    assert error_of(tmp_path) == ""
    assert error_of(tmp_path) == ""


def test_what_a_killed_process_changed_is_no_damage(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    script = """
        import os, sys
        import numpy as np
        from multiqa_integrations.qdrant import EdgeStore, Point
        store = EdgeStore(sys.argv[1])
        store.upsert("docs", [Point(n, {"": np.eye(384)[n]}, {}) for n in range(50, 60)])
        store.optimize("docs")
        os._exit(0)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    subprocess.run(command, check=True, timeout=60)
    with EdgeStore(tmp_path) as store:
        assert store.count("docs") == 40


def test_a_collection_without_its_description_is_not_made_anew(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / "docs" / "collection.json").unlink()
    with EdgeStore(tmp_path) as store:
        for action in (
            lambda: store.ensure("docs", SCHEMA),
            lambda: store.info("docs"),
            lambda: store.count("docs"),
            lambda: store.drop("docs"),
        ):
            with pytest.raises(StoreError, match=r"collection.json is missing.*from a backup"):
                action()
