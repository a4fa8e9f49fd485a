"""How Qdrant 1.18.3 answers what it refuses: statuses and words, for the stand-in."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

MAX_BODY = 32 * 1024 * 1024


class Refusal(Exception):
    """A request is refused.

    Attributes:
        status: The status.
        reason: The words.
        headers: Further headers.
        plain: Whether the answer is the words alone, not Qdrant's JSON.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        *,
        plain: bool = False,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(reason)
        self.status, self.reason, self.plain = status, reason, plain
        self.headers = headers or {}


def no_key() -> Refusal:
    return Refusal(401, "Must provide an API key or an Authorization bearer token", plain=True)


def too_large(size: int) -> Refusal:
    limit = f"(limit: {MAX_BODY} bytes)"
    return Refusal(400, f"JSON payload ({size} bytes) is larger than allowed {limit}.")


def no_collection(name: str) -> Refusal:
    return Refusal(404, f"Not found: Collection `{name}` doesn't exist!")


def broken() -> Refusal:
    return Refusal(500, "Service internal error: 0 of 0 read operations failed")


def taken(name: str) -> Refusal:
    return Refusal(409, f"Wrong input: Collection `{name}` already exists!")


def named_as_an_alias(name: str) -> Refusal:
    return Refusal(
        400,
        f"Wrong input: Can't create collection with name {name}. Alias with the same name already "
        "exists",
    )


def parse(body: bytes) -> Any:
    """Return the JSON of a body; Qdrant's answer if it is none."""
    try:
        return json.loads(body) if body else {}
    except ValueError as error:
        raise Refusal(400, f"Format error in JSON body: {error}") from error


def check_limits(act: str, body: Any) -> None:
    """Refuse what Qdrant's validation does before anything is looked up."""
    if act in ("scroll", "query") and body.get("limit") == 0:
        raise Refusal(
            422, "Validation error in JSON body: [limit: value 0 invalid, must be 1 or larger]"
        )
    vectors = body.get("vectors") if act == "create" else None
    if isinstance(vectors, dict) and vectors.get("size") == 0:
        raise Refusal(400, "Format error in JSON body: vectors: size: must be 1 or larger")
    if act == "upsert" and body.get("points") == []:
        raise Refusal(400, "Bad request: Empty update request")


def refusal_of(error: Exception, name: str) -> Refusal:
    """Return the answer for what the client's local mode raises."""
    if isinstance(error, ValidationError):
        return Refusal(400, f"Format error in JSON body: {error.errors()[0]['msg']}")
    reason = str(error)
    if "UUID" in reason:
        return Refusal(400, f"Format error in JSON body: {reason}")
    if reason.endswith("not found"):
        return no_collection(name)
    if "already exists" in reason:
        return taken(name)
    return Refusal(400, f"Wrong input: {reason}")
