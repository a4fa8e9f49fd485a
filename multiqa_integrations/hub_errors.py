"""Why a model cannot be had: what the hub said, and what to do about it."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from multiqa_integrations.errors import ModelNotFoundError
from multiqa_integrations.hub_cache import WEIGHTS, cache_directory, cached_commits

OFFLINE = "working offline was asked for (local_files_only=True or HF_HUB_OFFLINE=1)"

_WAYS_OUT = (
    "Run `multiqa download --to DIR` on a machine with access, copy DIR here, and pass it as the "
    'model (model="DIR", --model DIR); or point cache_folder or the environment variable HF_HOME '
    "at a hub cache that holds the model."
)

# Mirrors are given as https://user:password@host, downloads are redirected to signed addresses.
_SECRETS = (
    (re.compile(r"//[^/\s'\"]*@"), "//"),
    (re.compile(r"(/[^\s?'\")]*)\?[^\s'\")]*"), r"\1?…"),
    (re.compile(r"\bhf_\w{16,}"), "hf_…"),
)


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


def without_secrets(text: str) -> str:
    """Leave out what a URL may hold of secrets (user part, query), and tokens of the hub."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


def explain(error: Exception, repository: str, revision: str) -> str:
    """Return why the hub gave no answer; no password, token or signed address is in it."""
    return without_secrets(_words(error, repository, revision))


def _words(error: Exception, repository: str, revision: str) -> str:
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


def is_disk_error(error: Exception) -> bool:
    """Check whether it was the disk that failed, and not the network."""
    if "No space left" in str(error):  # hf_xet reports it as a RuntimeError
        return True
    if not isinstance(error, OSError) or isinstance(error, ConnectionError | TimeoutError):
        return False
    return error.errno in {
        errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS,
        errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOENT, errno.EIO, errno.ENAMETOOLONG,
    }  # fmt: skip
