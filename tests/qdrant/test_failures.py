"""What an answer of a server means: a row of the table for each kind, by REST and by gRPC."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.message import DecodeError
from pydantic import TypeAdapter, ValidationError
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
from multiqa_integrations.qdrant.server.answers import RULES, Meaning, meaning
from multiqa_integrations.qdrant.server.failures import answer_of, client_error, seconds_of

Code = grpc.StatusCode


def rest(status: int, body: str | bytes, **headers: str) -> UnexpectedResponse:
    """Return what the client raises for an answer by REST."""
    content = body if isinstance(body, bytes) else body.encode()
    reason = httpx.Response(status).reason_phrase
    return UnexpectedResponse(status, reason, content, httpx.Headers(headers))


def qdrant(status: int, words: str, **headers: str) -> UnexpectedResponse:
    """Return what the client raises for an answer in Qdrant's own form."""
    body = {"status": {"error": words}, "time": 0.0, "result": None}
    return rest(status, json.dumps(body), **headers)


def by_grpc(code: grpc.StatusCode, words: str) -> grpc.aio.AioRpcError:
    """Return what the client raises for an answer by gRPC."""
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, nothing, nothing, details=words)


def broken_json() -> json.JSONDecodeError:
    return json.JSONDecodeError("Expecting value", "<html>", 0)


def other_json() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python("a login page")
    return caught.value


NGINX = "<html>\n<head><title>{}</title></head>\n<body>\n<center>nginx</center>\n</body></html>"
STRICT = ". Help: Reduce it."
LOOP = "<asyncio.locks.Event object at 0x7f> is bound to a different event loop"

