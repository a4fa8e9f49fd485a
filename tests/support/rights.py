"""Keys and tokens of a Qdrant server, and what each may do: for the stand-in.

A token is a JWT that the server's key signed: https://qdrant.tech/documentation/guides/security.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from email.message import Message
from typing import Any

from tests.support.qdrant_answers import Refusal, no_key

_ANYBODY = ("version",)
_LISTS = ("collections", "aliases")  # each sees what he may
_MANAGE = ("create", "update", "drop", "change_aliases")
_WRITE = ("upsert", "delete", "set_payload", "index")

Access = str | dict[str, str]
"""`r` or `m` for the whole server; or by collection `r`, `rw` or `prw`, which is points alone."""


def token(key: str, **claims: Any) -> str:
    """Return a token, as `token(key, access="r")`."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = ".".join(map(_encoded, parts))
    return f"{signed}.{_encoded(_signature(key, signed))}"


def access_of(headers: Message, key: str | None) -> Access:
    """Return what whoever sent these headers may do on a server with this key.

    Raises:
        Refusal: He may nothing.
    """
    if key is None:
        return "m"
    given = headers.get("api-key") or headers.get("Authorization", "").removeprefix("Bearer ")
    if not given:
        raise no_key()
    if hmac.compare_digest(given.encode(), key.encode()):
        return "m"
    try:
        signed, _, signature = given.rpartition(".")
        claims = json.loads(_decoded(signed.partition(".")[2]))
        given_signature = _decoded(signature)
    except ValueError:
        raise _unknown() from None
    if not hmac.compare_digest(given_signature, _signature(key, signed)):
        raise Refusal(403, "InvalidSignature", plain=True)
    if claims.get("exp", time.time()) < time.time() - 30:
        raise Refusal(403, "ExpiredSignature", plain=True)
    access = claims.get("access", "m")
    if access in ("r", "m"):
        return str(access)
    if not isinstance(access, list):
        raise _unknown()
    return {one["collection"]: one["access"] for one in access}


def check(access: Access, act: str, name: str | None) -> None:
    """Make sure that somebody may do this.

    Args:
        access: What he may do.
        act: The kind of request.
        name: The collection that it is about.

    Raises:
        Refusal: He may not.
    """
    if act in (*_ANYBODY, *_LISTS) or access == "m":
        return
    if access == "r":
        if act in _MANAGE + _WRITE:
            raise _forbidden("Global manage access is required")
        return
    assert isinstance(access, dict)
    if act in _MANAGE:
        raise _forbidden("Global access is required")
    if name not in access:
        raise _forbidden(f"Access to collection {name} is required")
    if act == "index" and access[name] == "prw":
        raise _forbidden(f"Only points access is allowed for collection {name}")
    if act in _WRITE and access[name] == "r":
        raise _forbidden(f"Write access to collection {name} is required")


def may_see(access: Access, name: str) -> bool:
    """Return whether a collection is in the list that somebody gets."""
    return isinstance(access, str) or name in access


def _forbidden(what: str) -> Refusal:
    return Refusal(403, f"Forbidden: {what}")


def _unknown() -> Refusal:
    return Refusal(401, "Invalid API key or JWT", plain=True)


def _signature(key: str, signed: str) -> bytes:
    return hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
