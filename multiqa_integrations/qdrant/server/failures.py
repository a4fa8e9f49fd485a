"""Turn what the clients raise into errors of this package."""

from __future__ import annotations

import json
import re
import time
from email.utils import parsedate_to_datetime

import grpc
import httpx
from google.protobuf.message import DecodeError
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from multiqa_integrations.errors import (
    CollectionNotFoundError,
    ConfigurationError,
    MultiQAError,
    StoreClosedError,
    StoreError,
    StoreLimitError,
    StorePermissionError,
    StoreUnavailableError,
)
from multiqa_integrations.qdrant.failures import (
    AlreadyExistsError,
    BadRequestError,
    CollectionBrokenError,
    DiskFullError,
    RateLimitedError,
    TooLargeError,
)
from multiqa_integrations.qdrant.server.answers import (
    CLOSED_WORDS,
    LOOP_WORDS,
    Answer,
    Meaning,
    meaning,
)

_DEEP = "Something is nested too deeply for gRPC: use REST"

# gRPC's codes, as the HTTP status that means the same.
STATUS_OF_CODE = {
    grpc.StatusCode.ABORTED: 503,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.CANCELLED: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.DEADLINE_EXCEEDED: 408,
    grpc.StatusCode.FAILED_PRECONDITION: 500,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNKNOWN: 500,
}

CLIENT_ERRORS = (
    UnexpectedResponse,
    ResponseHandlingException,
    QdrantException,
    grpc.RpcError,
    grpc.aio.UsageError,
    httpx.HTTPError,
    DecodeError,
    ArithmeticError,
    AssertionError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What the clients raise; some of it where an answer is not what they expect."""


def client_error(
    error: Exception, *, method: str, address: str, collection: str | None = None
) -> MultiQAError:
    """Return this package's error for one of the client's.

    Args:
        error: What the client raised.
        method: The method of the client.
        address: Where the server is: scheme, host and port.
        collection: Which one it was about.
    """
    what = f"Qdrant's {method} at {address}"
    answer = answer_of(error)
    if answer is None:  # the client itself refused the arguments
        translated: MultiQAError = BadRequestError(f"{what}: {_line(str(error))}.")
    else:
        translated = _error(answer, what, address, collection)
    translated.__cause__ = error
    return translated


def _error(answer: Answer, what: str, address: str, collection: str | None) -> MultiQAError:
    rule = meaning(answer)
    reason = answer.words.rstrip(".")
    status = f"{answer.status}: " if answer.status else ""
    cure = f" {rule.cure}" if rule.cure else ""
    if rule.meaning is Meaning.CLOSED:
        return StoreClosedError(f"{what} was not sent: {reason}.{cure}")
    if rule.meaning is Meaning.OTHER_LOOP:
        return ConfigurationError(f"{what} was not sent: {reason}.{cure}")
    if rule.meaning is Meaning.NOT_QDRANT:
        cure = cure or " Look at what is there: a proxy, or another server."
        return StoreUnavailableError(
            f"no Qdrant answers at {address}: {what.split(' at ')[0]} got {status}{reason}.{cure}"
        )
    if rule.meaning is Meaning.RATE_LIMITED:
        return RateLimitedError(
            f"{what} was put off ({status}{reason}).{cure}",
            retry_after=seconds_of(answer.retry_after),
        )
    if rule.meaning is Meaning.UNAVAILABLE:
        return StoreUnavailableError(f"{what} failed ({status}{reason}).{cure}")
    if rule.meaning is Meaning.BROKEN:
        return CollectionBrokenError(
            f"the collection {collection!r} is broken: {what} failed ({status}{reason}).{cure}"
        )
    if rule.meaning is Meaning.TOO_LARGE:
        most = re.search(r"Limit exceeded [0-9]+ > ([0-9]+)", reason)
        return TooLargeError(
            f"{what} was refused ({status}{reason}).{cure}", most=int(most[1]) if most else None
        )
    kinds: dict[Meaning, type[StoreError]] = {
        Meaning.BAD_POINTS: BadRequestError,
        Meaning.DISK_FULL: DiskFullError,
        Meaning.EXISTS: AlreadyExistsError,
        Meaning.FORBIDDEN: StorePermissionError,
        Meaning.LIMIT: StoreLimitError,
        Meaning.MISSING: CollectionNotFoundError,
    }
    kind = kinds.get(rule.meaning, StoreError)
    return kind(f"{what} was refused ({status}{reason}).{cure}")


def answer_of(error: Exception) -> Answer | None:
    """Return what a client's error says was answered; None if the client itself refused."""
    if isinstance(error, UnexpectedResponse):
        return _rest_answer(error)
    if isinstance(error, ResourceExhaustedResponse):
        return Answer(429, _line(error.message), own=True, retry_after=str(error.retry_after_s))
    if isinstance(error, QdrantException):
        # The client reads whole numbers only; its message ends with what the header was.
        return Answer(429, _line(str(error)), retry_after=str(error).rpartition(": ")[2])
    if isinstance(error, grpc.RpcError) and callable(getattr(error, "code", None)):
        return _grpc_answer(error.code(), str(error.details() or ""))
    sent = isinstance(error, ResponseHandlingException)
    source: Exception = error.source if isinstance(error, ResponseHandlingException) else error
    words = _line(str(source)) or type(source).__name__
    if isinstance(source, ValidationError | json.JSONDecodeError | UnicodeDecodeError):
        return Answer(200, "an answer that cannot be read")
    if isinstance(source, AssertionError) and "returned None" in words:
        return Answer(200, "an answer without a result")
    if isinstance(source, DecodeError):
        return Answer(400, f"{words}. {_DEEP}", own=True)
    if sent or isinstance(source, httpx.HTTPError | OSError):
        return Answer(0, words)
    if re.search(f"{CLOSED_WORDS}|{LOOP_WORDS}", words):
        return Answer(0, words)
    return None


def _rest_answer(error: UnexpectedResponse) -> Answer:
    text = error.content.decode("utf-8", "replace")
    status = error.status_code or 0
    retry_after = error.headers.get("Retry-After")
    try:
        return Answer(status, _line(json.loads(text)["status"]["error"]), True, retry_after)
    except (ValueError, KeyError, TypeError):
        pass
    if 300 <= status < 400 and "Location" in error.headers:
        return Answer(status, f"a redirect to {_line(error.headers['Location'])}")
    return Answer(status, _line(text) or error.reason_phrase, False, retry_after)


def _grpc_answer(code: grpc.StatusCode, details: str) -> Answer:
    words = _line(details)
    proxy = re.search(r"http2 header with status: (\d+)", details)
    if proxy:  # what a proxy answered, which does not speak gRPC
        return Answer(int(proxy[1]), words)
    if "eserializing" in details:  # by the client: nested too deeply
        return Answer(400, f"{words}. {_DEEP}", own=True)
    return Answer(STATUS_OF_CODE.get(code, 500), words, own=True)


def _line(text: str, length: int = 300) -> str:
    """Return text as one line: of a page of HTML its title, or its words."""
    if "<" in text:
        title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = title[1] if title else re.sub(r"<[^>]*>", " ", text)
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]} …"


def seconds_of(retry_after: str | None) -> float | None:
    """Return how long a Retry-After asks to wait, in seconds; None where it makes no sense."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?", text):
        return float(text)
    if re.fullmatch(r"[0-9]+", text):
        return 1e9
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None
