"""Fetch a model ahead of time, verified: into the hub cache, or as a directory to carry away."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from multiqa_integrations import hub, hub_cache
from multiqa_integrations.arguments import check_path
from multiqa_integrations.checkpoint import default_revision, parse_model
from multiqa_integrations.digest import sha256
from multiqa_integrations.errors import ConfigurationError, ModelError, ModelIntegrityError
from multiqa_integrations.model import MULTI_QA
from multiqa_integrations.reading import SETTINGS_LIMIT, open_file, read_json
from multiqa_integrations.weights import open_weights

logger = logging.getLogger(__name__)

SUMS = "SHA256SUMS"
SOURCE = "multiqa_source.json"
"""Names the repository and commit that a downloaded directory is; information only."""

_SUMS_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def download(
    model: str = MULTI_QA.name,
    *,
    revision: str | None = None,
    to: str | os.PathLike[str] | None = None,
    cache_folder: str | os.PathLike[str] | None = None,
    show_progress: bool = True,
) -> Path:
    """Fetch a model from the hub and verify every file by the digest that the hub gives.

    Args:
        model: A hub name.
        revision: Commit, branch or tag; by default the pinned commit of `MULTI_QA`, and "main"
            for other names.
        to: Write the files into this new directory, which then works on a machine without
            network. It appears whole or not at all, and holds a `SHA256SUMS` for
            `sha256sum -c`. A directory that holds this commit, complete and verified, is left
            as it is.
        cache_folder: The hub cache to write into, or, with `to`, to look for the files in first.
        show_progress: Show progress bars.

    Returns:
        The directory: `to`, or the snapshot in the hub cache.

    Raises:
        ConfigurationError: `model` is a directory, or `to` is not empty and no verified copy.
        ModelContractError: It is a checkpoint of another kind.
        ModelError: A folder cannot be written; names the folder and the reason.
        ModelIntegrityError: A file is not what the hub promises.
        ModelNotFoundError: It cannot be had from the hub.

    Examples:
        >>> download(to="models/multi-qa")  # doctest: +SKIP
        PosixPath('/srv/models/multi-qa')
    """
    name, directory = parse_model(model)
    if directory is not None:
        raise ConfigurationError(
            f"{name!r} is a directory here; what can be downloaded is a hub name such as "
            f"{MULTI_QA.name!r}."
        )
    hub.check_repository_name(name)
    requested = revision or default_revision(name)
    cache = None if cache_folder is None else check_path("cache_folder", cache_folder).expanduser()
    target = None if to is None else check_path("to", to).expanduser().resolve()
    if target is not None and _holds(target, name, requested):
        return target
    listing = hub.list_files(name, requested, cache)
    if target is not None and _holds(target, name, listing.commit, refuse=True):
        return target
    with _progress_bars(show_progress):
        if target is None:
            snapshot = hub.fetch(listing, cache)
            open_weights(snapshot / hub_cache.WEIGHTS)  # finds damage
            return snapshot
        try:
            _write_directory(target, listing, cache)
        except OSError as error:
            raise ModelError(f"the directory {target} cannot be written: {error}.") from error
    return target


def verify(directory: str | os.PathLike[str]) -> list[str]:
    """Check a directory against its `SHA256SUMS`.

    Args:
        directory: A directory made by `download(to=...)`, or any with such a file.

    Returns:
        What is wrong, one line per file; nothing if all is well or there is no `SHA256SUMS`.

    Raises:
        ModelError: The directory cannot be read.

    Examples:
        >>> verify("models/multi-qa")  # doctest: +SKIP
        []
    """
    folder = check_path("directory", directory).expanduser()
    try:
        with open_file(folder / SUMS, limit=SETTINGS_LIMIT) as stream:
            text = stream.read(SETTINGS_LIMIT).decode("utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / SUMS} cannot be read: {error}.") from error
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _SUMS_LINE.fullmatch(line)
        if match is None:
            problems.append(f"{SUMS}, line {number}: not a digest and a file name")
            continue
        digest, path = match.groups()
        try:
            if not (folder / path).is_file():  # a pipe or a device may have no end
                problems.append(f"{path}: missing, or not a regular file")
            elif sha256(folder / path) != digest:
                problems.append(f"{path}: has changed, its digest is not the one in {SUMS}")
        except (OSError, ValueError) as error:
            problems.append(f"{path}: cannot be read ({error})")
    return problems


def _holds(target: Path, name: str, commit: str, *, refuse: bool = False) -> bool:
    """Check whether `target` is this commit already; refuse to write over anything else."""
    if not target.exists():
        return False
    if not target.is_dir():
        raise ConfigurationError(f"{target} is a file; a new directory is needed.")
    try:
        if not any(target.iterdir()):
            return False
        source = read_json(target / SOURCE)
        problems = verify(target) if (target / SUMS).is_file() else [f"{SUMS}: missing"]
        problems += [f"{path}: missing" for path in hub_cache.missing_files(target)]
        found = f"{source['model']} at commit {source['revision']}"
    except (OSError, ModelIntegrityError, LookupError, TypeError):
        problems, found = [], "something else"
    if found == f"{name} at commit {commit}" and not problems:
        logger.info("%s holds %s already, complete and verified", target, found)
        return True
    if refuse or found == "something else" or problems:
        damage = f", damaged ({'; '.join(problems)})" if problems else ""
        raise ConfigurationError(
            f"{target} is not empty: it holds {found}{damage}, and nothing is written over. "
            f"Remove it or choose another directory for {name} at {commit}."
        )
    return False  # perhaps the branch asked for is the commit there; the hub knows


def _write_directory(target: Path, listing: hub.Listing, cache: Path | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that it can be renamed into place.
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    try:
        snapshot = hub_cache.cached_snapshot(listing.repository, listing.commit, cache)
        if snapshot is None or not _has(snapshot, listing):
            snapshot = hub.fetch(listing, work / "cache")
        new = work / "model"
        sums = {}
        for file in listing.files:
            path = new / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            source = (snapshot / file.path).resolve()
            if work in source.parents:
                source.replace(path)  # no second 90 MB
            else:
                shutil.copyfile(source, path)
            if not file.matches(path):
                raise ModelIntegrityError(
                    f"{path} was written damaged: check the disk and try again."
                )
            sums[file.path] = sha256(path)
        open_weights(new / hub_cache.WEIGHTS)  # finds damage
        source_file = new / SOURCE
        about = {"model": listing.repository, "revision": listing.commit}
        source_file.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        sums[SOURCE] = sha256(source_file)
        lines = [f"{digest}  {path}\n" for path, digest in sorted(sums.items())]
        (new / SUMS).write_text("".join(lines), encoding="utf-8", newline="\n")
        _flush(new)
        if target.exists():
            target.rmdir()  # empty, see _holds(); Windows does not rename over it
        new.rename(target)
        _flush_folder(target.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _has(snapshot: Path, listing: hub.Listing) -> bool:
    return all(
        (snapshot / file.path).is_file() and file.matches(snapshot / file.path)
        for file in listing.files
    )


def _flush(folder: Path) -> None:
    """Bring everything below `folder` to the disk, so that a power cut cannot halve it."""
    for path in folder.rglob("*"):
        if path.is_dir():
            _flush_folder(path)
        else:
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _progress_bars(show: bool) -> Iterator[None]:
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, see its docs
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if show or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
