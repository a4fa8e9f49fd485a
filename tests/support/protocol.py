"""Requests by REST, and what Qdrant 1.18.3 answers: asked of the stand-in and of a real server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import httpx

VECTOR = [1.0, 0.0, 0.0]


@dataclass(frozen=True)
class Request:
    """A request, and its name in tests."""

    name: str
    method: str
    path: str
    body: Any = None


def requests(name: str, alias: str) -> list[Request]:
    """Return a conversation about a collection: each request may build on those before it."""
    at = f"/collections/{name}"
    nowhere = f"/collections/{name}-nowhere"
    vectors = {"size": 3, "distance": "Dot"}
    points = [
        {"id": number, "vector": [1.0 - number / 8, 0.0, 0.0], "payload": {"n": number, "t": text}}
        for number, text in enumerate(("coffee", "fee", "Fee", "tea"))
    ]
    found = {"key": "t", "match": {"text": "fee"}}
    return [
        Request("exists before", "GET", f"{at}/exists"),
        Request("info of nothing", "GET", at),
        Request("create", "PUT", at, {"vectors": vectors, "colour": "red"}),
        Request("create again", "PUT", at, {"vectors": vectors}),
        Request("create without a size", "PUT", f"{nowhere}", {"vectors": {"distance": "Dot"}}),
        Request("create with size 0", "PUT", nowhere, {"vectors": {"size": 0, "distance": "Dot"}}),
        Request("exists", "GET", f"{at}/exists"),
        Request("upsert", "PUT", f"{at}/points?wait=true", {"points": points}),
        Request("upsert without waiting", "PUT", f"{at}/points", {"points": points}),
        Request("upsert nothing", "PUT", f"{at}/points?wait=true", {"points": []}),
        Request("upsert nowhere", "PUT", f"{nowhere}/points?wait=true", {"points": points}),
        Request(
            "upsert another size", "PUT", f"{at}/points?wait=true",
            {"points": [{"id": 1, "vector": [1.0], "payload": {}}]},
        ),
        Request(
            "upsert a bad id", "PUT", f"{at}/points?wait=true",
            {"points": [{"id": "one", "vector": VECTOR, "payload": {}}]},
        ),
        Request("upsert no JSON", "PUT", f"{at}/points?wait=true", "{"),
        Request("retrieve", "POST", f"{at}/points", {"ids": [2, 9, 1], "with_payload": True}),
        Request("retrieve nowhere", "POST", f"{nowhere}/points", {"ids": [1]}),
        Request("count", "POST", f"{at}/points/count", {"exact": True}),
        Request(
            "count by text without an index", "POST", f"{at}/points/count",
            {"exact": True, "filter": {"must": [found]}},
        ),
        Request("count nowhere", "POST", f"{nowhere}/points/count", {"exact": True}),
        Request("scroll", "POST", f"{at}/points/scroll", {"limit": 2}),
        Request("scroll on", "POST", f"{at}/points/scroll", {"limit": 2, "offset": 2}),
        Request("scroll by 0", "POST", f"{at}/points/scroll", {"limit": 0}),
        Request("query", "POST", f"{at}/points/query", {"query": VECTOR, "limit": 1}),
        Request("query another size", "POST", f"{at}/points/query", {"query": [1.0], "limit": 1}),
        Request("query by 0", "POST", f"{at}/points/query", {"query": VECTOR, "limit": 0}),
        Request(
            "query an unknown vector", "POST", f"{at}/points/query",
            {"query": VECTOR, "using": "other", "limit": 1},
        ),
        Request(
            "index", "PUT", f"{at}/index?wait=true", {"field_name": "t", "field_schema": "keyword"}
        ),
        Request(
            "index nowhere", "PUT", f"{nowhere}/index?wait=true",
            {"field_name": "t", "field_schema": "keyword"},
        ),
        Request(
            "index of an unknown kind", "PUT", f"{at}/index?wait=true",
            {"field_name": "t", "field_schema": "word"},
        ),
        Request("change metadata", "PATCH", at, {"metadata": {"a": {"b": 1}}}),
        Request("change metadata nowhere", "PATCH", nowhere, {"metadata": {"a": 1}}),
        Request(
            "alias", "POST", "/collections/aliases",
            {"actions": [{"create_alias": {"collection_name": name, "alias_name": alias}}]},
        ),
        Request(
            "alias of nothing", "POST", "/collections/aliases",
            {"actions": [{"create_alias": {"collection_name": f"{name}-nowhere",
                                           "alias_name": f"{alias}2"}}]},
        ),
        Request("exists by the alias", "GET", f"/collections/{alias}/exists"),
        Request("create named as the alias", "PUT", f"/collections/{alias}", {"vectors": vectors}),
        Request("delete points", "POST", f"{at}/points/delete?wait=true", {"points": [3]}),
        Request("delete points nowhere", "POST", f"{nowhere}/points/delete", {"points": [3]}),
        Request("delete by nothing", "POST", f"{at}/points/delete?wait=true", {}),
        Request("no such route", "GET", "/collection"),
        Request("drop", "DELETE", at),
        Request("drop again", "DELETE", at),
    ]  # fmt: skip


Answer = tuple[int, Any]
"""The status of an answer, and the part of it that does not change from run to run."""


def ask(url: str, request: Request) -> Answer:
    """Return the status and the part of an answer that does not change from run to run."""
    content = {"content": request.body} if isinstance(request.body, str) else {"json": request.body}
    answer = httpx.request(
        request.method,
        url + request.path,
        headers={"Content-Type": "application/json"},
        timeout=30,
        **({} if request.body is None else content),
    )
    try:
        body = answer.json()
    except ValueError:
        return answer.status_code, answer.text
    if not isinstance(body, dict):
        return answer.status_code, body
    if isinstance(body.get("status"), dict):
        return answer.status_code, _words(body["status"]["error"])
    return answer.status_code, _stable(body.get("result"))


def _words(text: str) -> str:
    """Return an error's first words, which say of which kind it is."""
    return re.split(r"[:(`\[]", text)[0].strip()


_CHANGES = {"operation_id", "time", "version", "usage", "shard_key", "order_value"}


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _stable(item)
            for key, item in sorted(value.items())
            if key not in _CHANGES and item is not None
        }
    return [_stable(item) for item in value] if isinstance(value, list) else value
