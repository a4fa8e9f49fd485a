"""Where a model's files come from: a directory, the hub cache, or the hub at a pinned commit."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from multiqa_integrations import hub, hub_cache, hub_errors
from multiqa_integrations.digest import known_sha256
from multiqa_integrations.errors import ConfigurationError, ModelNotFoundError
from multiqa_integrations.model import MULTI_QA, ModelSpec
from multiqa_integrations.weights import open_weights

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint on disk.

    Attributes:
        directory: Where its files lie.
        spec: What its configuration files say.
    """

    directory: Path
    spec: ModelSpec

    @property
    def weights(self) -> Path:
        """The weights, `model.safetensors`."""
        return self.directory / hub_cache.WEIGHTS

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer, `tokenizer.json`."""
        return self.directory / "tokenizer.json"

    @property
    def fingerprint(self) -> str:
        """Names the vectors: those of equal fingerprints are comparable.

        It is that of the file which is there now: read (0.1 s for 90 MB, without the GIL) once
        per process, and again when the file has changed.
        """
        return self.spec.fingerprint(known_sha256(self.weights))


def resolve(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    cache_folder: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> Checkpoint:
    """Find a model's files: a directory, then the hub cache, then the hub.

    Only safetensors weights are ever used, never pickled ones. The hub is not asked if the
    cache holds the commit already; a branch or tag can move, so the hub is asked where it
    points to now.

    Args:
        model: A hub name, or a directory made by `multiqa download --to DIR` or by
            `SentenceTransformer.save_pretrained`. An existing directory goes first.
        revision: Commit, branch or tag of a hub repository. By default the pinned commit of
            `MULTI_QA`, and "main" for other names.
        cache_folder: The hub cache; by default the one that all of huggingface_hub uses
            (HF_HOME, HF_HUB_CACHE).
        local_files_only: Never use the network. HF_HUB_OFFLINE=1 does the same.

    Returns:
        The checkpoint; every needed file is there.

    Raises:
        ConfigurationError: `revision` is given with a directory, which has none.
        ModelContractError: It is a checkpoint of another kind.
        ModelError: The cache cannot be read or written; names the folder and the reason.
        ModelIntegrityError: A file is damaged.
        ModelNotFoundError: It is neither on disk nor to be had from the hub.

    Warns:
        UserWarning: The hub cannot tell where a branch or tag points to now, and the cache is
            used as it is.

    Examples:
        >>> checkpoint = resolve("models/multi-qa")  # doctest: +SKIP
        >>> checkpoint.spec.dimension, checkpoint.weights.name  # doctest: +SKIP
        (384, 'model.safetensors')
    """
    name, directory = parse_model(model)
    if directory is not None:
        if revision is not None:
            raise ConfigurationError(
                f"revision={revision!r} is given with the directory {directory}, which has no "
                "revisions. Leave it out, or give a hub name."
            )
        return _open(directory, name=str(directory), revision=None)

    hub.check_repository_name(name)
    requested = revision or default_revision(name)
    cache = None if cache_folder is None else Path(cache_folder).expanduser()
    snapshot = _from_hub(name, requested, cache, offline=local_files_only or hub.is_offline())
    return _open(snapshot, name=name, revision=snapshot.name)


def parse_model(model: str | os.PathLike[str]) -> tuple[str, Path | None]:
    """Find out whether a model is a directory or a hub name.

    Returns:
        The name as given, and the directory if it is one.

    Raises:
        ConfigurationError: It is neither a text nor a path, or empty.
        ModelNotFoundError: It can only be a directory, and there is none.
    """
    given: object = model  # callers without a type checker give anything
    name = os.fspath(given) if isinstance(given, str | os.PathLike) else None
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(f"model must be a hub name or a directory, got {model!r}.")
    try:
        directory = Path(name).expanduser()
        if directory.is_dir():
            return name, directory
        is_file = directory.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long; a NUL; no such user's home
        raise ModelNotFoundError(f"{name!r} is not a directory: {error}.") from error
    looks_like_path = name[0] in "./~" or "\\" in name or name.count("/") > 1
    if is_file or looks_like_path or not isinstance(model, str):
        what = "is a file" if is_file else "does not exist"
        raise ModelNotFoundError(
            f"the directory {name!r} {what}; a checkpoint's directory is needed (the current one "
            f"is {Path.cwd()}). Make one with `multiqa download --to {name}`, or give a hub "
            f"name such as {MULTI_QA.name!r}."
        )
    return name, None


def default_revision(name: str) -> str:
    """Return the revision that a hub name stands for where none is asked for."""
    pinned = MULTI_QA.revision if name == MULTI_QA.name else None
    return pinned or "main"


def _from_hub(name: str, revision: str, cache: Path | None, *, offline: bool) -> Path:
    snapshot = hub_cache.cached_snapshot(name, revision, cache)
    missing = hub_cache.missing_files(snapshot) if snapshot else []
    if offline:
        if snapshot is not None and not missing:
            return snapshot
        error = hub_errors.not_found_error(name, revision, hub_errors.OFFLINE, cache)
        if snapshot is None:
            raise error
        pickled = _pickled(snapshot)
        text = hub_errors.explain_missing(f"the snapshot {snapshot}", missing, pickled=pickled)
        raise ModelNotFoundError(f"{error}\n{text}")
    if snapshot is not None and not missing and _COMMIT.fullmatch(revision):
        return snapshot
    try:
        return hub.fetch(hub.list_files(name, revision, cache), cache)
    except ModelNotFoundError as error:
        if snapshot is None or missing:
            raise
        warnings.warn(
            f"{name!r} at {revision!r} is taken from the cache as it is, commit "
            f"{snapshot.name}: {str(error).splitlines()[0]}",
            UserWarning,
            stacklevel=3,
        )
        return snapshot


def _open(directory: Path, *, name: str, revision: str | None) -> Checkpoint:
    if missing := hub_cache.missing_files(directory):
        text = hub_errors.explain_missing(str(directory), missing, pickled=_pickled(directory))
        raise ModelNotFoundError(f"{text} Fetch it whole with `multiqa download --to DIR`.")
    spec = ModelSpec.from_directory(directory, name=name, revision=revision)
    checkpoint = Checkpoint(directory, spec)
    open_weights(checkpoint.weights)  # finds damage; closed again at once
    return checkpoint


def _pickled(directory: Path) -> bool:
    return any(directory.glob("*.bin"))
