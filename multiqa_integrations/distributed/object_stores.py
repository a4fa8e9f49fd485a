"""What an error of an object store means: may it pass, must a person act, or neither?

pyarrow raises next to nothing but OSError; what has happened is in its words. They are those of the
SDKs of AWS, Google and Azure, which have repeated the request already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from multiqa_integrations.errors import SourceError, SourcePermissionError, SourceUnavailableError

_REFUSED = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY_ID|INVALID_CLIENT_TOKEN_ID|SIGNATURE_DOES_NOT_MATCH"
    r"|MISSING_AUTHENTICATION_TOKEN|UNRECOGNIZED_CLIENT|REQUEST_TIME_TOO_SKEWED|REQUEST_EXPIRED"
    r"|Expired_?Token|InvalidToken|HTTP status 40[13]"
    r"|Status\((?:PERMISSION_DENIED|UNAUTHENTICATED)|Could not create a OAuth2 access token"
    r"|AuthenticationException|Azure Error: \[\w*(?:Authentication|Authorization|Permission)\w*\]",
    re.I,
)
_AWAY = re.compile(
    r"NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|REQUEST_TIMEOUT"
    r"|THROTTLING|TooManyRequests|HTTP status (?:408|429|5\d\d)"
    r"|Status\((?:UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|ABORTED|INTERNAL)"
    r"|Azure Error: \[(?:ServerBusy|OperationTimedOut|InternalError)?\]",
    re.I,
)
_MISSING = re.compile(
    r"NO_SUCH_BUCKET|NO_SUCH_KEY|No such file|Status\(NOT_FOUND|ContainerNotFound", re.I
)
# The SDK of Google says everything twice; an id of a request helps nobody here.
_NOISE = re.compile(
    r"google::cloud::Status\(| error_info=\{.*"
    r"|(?:Retry policy exhausted|Permanent error), with a last message of | \(Request ID: [^)]*\)",
    re.S,
)
_CREDENTIALS = {
    "s3": " (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role)",
    "gs": " (GOOGLE_APPLICATION_CREDENTIALS, or a service account)",
    "gcs": " (GOOGLE_APPLICATION_CREDENTIALS, or a service account)",
}
_MOST_CHARACTERS = 400


def is_missing(error: BaseException) -> bool:
    """Return whether it says that there is no such object or bucket."""
    return isinstance(error, FileNotFoundError) or _MISSING.search(str(error)) is not None


def access_error(name: str, error: BaseException | None) -> SourceError | None:
    """Return what is to be raised where a store is away or refuses; None where it is neither.

    Args:
        name: Of the object, as messages show it.
        error: What pyarrow has raised.
    """
    if not isinstance(error, OSError):
        return None
    if isinstance(error, PermissionError) or _REFUSED.search(str(error)):
        which = _CREDENTIALS.get(name.partition("://")[0], "")
        return SourcePermissionError(
            f"access to {name!r} was refused ({reason(error)}). Give every node credentials"
            f"{which} that may list and read it.",
            source=name,
        )
    if isinstance(error, ConnectionError | TimeoutError) or _AWAY.search(str(error)):
        return SourceUnavailableError(
            f"the store of {name!r} cannot be reached ({reason(error)}). Run again later; if it "
            "stays so, look at its address (endpoint_override in the URI; AWS_ENDPOINT_URL).",
            source=name,
        )
    return None


def reason(error: BaseException, *, hidden: Sequence[str] = (), shown: str = "") -> str:
    """Return what an SDK says, in one line, without what it says twice.

    Args:
        error: What it has raised.
        hidden: What may have secrets, longer ones first.
        shown: What stands in their place.
    """
    text = str(error)
    for secret in hidden:  # before it is cut short, which may leave a part of them
        text = text.replace(secret, shown)
    return " ".join(_NOISE.sub("", text).split()).rstrip(".:")[:_MOST_CHARACTERS]
