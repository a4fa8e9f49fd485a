"""Requests by REST, and what Qdrant 1.18.3 answers: asked of the stand-in and of a real server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import httpx

VECTOR = [1.0, 0.0, 0.0]
_SIZE = {"vectors": {"size": 3, "distance": "Dot"}}


@dataclass(frozen=True)
class Request:
    """A request, and its name in tests.

    Attributes:
        name: Its name.
        method: Of HTTP.
        path: Where to.
        body: JSON, or text that is sent as it is.
        only: The parts of the result that are compared, as paths; all by default.
        words: How much of an error's words is compared: the first, or all.
    """

    name: str
    method: str
    path: str
    body: Any = None
    only: tuple[str, ...] = ()
    words: Literal["first", "all"] = "first"


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


def strict_requests(name: str) -> list[Request]:
    """Return a conversation with collections in strict mode; all words of refusals count."""
    at = f"/collections/{name}-strict"
    indexed = {"must": [{"key": "k", "match": {"value": "a"}}]}
    field = {"key": "u", "match": {"value": "b"}}
    modes: dict[str, tuple[dict[str, Any], list[tuple[str, str, str, Any]]]] = {
        "limit": (
            {"max_query_limit": 2},
            [
                ("query", "POST", "/points/query", {"query": VECTOR, "limit": 3}),
                ("query by default", "POST", "/points/query", {"query": VECTOR}),
                (
                    "prefetch", "POST", "/points/query",
                    {"prefetch": [{"query": VECTOR, "limit": 5}], "query": {"fusion": "rrf"},
                     "limit": 1},
                ),
                ("scroll", "POST", "/points/scroll", {"limit": 3}),
                ("scroll by default", "POST", "/points/scroll", {}),
                ("retrieve", "POST", "/points", {"ids": [1, 2, 3]}),
                ("facet", "POST", "/facet", {"key": "k", "limit": 5}),
                (
                    "batch", "POST", "/points/query/batch",
                    {"searches": [{"query": VECTOR, "limit": 3}]},
                ),
            ],
        ),
        "unindexed": (
            {"unindexed_filtering_retrieve": False, "unindexed_filtering_update": False},
            [
                (f"scroll {label}", "POST", "/points/scroll", {"filter": filter})
                for label, filter in {
                    "indexed": indexed,
                    "match": {"must": [field]},
                    "any": {"must": [{"key": "u", "match": {"any": [1, 2]}}]},
                    "true": {"must": [{"key": "u", "match": {"value": True}}]},
                    "text": {"must": [{"key": "u", "match": {"text": "b"}}]},
                    "range": {"must": [{"key": "k", "range": {"gte": 1}}]},
                    "empty": {"must": [{"is_empty": {"key": "u"}}]},
                    "null": {"must": [{"key": "u", "is_null": True}]},
                    "ids": {"must": [{"has_id": [1]}]},
                    "nested": {"must": [{"nested": {"key": "o", "filter": {"must": [field]}}}]},
                    "deep": {"must": [{"should": [{"must_not": [field]}]}]},
                }.items()
            ] + [
                ("count", "POST", "/points/count", {"filter": {"must": [field]}}),
                ("delete", "POST", "/points/delete?wait=true", {"filter": {"must": [field]}}),
                ("query", "POST", "/points/query", {"query": VECTOR, "filter": {"must": [field]}}),
            ],
        ),
        "conditions": (
            {"filter_max_conditions": 2, "condition_max_size": 2},
            [
                ("three", "POST", "/points/scroll", {"filter": {"must": indexed["must"] * 3}}),
                (
                    "within", "POST", "/points/scroll",
                    {"filter": {"must": [{"should": indexed["must"] * 3}]}},
                ),
                (
                    "values", "POST", "/points/scroll",
                    {"filter": {"must": [{"key": "k", "match": {"any": ["a", "b", "c"]}}]}},
                ),
                (
                    "ids", "POST", "/points/scroll",
                    {"filter": {"must": [{"has_id": [1, 2, 3]}]}},
                ),
            ],
        ),
        "search": (
            {"search_max_hnsw_ef": 10, "search_allow_exact": False,
             "search_max_oversampling": 1.0, "search_max_batchsize": 1,
             "upsert_max_batchsize": 2, "max_payload_index_count": 1},
            [
                (
                    label, "POST", "/points/query", {"query": VECTOR, "params": params}
                )
                for label, params in {
                    "ef": {"hnsw_ef": 11},
                    "exact": {"exact": True},
                    "oversampling": {"quantization": {"oversampling": 2.0}},
                }.items()
            ] + [
                ("batch", "POST", "/points/query/batch", {"searches": [{"query": VECTOR}] * 2}),
                ("count", "POST", "/points/count", {}),
                ("count about", "POST", "/points/count", {"exact": False}),
                (
                    "upsert", "PUT", "/points?wait=true",
                    {"points": [{"id": n, "vector": VECTOR, "payload": {}} for n in (1, 2, 3)]},
                ),
                (
                    "another index", "PUT", "/index?wait=true",
                    {"field_name": "z", "field_schema": "keyword"},
                ),
            ],
        ),
    }  # fmt: skip
    points = [{"id": n, "vector": VECTOR, "payload": {"k": "a", "u": "b"}} for n in (1, 2)]
    found = []
    for mode, (limits, asked) in modes.items():
        strict = {"enabled": True, **limits}
        found += [
            Request(f"{mode}: create", "PUT", at, {**_SIZE, "strict_mode_config": strict}),
            Request(
                f"{mode}: index", "PUT", f"{at}/index?wait=true",
                {"field_name": "k", "field_schema": "keyword"},
            ),
            Request(f"{mode}: fill", "PUT", f"{at}/points?wait=true", {"points": points}),
            *[
                Request(f"{mode}: {label}", method, at + path, body, words="all")
                for label, method, path, body in asked
            ],
            Request(f"{mode}: drop", "DELETE", at),
        ]  # fmt: skip
    return found


def settings_requests(name: str) -> list[Request]:
    """Return a conversation about what a collection is made of, and what facets need."""
    at = f"/collections/{name}-settings"
    made = {
        "vectors": {"size": 3, "distance": "Dot", "datatype": "float16", "on_disk": True},
        "hnsw_config": {"m": 8},
        "quantization_config": {"scalar": {"type": "int8", "always_ram": True}},
        "on_disk_payload": False,
        "metadata": {"a": [1, None]},
    }
    kept = (
        "config.params.vectors", "config.params.on_disk_payload", "config.hnsw_config.m",
        "config.quantization_config", "config.metadata", "payload_schema.k.data_type",
        "payload_schema.k.params",
    )  # fmt: skip
    tenant = {"type": "keyword", "is_tenant": True}
    kinds = ("bool", "datetime", "float", "geo", "integer", "text", "uuid")
    return [
        Request("settings: create", "PUT", at, made),
        Request(
            "settings: index", "PUT", f"{at}/index?wait=true",
            {"field_name": "k", "field_schema": tenant},
        ),
        Request(
            "settings: fill", "PUT", f"{at}/points?wait=true",
            {"points": [{"id": 1, "vector": VECTOR, "payload": {"k": "a"}}]},
        ),
        Request("settings: info", "GET", at, only=kept),
        Request("settings: change", "PATCH", at, {"hnsw_config": {"m": 4}}),
        Request("settings: info again", "GET", at, only=kept),
        Request("settings: facet of nothing", "POST", f"{at}/facet", {"key": "u"}),
        Request("settings: facet", "POST", f"{at}/facet", {"key": "k"}),
        *[
            request
            for kind in kinds
            for request in (
                Request(
                    f"settings: index {kind}", "PUT", f"{at}/index?wait=true",
                    {"field_name": kind, "field_schema": kind},
                ),
                Request(f"settings: facet {kind}", "POST", f"{at}/facet", {"key": kind}),
            )
        ],
        Request("settings: drop", "DELETE", at),
    ]  # fmt: skip


ACCESS: dict[str, Any] = {
    "none": None,
    "another": "another key",
    "manage": {"access": "m"},
    "read": {"access": "r"},
    "read one": {"access": [{"collection": "{}-a", "access": "r"}]},
    "write one": {"access": [{"collection": "{}-a", "access": "rw"}]},
    "points of one": {"access": [{"collection": "{}-a", "access": "prw"}]},
    "expired": {"access": "m", "exp": 1_000_000_000},
    "unknown": {"access": "w"},
}
"""Who asks: nobody, somebody with another key, and those with a token of these claims."""


def rights_requests(name: str) -> list[Request]:
    """Return what is asked by each of `ACCESS`; there are the collections `name`-a and -b."""
    one, other = f"/collections/{name}-a", f"/collections/{name}-b"
    point = {"points": [{"id": 1, "vector": VECTOR, "payload": {"k": "a"}}]}
    index = {"field_name": "k", "field_schema": "keyword"}
    return [
        Request("version", "GET", "/", only=("title",)),
        Request("list", "GET", "/collections", only=("nothing",)),
        Request("aliases", "GET", "/aliases", only=("nothing",)),
        Request("create", "PUT", f"/collections/{name}-c", _SIZE),
        Request("drop", "DELETE", f"/collections/{name}-c"),
        Request("metadata", "PATCH", one, {"metadata": {"a": 1}}),
        Request("change aliases", "POST", "/collections/aliases", {"actions": []}),
        *[
            Request(f"{label} {which}", method, at + path, body, only=("status",))
            for which, at in (("one", one), ("other", other))
            for label, method, path, body in (
                ("info", "GET", "", None),
                ("exists", "GET", "/exists", None),
                ("index", "PUT", "/index?wait=true", index),
                ("upsert", "PUT", "/points?wait=true", point),
                ("retrieve", "POST", "/points", {"ids": [1]}),
                ("scroll", "POST", "/points/scroll", {}),
                ("count", "POST", "/points/count", {}),
                ("query", "POST", "/points/query", {"query": VECTOR}),
                ("batch", "POST", "/points/query/batch", {"searches": [{"query": VECTOR}]}),
                ("facet", "POST", "/facet", {"key": "k"}),
                ("delete", "POST", "/points/delete?wait=true", {"points": [9]}),
            )
        ],
    ]  # fmt: skip


def ask(url: str, request: Request, key: str | None = None) -> Answer:
    """Return the status and the part of an answer that does not change from run to run."""
    content = {"content": request.body} if isinstance(request.body, str) else {"json": request.body}
    answer = httpx.request(
        request.method,
        url + request.path,
        headers={
            "Content-Type": "application/json",
            **({} if key is None else {"api-key": key}),
        },
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
        words = body["status"]["error"]
        return answer.status_code, words if request.words == "all" else _words(words)
    result = body.get("result")
    if request.only:
        result = {path: _part(result, path) for path in request.only}
    return answer.status_code, _stable(result)


def _part(value: Any, path: str) -> Any:
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


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
