"""The model hub: what it has, and how to fetch and verify it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from multiqa_integrations.deadline import bounded, bytes_in
from multiqa_integrations.digest import git_blob_id, sha256
from multiqa_integrations.errors import (
    ModelError,
    ModelIntegrityError,
    ModelNotFoundError,
)
from multiqa_integrations.hub_cache import (
    OPTIONAL,
    REQUIRED,
    WEIGHTS,
    cache_directory,
    repository_folder,
)
from multiqa_integrations.hub_errors import (
    OFFLINE,
    explain,
    explain_missing,
    is_disk_error,
    not_found_error,
    without_secrets,
)
from multiqa_integrations.model import ModelSpec

# huggingface_hub takes more than 0.1 s to import and a directory does not need it: every
# function below imports it itself.

_MODULE_CONFIG = re.compile(r"\d+_\w+/config\.json")  # of the modules in modules.json


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a hub repository and the digest that its bytes must have.

    Attributes:
        path: Path inside the repository, with forward slashes.
        sha256: Digest of a large file.
        blob_id: Git's SHA-1 of a small file.
    """

    path: str
    sha256: str | None
    blob_id: str | None

    def matches(self, file: Path) -> bool:
        """Check whether `file` has the promised bytes."""
        if self.sha256:
            return sha256(file) == self.sha256
        return git_blob_id(file) == self.blob_id


@dataclass(frozen=True, slots=True)
class Listing:
    """What a hub repository holds at one commit, confined to the files needed here.

    Attributes:
        repository: Hub name.
        revision: Commit, branch or tag that was asked for.
        commit: The commit that it is, 40 hex digits.
        files: The needed files, the weights last.
    """

    repository: str
    revision: str
    commit: str
    files: tuple[HubFile, ...]


def is_offline() -> bool:
    """Check whether the user forbade the network with HF_HUB_OFFLINE=1."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def check_repository_name(name: str) -> None:
    """Refuse what cannot be a hub name, before the hub is asked for it.

    Raises:
        ModelNotFoundError: It is neither that nor a directory.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ModelNotFoundError(
            f"{name!r} is neither an existing directory nor a valid hub name: {error}"
        ) from error


def list_files(repository: str, revision: str, cache_folder: Path | None) -> Listing:
    """Ask the hub which commit `revision` is, and for the digests of the files needed.

    Raises:
        ModelNotFoundError: The hub cannot be reached, or does not have it, or the repository
            lacks a needed file.
    """
    from huggingface_hub import HfApi, constants

    if is_offline():
        raise not_found_error(repository, revision, OFFLINE, cache_folder)
    # A user on a slow line raises this limit by HF_HUB_ETAG_TIMEOUT.
    seconds = float(constants.HF_HUB_ETAG_TIMEOUT)
    ask = partial(
        HfApi().model_info, repository, revision=revision, files_metadata=True, timeout=seconds
    )
    try:
        # The client's timeout counts for each address of the host, and not for the name look-up.
        info = bounded(ask, seconds=seconds)
    # The client library, and with it its errors, differs between releases of huggingface_hub.
    except Exception as error:
        reason = explain(error, repository, revision)
        raise not_found_error(repository, revision, reason, cache_folder) from error

    found = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    pickled = any(name.endswith(".bin") for name in found)
    if missing := [path for path in REQUIRED if path not in found]:
        where = f"the hub repository {repository!r} at revision {revision!r}"
        raise ModelNotFoundError(explain_missing(where, missing, pickled=pickled))
    paths = [p for p in found if p in REQUIRED + OPTIONAL or _MODULE_CONFIG.fullmatch(p)]
    # An interrupted fetch must not look complete: settings may be absent, weights may not.
    paths.sort(key=lambda path: (path == WEIGHTS, path))
    files = []
    for path in paths:
        lfs = found[path].lfs
        file = HubFile(path, lfs.sha256 if lfs else None, found[path].blob_id)
        if not (file.sha256 or file.blob_id):
            raise ModelIntegrityError(
                f"the hub at {without_secrets(constants.ENDPOINT)} gives no digest of {path} in "
                f"{repository!r}: "
                "it cannot be verified. Use a mirror that passes them on, or the hub itself."
            )
        files.append(file)
    return Listing(repository, revision, str(info.sha), tuple(files))


def fetch(listing: Listing, cache_folder: Path | None) -> Path:
    """Bring a repository's files into the hub cache and verify every digest.

    What the cache holds already is verified too, and fetched again if it is damaged.

    Returns:
        The snapshot's folder in the cache.

    Raises:
        ModelContractError: It is a checkpoint of another kind; found out before the weights
            are fetched.
        ModelError: The cache cannot be written; names the folder and the reason.
        ModelIntegrityError: A file is not what the hub promises, twice.
        ModelNotFoundError: The hub does not answer any more.
    """
    cache = cache_directory(cache_folder)
    snapshot = cache  # until the first file tells
    for file in listing.files:
        try:
            if file.path == WEIGHTS:
                ModelSpec.from_directory(snapshot, name=listing.repository)
            path = _fetch_file(listing, file, cache)
            if file.path == WEIGHTS:
                _keep_reference(listing, cache)
        except ModelError:
            raise
        except Exception as error:
            if is_disk_error(error):
                raise ModelError(
                    f"the hub cache {cache} cannot be written: {error}. The model takes about "
                    "100 MB; free the space, or give another folder with cache_folder."
                ) from error
            reason = f"fetching {file.path}: {explain(error, listing.repository, listing.commit)}"
            raise not_found_error(
                listing.repository, listing.commit, reason, cache_folder
            ) from error
        if "/" not in file.path:
            snapshot = path.parent
    return snapshot


def _keep_reference(listing: Listing, cache: Path) -> None:
    """Write down where a branch points to, for later offline; the layout is the hub library's.

    Done last: a branch that moved points to its old, complete snapshot until then.
    """
    if listing.revision == listing.commit:
        return
    reference = repository_folder(listing.repository, cache) / "refs" / listing.revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(listing.commit, encoding="utf-8")


def _fetch_file(listing: Listing, file: HubFile, cache: Path) -> Path:
    from huggingface_hub import constants, hf_hub_download

    folder = repository_folder(listing.repository, cache)
    # The hub library repeats a failing request for minutes. Its single one takes up to 10 s.
    limit = 2.0 * constants.HF_HUB_DOWNLOAD_TIMEOUT
    get = partial(
        hf_hub_download,
        listing.repository,
        file.path,
        revision=listing.commit,
        cache_dir=cache,
    )
    received = partial(bytes_in, folder / "blobs")
    path = Path(bounded(get, seconds=limit, progress=received))
    if file.matches(path):
        return path
    again = partial(get, force_download=True)
    path = Path(bounded(again, seconds=limit, progress=received))
    if file.matches(path):
        return path
    # Left there, it would be found in the cache and trusted the next time.
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    raise ModelIntegrityError(
        f"{file.path} of {listing.repository!r} arrived damaged twice: its digest is not the one "
        "that the hub gives. Nothing of it was kept; look for a proxy that alters files, then "
        "try again."
    )