ANSWERS: list[tuple[Exception, Meaning, type[MultiQAError], str]] = [
    # Faults of the program.
    (
        ResponseHandlingException(
            RuntimeError("Cannot send a request, as the client has been closed.")
        ),
        *(Meaning.CLOSED, StoreClosedError, "open it again"),
    ),
    (
        ValueError("Cannot invoke RPC on closed channel!"),
        *(Meaning.CLOSED, StoreClosedError, "open it again"),
    ),
    (
        grpc.aio.UsageError("Channel is closed."),
        *(Meaning.CLOSED, StoreClosedError, "open it again"),
    ),
    (
        ResponseHandlingException(RuntimeError(LOOP)),
        *(Meaning.OTHER_LOOP, ConfigurationError, "open the store with url="),
    ),
    (
        ResponseHandlingException(RuntimeError("Event loop is closed")),
        *(Meaning.OTHER_LOOP, ConfigurationError, "open the store with url="),
    ),
    # Certificates.
    (
        ResponseHandlingException(
            httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] verify failed: Hostname "
                               "mismatch, certificate is not valid for 'db'. (_ssl.c:1006)")
        ),
        *(Meaning.UNAVAILABLE, StoreUnavailableError, "one of them"),
    ),
    (
        by_grpc(Code.UNAVAILABLE, "failed to connect to all addresses; … Tls handshake failed … "
                "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate: OK"),
        *(Meaning.UNAVAILABLE, StoreUnavailableError, "--ca FILE"),
    ),
    (
        ResponseHandlingException(httpx.ReadError("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] …")),
        *(Meaning.UNAVAILABLE, StoreUnavailableError, "--client-cert"),
    ),
    (
        ResponseHandlingException(httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] …")),
        *(Meaning.UNAVAILABLE, StoreUnavailableError, "http:// in the URL"),
    ),
    (
        ResponseHandlingException(httpx.RemoteProtocolError("illegal request line")),
        *(Meaning.UNAVAILABLE, StoreUnavailableError, "https:// in the URL"),
    ),
    # Rights.
    (
        rest(401, "Must provide an API key or an Authorization bearer token"),
        *(Meaning.FORBIDDEN, StorePermissionError, "QDRANT_API_KEY"),
    ),
    (
        by_grpc(Code.UNAUTHENTICATED, "Invalid API key or JWT"),
        *(Meaning.FORBIDDEN, StorePermissionError, "QDRANT_API_KEY"),
    ),
    (
        qdrant(403, "Forbidden: Global manage access is required"),
        *(Meaning.FORBIDDEN, StorePermissionError, "manage the whole server"),
    ),
    (
        by_grpc(Code.PERMISSION_DENIED, "Forbidden: Write access to collection docs is required"),
        *(Meaning.FORBIDDEN, StorePermissionError, "right to write"),
    ),
    (
        qdrant(403, "Forbidden: Access to collection docs is required"),
        *(Meaning.FORBIDDEN, StorePermissionError, "right to read"),
    ),
    (
        rest(403, NGINX.format("403 Forbidden")),
        *(Meaning.FORBIDDEN, StorePermissionError, "403 Forbidden"),
    ),
    (
        qdrant(403, "Storage locked: Operation is not permitted: backup"),
        *(Meaning.LIMIT, StoreLimitError, "Unlock"),
    ),
    # Collections.
    (
        qdrant(409, "Wrong input: Collection `docs` already exists!"),
        *(Meaning.EXISTS, AlreadyExistsError, "already exists"),
    ),
    (
        qdrant(400, "Wrong input: Can't create collection with name docs. Alias with the same "
               "name already exists"),
        *(Meaning.EXISTS, AlreadyExistsError, "Alias with the same name"),
    ),
    (by_grpc(Code.ALREADY_EXISTS, "exists"), Meaning.EXISTS, AlreadyExistsError, "exists"),
    (
        qdrant(404, "Not found: Collection `docs` doesn't exist!"),
        *(Meaning.MISSING, CollectionNotFoundError, "doesn't exist"),
    ),
    (
        by_grpc(Code.NOT_FOUND, "Not found: Collection `docs` doesn't exist!"),
        *(Meaning.MISSING, CollectionNotFoundError, "doesn't exist"),
    ),
    # Sizes.
    (
        rest(413, NGINX.format("413 Request Entity Too Large")),
        *(Meaning.TOO_LARGE, TooLargeError, "413 Request Entity Too Large"),
    ),
    (
        by_grpc(Code.UNKNOWN, "Received http2 header with status: 413"),
        *(Meaning.TOO_LARGE, TooLargeError, "Send less"),
    ),
    (
        qdrant(400, "JSON payload (40000000 bytes) is larger than allowed (limit: 33554432 "
               "bytes)."),
        *(Meaning.TOO_LARGE, TooLargeError, "33554432"),
    ),
    (
        qdrant(400, "JSON payload has exceeded limit (33554432 bytes)."),
        *(Meaning.TOO_LARGE, TooLargeError, "33554432"),
    ),
    (
        by_grpc(Code.OUT_OF_RANGE, "Error, decoded message length too large: found 33554433 bytes, "
                "the limit is: 33554432 bytes"),
        *(Meaning.TOO_LARGE, TooLargeError, "33554432"),
    ),
    (
        by_grpc(Code.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max (9 vs. 4)"),
        *(Meaning.TOO_LARGE, TooLargeError, "larger than max"),
    ),
    (
        qdrant(429, "Rate limiting exceeded: Write rate limit exceeded, request larger than rate "
               "limiter capacity, please try to split your request"),
        *(Meaning.TOO_LARGE, TooLargeError, "split your request"),
    ),
    (
        by_grpc(Code.INVALID_ARGUMENT, f'Bad request: Limit exceeded 256 > 50 for "upsert limit"'
                f"{STRICT}"),
        *(Meaning.TOO_LARGE, TooLargeError, "256 > 50"),
    ),
    (
        qdrant(400, f"Bad request: Condition size limit reached (1000 > 64){STRICT}"),
        *(Meaning.TOO_LARGE, TooLargeError, "1000 > 64"),
    ),
    (
        ResponseHandlingException(OSError("the answer is larger than 268435456 bytes")),
        *(Meaning.TOO_LARGE, TooLargeError, "268435456"),
    ),
    # Rates.
    (
        ResourceExhaustedResponse("Read rate limit exceeded: … Retry after 3s", 3),
        *(Meaning.RATE_LIMITED, RateLimitedError, "put off"),
    ),
    (
        rest(429, NGINX.format("429 Too Many Requests")),
        *(Meaning.RATE_LIMITED, RateLimitedError, "429 Too Many Requests"),
    ),
    (
        QdrantException("Retry-After header value is not a valid integer: 0.5"),
        *(Meaning.RATE_LIMITED, RateLimitedError, "put off"),
    ),
    # Quotas, strict mode, disks.
    (
        qdrant(400, "Bad request: Max points count limit of 100 reached!"),
        *(Meaning.LIMIT, StoreLimitError, "Raise the limit"),
    ),
    (
        qdrant(400, "Bad request: Max vector storage size limit of 1MB reached!"),
        *(Meaning.LIMIT, StoreLimitError, "Raise the limit"),
    ),
    (
        by_grpc(Code.INVALID_ARGUMENT, f"Bad request: Disk usage is at 97%{STRICT}"),
        *(Meaning.LIMIT, StoreLimitError, "Raise the limit"),
    ),
    (
        qdrant(400, f"Bad request: Exact search disabled!{STRICT}"),
        *(Meaning.LIMIT, StoreLimitError, "strict mode"),
    ),
    (
        qdrant(400, 'Bad request: Index required but not found for "a" of one of the following '
               f"types: [keyword]{STRICT}"),
        *(Meaning.LIMIT, StoreLimitError, "payload_indexes="),
    ),
    (
        qdrant(400, "Bad request: No appropriate index for faceting: `a`"),
        *(Meaning.REFUSED, StoreError, "payload_indexes="),
    ),
    (
        qdrant(500, "Service internal error: No space left on device: WAL buffer size exceeds "
               "available disk space"),
        *(Meaning.DISK_FULL, DiskFullError, "Free space"),
    ),
    # This request, and these points.
    (
        qdrant(400, "Wrong input: Shard key not specified"),
        *(Meaning.REFUSED, StoreError, "custom sharding"),
    ),
    (
        qdrant(400, "Wrong input: Vector dimension error: expected dim: 384, got 3"),
        *(Meaning.BAD_POINTS, BadRequestError, "got 3"),
    ),
    (
        qdrant(422, "Validation error in JSON body: [points[0].id: must be a UUID]"),
        *(Meaning.BAD_POINTS, BadRequestError, "must be a UUID"),
    ),
    (
        by_grpc(Code.INVALID_ARGUMENT, "Wrong input: Vector dimension error"),
        *(Meaning.BAD_POINTS, BadRequestError, "dimension"),
    ),
    (
        by_grpc(Code.INTERNAL, "Exception deserializing response!"),
        *(Meaning.BAD_POINTS, BadRequestError, "use REST"),
    ),
    (DecodeError("Error parsing message"), Meaning.BAD_POINTS, BadRequestError, "use REST"),
    (qdrant(405, "Method not allowed"), Meaning.REFUSED, StoreError, "405"),
    # What passes.
    (
        qdrant(500, "Service internal error: 0 of 0 read operations failed"),
        *(Meaning.BROKEN, CollectionBrokenError, "the collection 'docs' is broken"),
    ),
    (
        by_grpc(Code.INTERNAL, "Service internal error: 1 of 1 read operations failed:\n  Service "
                "internal error: Failed to get points,  Failed to load local shard \"0\": …"),
        *(Meaning.BROKEN, CollectionBrokenError, "multiqa collection drop"),
    ),
    (
        qdrant(500, "Service internal error: 2 of 3 read operations failed:\n  Timeout"),
        *(Meaning.UNAVAILABLE, StoreUnavailableError, "2 of 3"),
    ),
    (
        qdrant(500, "Service internal error: The replica set for shard 0 on peer 7 does not have "
               "enough active replicas"),
        *(Meaning.UNAVAILABLE, StoreUnavailableError, "or the collection is broken"),
    ),
    (qdrant(500, "Service internal error: …"), Meaning.UNAVAILABLE, StoreUnavailableError, "500"),
    (rest(502, NGINX.format("502 Bad Gateway")), Meaning.UNAVAILABLE, StoreUnavailableError, "502"),
    (rest(503, ""), Meaning.UNAVAILABLE, StoreUnavailableError, "503: Service Unavailable"),
    (qdrant(408, "Timeout: …"), Meaning.UNAVAILABLE, StoreUnavailableError, "408"),
    (
        by_grpc(Code.DEADLINE_EXCEEDED, "Deadline Exceeded"),
        *(Meaning.UNAVAILABLE, StoreUnavailableError, "408"),
    ),
    (
        by_grpc(Code.UNAVAILABLE, "failed to connect to all addresses"),
        *(Meaning.UNAVAILABLE, StoreUnavailableError, "failed to connect"),
    ),
    (by_grpc(Code.UNKNOWN, "?"), Meaning.UNAVAILABLE, StoreUnavailableError, "500"),
    (
        ResponseHandlingException(httpx.ConnectError("[Errno 111] Connection refused")),
        *(Meaning.UNAVAILABLE, StoreUnavailableError, "Is the server up"),
    ),
    (
        ResponseHandlingException(httpx.ReadTimeout("timed out")),
        *(Meaning.UNAVAILABLE, StoreUnavailableError, "time limit long enough"),
    ),
    (
        ResponseHandlingException(httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] …")),
        *(Meaning.UNAVAILABLE, StoreUnavailableError, "--ca FILE"),
    ),
    # What is not Qdrant's.
    (broken_json(), Meaning.NOT_QDRANT, StoreUnavailableError, "no Qdrant answers at"),
    (
        ResponseHandlingException(other_json()),
        *(Meaning.NOT_QDRANT, StoreUnavailableError, "no Qdrant answers at"),
    ),
    (
        AssertionError("Upsert returned None result"),
        *(Meaning.NOT_QDRANT, StoreUnavailableError, "no Qdrant answers at"),
    ),
    (
        rest(301, NGINX.format("301 Moved Permanently"), Location="https://db.example.org/"),
        *(Meaning.NOT_QDRANT, StoreUnavailableError, "a redirect to https://db.example.org/"),
    ),
    (
        rest(405, NGINX.format("405 Not Allowed")),
        *(Meaning.NOT_QDRANT, StoreUnavailableError, "405 Not Allowed"),
    ),
    (
        rest(422, '{"detail": [{"msg": "field required"}]}'),
        *(Meaning.NOT_QDRANT, StoreUnavailableError, "field required"),
    ),
    (rest(400, "Bad Request"), Meaning.NOT_QDRANT, StoreUnavailableError, "Bad Request"),
    (rest(404, ""), Meaning.NOT_QDRANT, StoreUnavailableError, "404: Not Found"),
    (
        by_grpc(Code.UNIMPLEMENTED, "Received http2 header with status: 404"),
        *(Meaning.NOT_QDRANT, StoreUnavailableError, "404"),
    ),
    (
        by_grpc(Code.UNIMPLEMENTED, ""),
        *(Meaning.NOT_QDRANT, StoreUnavailableError, "grpc_port"),
    ),
    (
        by_grpc(Code.UNAVAILABLE, "Trying to connect an http1.x server"),
        *(Meaning.NOT_QDRANT, StoreUnavailableError, "grpc_port"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("raised", "expected", "kind", "words"),
    ANSWERS,
    ids=[f"{kind.name}-{number}" for number, (_, kind, _, _) in enumerate(ANSWERS)],
)
def test_each_answer_has_its_meaning(
    raised: Exception, expected: Meaning, kind: type[MultiQAError], words: str
) -> None:
    answer = answer_of(raised)
    assert answer is not None
    assert meaning(answer).meaning is expected
    error = client_error(raised, method="upsert", address="http://db:6333", collection="docs")
    assert type(error) is kind
    assert words in str(error)
    assert "http://db:6333" in str(error)
    assert "\n" not in str(error)
    assert "<" not in str(error).replace(LOOP, "")
    assert error.__cause__ is raised


def test_no_rule_is_without_an_example() -> None:
    answers = [answer_of(raised) for raised, *_ in ANSWERS]
    used = {id(meaning(answer)) for answer in answers if answer is not None}
    assert [rule for rule in RULES if id(rule) not in used] == []


@pytest.mark.parametrize("code", list(Code))
def test_every_code_of_grpc_has_a_meaning(code: grpc.StatusCode) -> None:
    if code is not Code.OK:
        error = client_error(by_grpc(code, "…"), method="upsert", address="http://db:6333")
        assert isinstance(error, StoreError)


def test_arguments_that_the_client_refuses_are_bad_points() -> None:
    raised = ValueError("Value out of range: 18446744073709551616")
    assert isinstance(client_error(raised, method="upsert", address="a"), BadRequestError)


@pytest.mark.parametrize("status", range(400, 600))
def test_only_answers_of_qdrant_are_about_points(status: int) -> None:
    """Pages of proxies, in every status, never make a point a bad one."""
    for body in (NGINX.format("no"), "no", "", '{"error": "no"}', '{"status": "error"}', "[]"):
        error = client_error(rest(status, body), method="upsert", address="http://db:6333")
        assert not isinstance(error, BadRequestError)


def test_a_page_is_told_in_one_short_line() -> None:
    page = "<html><body>" + "<p>word</p>\n" * 10_000 + "</body></html>"
    message = str(client_error(rest(502, page), method="count", address="http://db:6333"))
    assert len(message) < 500
    assert "\n" not in message


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("0", 0.0),
        ("3", 3.0),
        ("0.5", 0.5),
        (" 7 ", 7.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("9" * 400, 1e9),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("inf", None),
        ("nan", None),
        ("٣", None),
    ],
)
def test_retry_after(header: str | None, expected: float | None) -> None:
    assert seconds_of(header) == expected


def test_retry_after_as_a_date() -> None:
    later = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=90), usegmt=True)
    assert seconds_of(later) == pytest.approx(90, abs=5)


@pytest.mark.parametrize("seconds", [0, -5, 10**399, 600])
def test_what_the_client_reads_of_retry_after(seconds: int) -> None:
    raised: Any = ResourceExhaustedResponse("slow down", seconds)
    error = client_error(raised, method="upsert", address="a")
    assert isinstance(error, RateLimitedError)
    assert error.retry_after in (0.0, None, 1e9, 600.0)
