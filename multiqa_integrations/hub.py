"""The model hub and its cache on disk: what is there, and how to fetch and verify it."""

from __future__ import annotations

import errno
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
from multiqa_integrations.model import ModelSpec, is_folder_name
from multiqa_integrations.reading import read_json

# huggingface_hub takes more than 0.1 s to import and a directory does not need it: every
# function below imports it itself.

WEIGHTS = "model.safetensors"
REQUIRED = ("config.json", "modules.json", "tokenizer.json", WEIGHTS)
OPTIONAL = (
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
_MODULE_CONFIG = re.compile(r"\d+_\w+/config\.json")  # of the modules in modules.json

# Mirrors are given as https://user:password@host, downloads are redirected to signed addresses.
_SECRETS = (
    (re.compile(r"//[^/\s'\"]*@"), "//"),
    (re.compile(r"(/[^\s?'\")]*)\?[^\s'\")]*"), r"\1?…"),
    (re.compile(r"\bhf_\w{16,}"), "hf_…"),
)

_WAYS_OUT = (
    "Run `multiqa download --to DIR` on a machine with access, copy DIR here, and pass it as the "
    'model (model="DIR", --model DIR); or point cache_folder or the environment variable HF_HOME '
    "at a hub cache that holds the model."
)


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


def missing_files(directory: Path) -> list[str]:
    """List the files that `directory` lacks to be a checkpoint."""
    needed = list(REQUIRED)
    try:
        pooling = read_json(directory / "modules.json")[1]["path"] or "1_Pooling"
        if is_folder_name(pooling):
            needed.append(f"{pooling}/config.json")
    except (OSError, ModelError, TypeError, LookupError):
        pass  # ModelSpec says what is wrong with a damaged modules.json
    return [path for path in needed if not (directory / path).is_file()]


def explain_missing(where: str, missing: list[str], *, pickled: bool) -> str:
    """Build the message for missing files; `pickled` if there are pickled weights."""
    message = f"{where} is not a complete checkpoint: {', '.join(missing)} missing."
    if WEIGHTS in missing and pickled:
        message += (
            " It has pickled weights (.bin) only, which can run code when loaded and are never "
            "loaded here: safetensors is needed. Convert it by loading it with "
            "sentence-transformers and saving it with save_pretrained(DIR)."
        )
    return message


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


def cache_directory(cache_folder: Path | None) -> Path:
    """Return the hub cache: the folder given, or where HF_HOME says."""
    from huggingface_hub import constants

    return cache_folder or Path(constants.HF_HUB_CACHE)


def cached_snapshot(repository: str, revision: str, cache_folder: Path | None) -> Path | None:
    """Find a revision in the hub cache, complete or not, without the network.

    Raises:
        ModelError: The cache cannot be read.
    """
    from huggingface_hub import try_to_load_from_cache

    cache = cache_directory(cache_folder)
    try:
        for path in REQUIRED:
            file = try_to_load_from_cache(repository, path, cache_dir=cache, revision=revision)
            if isinstance(file, str):
                return Path(file).parent
    except OSError as error:
        raise ModelError(f"the hub cache {cache} cannot be read: {error}.") from error
    return None


def cached_commits(repository: str, cache_folder: Path | None) -> list[str]:
    """List the commits of a repository that the hub cache has at least in part."""
    folder = _repository_folder(repository, cache_directory(cache_folder))
    try:
        return sorted(path.name for path in (folder / "snapshots").iterdir())
    except OSError:
        return []


def _repository_folder(repository: str, cache: Path) -> Path:
    return cache / f"models--{repository.replace('/', '--')}"


def not_found_error(
    repository: str, revision: str, reason: str, cache_folder: Path | None
) -> ModelNotFoundError:
    """Build the one error for a model that neither the cache nor the hub has."""
    cache = cache_directory(cache_folder)
    others = [c for c in cached_commits(repository, cache_folder) if c != revision]
    hint = f" The cache has it at other revisions, though: {', '.join(others)}." if others else ""
    return ModelNotFoundError(
        f"the model {repository!r} at revision {revision!r} is not available: {reason}. "
        f"The cache {cache} does not hold it completely.{hint}\n{_WAYS_OUT}"
    )


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
        reason = _reason(error, repository, revision)
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
                f"the hub at {_without_secrets(constants.ENDPOINT)} gives no digest of {path} in "
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
            if _is_disk_error(error):
                raise ModelError(
                    f"the hub cache {cache} cannot be written: {error}. The model takes about "
                    "100 MB; free the space, or give another folder with cache_folder."
                ) from error
            reason = f"fetching {file.path}: {_reason(error, listing.repository, listing.commit)}"
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
    reference = _repository_folder(listing.repository, cache) / "refs" / listing.revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(listing.commit, encoding="utf-8")


def _fetch_file(listing: Listing, file: HubFile, cache: Path) -> Path:
    from huggingface_hub import constants, hf_hub_download

    folder = _repository_folder(listing.repository, cache)
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


OFFLINE = "working offline was asked for (local_files_only=True or HF_HUB_OFFLINE=1)"


def _without_secrets(text: str) -> str:
    """Leave out what a URL may hold of secrets (user part, query), and tokens of the hub."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


def _reason(error: Exception, repository: str, revision: str) -> str:
    """Return why the hub gave no answer; no password, token or signed address is in it."""
    return _without_secrets(_explain(error, repository, revision))


def _explain(error: Exception, repository: str, revision: str) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    hub = f"the hub at {constants.ENDPOINT}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, OfflineModeIsEnabled):
        return OFFLINE
    if isinstance(error, GatedRepoError):
        return (
            f"{hub} refuses access (HTTP {status}): the repository is gated. Ask for access on "
            "its page and log in with `hf auth login`"
        )
    if status == 403:
        return f"{hub}, or a proxy before it, refuses access (HTTP 403)"
    if isinstance(error, RevisionNotFoundError):
        return f"{hub} has the repository, but no revision {revision!r}"
    if isinstance(error, RepositoryNotFoundError) and status != 401:
        return f"{hub} has no repository {repository!r}"
    if status == 401:
        return (
            f"{hub} answers HTTP 401: there is no such repository, or it is private or gated "
            "and you are not logged in (`hf auth login`)"
        )
    if status is not None:
        return f"{hub} answers HTTP {status}"
    cause = error.__cause__ or error  # the hub library wraps what the network said
    return f"{hub} could not be reached ({type(cause).__name__}: {cause})"


def _is_disk_error(error: Exception) -> bool:
    if "No space left" in str(error):  # hf_xet reports it as a RuntimeError
        return True
    if not isinstance(error, OSError) or isinstance(error, ConnectionError | TimeoutError):
        return False
    return error.errno in {
        errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS,
        errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOENT, errno.EIO, errno.ENAMETOOLONG,
    }  # fmt: skip
