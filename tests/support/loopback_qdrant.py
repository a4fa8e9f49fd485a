"""A stand-in for a Qdrant server, on this machine's loopback address. It is not Qdrant.

The REST routes that this package uses, answered by qdrant-client's local mode (in memory, one
call at a time), with faults that a test switches on. It proves requests, answers and what is
done about failures; not what a real server does with them.

It outlives its clients, so that they can be killed:

    python tests/support/loopback_qdrant.py 16333        # until it is stopped
"""

from __future__ import annotations

import copy
import json
import re
import socket
import struct
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import BaseModel, ValidationError
from qdrant_client import QdrantClient, models

from tests.support import qdrant_answers, rights, strict_mode
from tests.support.faults import CutError, Faults
from tests.support.qdrant_answers import Refusal
from tests.support.stale_replica import Replica, common

STATUS = {"result": {"operation_id": 0, "status": "completed"}}


class LoopbackQdrant:
    """The server; `url` is where, `faults` what goes wrong, `seen` what was asked.

    Attributes:
        url: Where it listens.
        faults: What goes wrong from now on.
        seen: How many requests of each kind came, and how many of each fault were answered.
        bodies: The body of the last request of each kind.
        largest: The largest body of a request, in bytes.
        headers: Those of each request.
        version: What it says it is.
        strict: Its strict mode, for every collection that has none of its own.
        keep_alive: After how many seconds an idle connection is closed.
        replica: Another node's copy, which answers every second read; see `fall_behind`.
    """

    def __init__(self, port: int = 0) -> None:
        self.client = QdrantClient(":memory:")
        self.indexes: dict[str, dict[str, Any]] = {}
        self.lock = threading.Lock()
        self.faults = Faults()
        self.seen: Counter[str] = Counter()
        self.bodies: dict[str, Any] = {}
        self.largest = 0
        self.headers: list[Message] = []
        self.version = "1.18.3"
        self.strict = models.StrictModeConfig()
        self.strict_of: dict[str, models.StrictModeConfig] = {}
        self.keep_alive = 5.0
        self.replica: Replica | None = None
        self.created: dict[str, dict[str, Any]] = {}
        handler = type("Handler", (_Handler,), {"loopback": self})
        self.server = _Server(("127.0.0.1", port), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> LoopbackQdrant:
        # Stopping waits for the next poll.
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

    def fall_behind(self) -> None:
        """From now on, let one of two nodes know nothing that is written: `replica` is its copy."""
        with self.lock:
            self.replica = Replica(self.client)

    def wait_until_left(self) -> None:
        """Wait until whoever was connected is gone, and what they asked for is done."""
        with self.server.changed:
            assert self.server.changed.wait_for(lambda: not self.server.connections, timeout=60)

    def wait_for_connections(self, most: int) -> None:
        """Wait until no more than so many are open."""
        with self.server.changed:
            few = self.server.changed.wait_for(lambda: self.server.connections <= most, timeout=30)
            assert few, f"{self.server.connections} connections are open, expected {most}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.client.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # many coroutines connect at once

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connections = 0
        self.changed = threading.Condition()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # clients are killed, too
            super().handle_error(request, client_address)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.changed:
            self.connections += 1
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self.changed:
                self.connections -= 1
                self.changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    loopback: LoopbackQdrant
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = (
        True  # else each answer waits 40 ms for the client to confirm its head
    )

    def _answer(self) -> None:
        loopback = self.loopback
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        path = self.path.partition("?")[0]
        loopback.headers.append(self.headers)
        try:
            if loopback.faults.away > 0:
                loopback.faults.away -= 1
                raise Refusal(502, "<title>502 Bad Gateway</title>", plain=True)
            of_anybody = (self.command, path) == ("GET", "/")
            key = None if of_anybody else loopback.faults.api_key
            access = rights.access_of(self.headers, key)
            if size > qdrant_answers.MAX_BODY:
                raise qdrant_answers.too_large(size)
            loopback.largest = max(loopback.largest, size)
            act, arguments = _route(self.command, path)
            loopback.seen[act.__name__] += 1
            rights.check(access, act.__name__, arguments[0] if arguments else None)
            if act.__name__ in loopback.faults.forbidden:
                raise Refusal(403, "Forbidden: Global access is required")
            if act not in (exists, drop) and loopback.faults.broken.intersection(arguments):
                raise qdrant_answers.broken()
            parsed = loopback.bodies[act.__name__] = qdrant_answers.parse(body)
            if consistency := re.search(r"consistency=(\w+)", self.path):
                loopback.seen[f"{act.__name__} of {consistency[1]}"] += 1
                parsed = {**parsed, "consistency": consistency[1]}
            qdrant_answers.check_limits(act.__name__, parsed)
            self._check_strict_mode(act.__name__, parsed, arguments)
            with (
                loopback.faults.of_write(act.__name__, parsed, loopback.seen),
                loopback.lock,
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                result = self._result(act, parsed, arguments)
                if act in _LISTS:
                    result = _seen_by(access, result)
            if result == STATUS["result"] and "wait=true" not in self.path:
                result = {**result, "status": "acknowledged"}
            if tampered := loopback.faults.tampered.get(act.__name__):
                result = tampered(result)
            answer = {"result": result, "status": "ok", "time": 0.0}
            self._send(200, result if act is version else answer)
        except Refusal as refusal:
            self._refuse(refusal)
        except (ValidationError, ValueError, AssertionError) as error:
            self._refuse(qdrant_answers.refusal_of(error, path.split("/")[2]))
        except CutError:
            # Not a friendly end: a reset.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.loopback.keep_alive)

    def _result(self, act: Callable[..., Any], body: Any, arguments: tuple[str, ...]) -> Any:
        loopback, replica = self.loopback, self.loopback.replica
        if replica is None or not arguments:
            return act(loopback, body, *arguments)
        other = copy.copy(loopback)
        other.client = replica.client
        if replica.agrees(act.__name__, self.path):
            return common(act(loopback, body, *arguments), act(other, body, *arguments))
        return act(
            other if replica.answers(act.__name__, self.path) else loopback, body, *arguments
        )

    def _check_strict_mode(self, act: str, body: Any, arguments: tuple[str, ...]) -> None:
        name = _target(self.loopback, arguments[0]) if arguments else ""
        strict = self.loopback.strict_of.get(name, self.loopback.strict)
        indexes = {
            key: index["data_type"] for key, index in self.loopback.indexes.get(name, {}).items()
        }
        if refused := strict_mode.refusal(strict, act, body, indexes):
            raise Refusal(400, refused)

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _answer

    def _refuse(self, refusal: Refusal) -> None:
        error = {"status": {"error": refusal.reason}, "time": 0.0, "result": None}
        self._send(refusal.status, refusal.reason if refusal.plain else error, refusal.headers)

    def _send(
        self, status: int, answer: dict[str, Any] | str, headers: dict[str, str] | None = None
    ) -> None:
        done = isinstance(answer, dict) and answer.get("result") == STATUS["result"]
        if isinstance(answer, dict) and done and self.loopback.faults.acknowledged:
            answer = {**answer, "result": {"operation_id": 0, "status": "acknowledged"}}
        body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        try:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # the client gave up waiting

    def log_message(self, *_: Any) -> None:
        pass


# --- what each route does -----------------------------------------------------------------------


def collections(loopback: LoopbackQdrant, _: Any) -> Any:
    return _json(loopback.client.get_collections())


def exists(loopback: LoopbackQdrant, _: Any, name: str) -> Any:
    return {"exists": loopback.client.collection_exists(name)}


def info(loopback: LoopbackQdrant, _: Any, name: str) -> Any:
    answer = _json(loopback.client.get_collection(name))
    if (error := loopback.faults.red.get(name)) is not None:
        answer |= {"status": "red", "optimizer_status": {"error": error}}
    if loopback.faults.replicas > 1:
        answer["config"]["params"]["replication_factor"] = loopback.faults.replicas
    of_it = loopback.strict_of.get(_target(loopback, name), loopback.strict)
    strict = of_it.model_dump(exclude_none=True, exclude={"enabled"})
    answer["config"]["strict_mode_config"] = {**strict, "enabled": bool(strict)}
    _configuration(answer, loopback.created.get(_target(loopback, name), {}))
    answer["payload_schema"] = loopback.indexes.get(_target(loopback, name), {})
    return answer


def create(loopback: LoopbackQdrant, body: Any, name: str) -> Any:
    if name in {alias.alias_name for alias in loopback.client.get_aliases().aliases}:
        raise qdrant_answers.named_as_an_alias(name)
    if loopback.client.collection_exists(name):
        raise qdrant_answers.taken(name)
    # Unknown fields are ignored, as a server does.
    known = {key: body[key] for key in body.keys() & models.CreateCollection.model_fields.keys()}
    wanted = models.CreateCollection.model_validate(known)
    loopback.client.create_collection(
        name,
        vectors_config=wanted.vectors,
        sparse_vectors_config=wanted.sparse_vectors,
        metadata=wanted.metadata,
    )
    loopback.indexes[name] = {}
    loopback.created[name] = {key: value for key, value in known.items() if value is not None}
    if wanted.strict_mode_config is not None and wanted.strict_mode_config.enabled:
        loopback.strict_of[name] = wanted.strict_mode_config
    return True


_PARAMS = ("shard_number", "replication_factor", "write_consistency_factor", "on_disk_payload")
_CONFIGS = ("hnsw_config", "optimizers_config", "wal_config", "quantization_config")


def _configuration(answer: Any, created: dict[str, Any]) -> None:
    """Put into the info of a collection with which options it was created."""
    config = answer["config"]
    config["params"] |= {key: created[key] for key in _PARAMS if key in created}
    for key in _CONFIGS:
        if key in created:
            config[key] = {**(config.get(key) or {}), **created[key]}
    vectors = created.get("vectors") or {}
    if "size" in vectors:
        config["params"]["vectors"] |= vectors
    else:
        for name, options in vectors.items():
            config["params"]["vectors"][name] |= options


def update(loopback: LoopbackQdrant, body: Any, name: str) -> Any:
    _check_exists(loopback, name)
    if "metadata" in body:
        loopback.client.update_collection(name, metadata=body["metadata"])
    target = _target(loopback, name)
    created = loopback.created.setdefault(target, {})
    for key in body.keys() & {*_CONFIGS}:
        created[key] = {**created.get(key, {}), **body[key]}
    created.update(body.get("params") or {})
    if "strict_mode_config" in body:
        known = loopback.strict_of.get(target, models.StrictModeConfig())
        loopback.strict_of[target] = known.model_copy(update=body["strict_mode_config"])
    return True


def drop(loopback: LoopbackQdrant, _: Any, name: str) -> Any:
    for known in (loopback.indexes, loopback.created, loopback.strict_of):
        known.pop(name, None)
    return loopback.client.delete_collection(name)


def index(loopback: LoopbackQdrant, body: Any, name: str) -> Any:
    wanted = models.CreateFieldIndex.model_validate(body)
    _check_exists(loopback, name)
    schema = wanted.field_schema
    kind = schema if isinstance(schema, str) else schema.type  # type: ignore[union-attr]
    loopback.indexes[_target(loopback, name)][wanted.field_name] = {
        "data_type": getattr(kind, "value", kind),
        "points": 0,
        **({} if isinstance(schema, str) else {"params": body["field_schema"]}),
    }
    return STATUS["result"]


def upsert(loopback: LoopbackQdrant, body: Any, name: str) -> Any:
    wanted = models.PointsList.model_validate(body)
    loopback.client.upsert(name, wanted.points)
    return STATUS["result"]


def retrieve(loopback: LoopbackQdrant, body: Any, name: str) -> Any:
    agreeing, faults = body.pop("consistency", None), loopback.faults
    needed = {"all": faults.replicas, "quorum": faults.replicas // 2 + 1}.get(agreeing, 1)
    if faults.replicas - faults.down < needed:
        raise Refusal(500, "Service internal error: 1 of 2 read operations failed")
    wanted = models.PointRequest.model_validate(body)
    payload: Any = wanted.with_payload
    records = loopback.client.retrieve(
        name, wanted.ids, with_payload=payload, with_vectors=wanted.with_vector or False
    )
    if agreeing is not None and faults.lacking:
        whole = loopback.client.retrieve(name, wanted.ids)
        lacking = {
            one.id for one in whole if (one.payload or {}).get("page_content") in faults.lacking
        }
        records = [record for record in records if record.id not in lacking]
    return _json(records)


def delete(loopback: LoopbackQdrant, body: Any, name: str) -> Any:
    selector: Any = (
        models.FilterSelector.model_validate(body)
        if "filter" in body
        else models.PointIdsList.model_validate(body)
    )
    loopback.client.delete(name, selector)
    return STATUS["result"]


def set_payload(loopback: LoopbackQdrant, body: Any, name: str) -> Any:
    wanted = models.SetPayload.model_validate(body)
    loopback.client.set_payload(
        name, wanted.payload, points=wanted.points or wanted.filter or [], key=wanted.key
    )
    return STATUS["result"]


def scroll(loopback: LoopbackQdrant, body: Any, name: str) -> Any:
    body.pop("consistency", None)
    wanted = models.ScrollRequest.model_validate(body)
    records, following = loopback.client.scroll(
        name,
        scroll_filter=wanted.filter,
        limit=wanted.limit or 10,
        offset=wanted.offset,
        with_payload=True if wanted.with_payload is None else wanted.with_payload,
        with_vectors=wanted.with_vector or False,
    )
    return {"points": _json(records), "next_page_offset": following}


def count(loopback: LoopbackQdrant, body: Any, name: str) -> Any:
    wanted = models.CountRequest.model_validate(body)
    return _json(loopback.client.count(name, count_filter=wanted.filter))


def query(loopback: LoopbackQdrant, body: Any, name: str) -> Any:
    return _json(_query(loopback, name, models.QueryRequest.model_validate(body)))


def query_batch(loopback: LoopbackQdrant, body: Any, name: str) -> Any:
    wanted = models.QueryRequestBatch.model_validate(body)
    return [_json(_query(loopback, name, one)) for one in wanted.searches]


_FACETED = ("bool", "integer", "keyword", "uuid")


def facet(loopback: LoopbackQdrant, body: Any, name: str) -> Any:
    wanted = models.FacetRequest.model_validate(body)
    _check_exists(loopback, name)
    of_it = loopback.indexes[_target(loopback, name)].get(wanted.key, {})
    if of_it.get("data_type") not in _FACETED:
        raise Refusal(400, f"Wrong input: No appropriate index for faceting: `{wanted.key}`.")
    return _json(
        loopback.client.facet(
            name, key=wanted.key, facet_filter=wanted.filter, limit=wanted.limit or 10
        )
    )


def aliases(loopback: LoopbackQdrant, _: Any) -> Any:
    return _json(loopback.client.get_aliases())


def change_aliases(loopback: LoopbackQdrant, body: Any) -> Any:
    wanted = models.ChangeAliasesOperation.model_validate(body)
    for action in wanted.actions:
        if isinstance(action, models.CreateAliasOperation):
            _check_exists(loopback, action.create_alias.collection_name)
    return loopback.client.update_collection_aliases(wanted.actions)


def version(loopback: LoopbackQdrant, _: Any) -> Any:
    return {"title": "a stand-in for Qdrant in tests", "version": loopback.version}


_ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", r"/", version),
    ("GET", r"/collections", collections),
    ("POST", r"/collections/aliases", change_aliases),
    ("GET", r"/aliases", aliases),
    ("GET", r"/collections/([^/]+)/exists", exists),
    ("GET", r"/collections/([^/]+)", info),
    ("PUT", r"/collections/([^/]+)", create),
    ("PATCH", r"/collections/([^/]+)", update),
    ("DELETE", r"/collections/([^/]+)", drop),
    ("PUT", r"/collections/([^/]+)/index", index),
    ("PUT", r"/collections/([^/]+)/points", upsert),
    ("POST", r"/collections/([^/]+)/points", retrieve),
    ("POST", r"/collections/([^/]+)/points/delete", delete),
    ("POST", r"/collections/([^/]+)/points/payload", set_payload),
    ("POST", r"/collections/([^/]+)/points/scroll", scroll),
    ("POST", r"/collections/([^/]+)/points/count", count),
    ("POST", r"/collections/([^/]+)/facet", facet),
    ("POST", r"/collections/([^/]+)/points/query", query),
    ("POST", r"/collections/([^/]+)/points/query/batch", query_batch),
]


_LISTS = (collections, aliases)


def _seen_by(access: rights.Access, result: Any) -> Any:
    """Leave out of a list what somebody may not see."""
    return {
        kind: [
            one
            for one in found
            if rights.may_see(access, one["collection_name" if kind == "aliases" else "name"])
        ]
        for kind, found in result.items()
    }


def _route(method: str, path: str) -> tuple[Callable[..., Any], tuple[str, ...]]:
    from urllib.parse import unquote

    for verb, pattern, act in _ROUTES:
        found = re.fullmatch(pattern, path)
        if verb == method and found:
            return act, tuple(map(unquote, found.groups()))
    raise Refusal(404, "", plain=True)


def _query(loopback: LoopbackQdrant, name: str, wanted: models.QueryRequest) -> Any:
    answer = loopback.client.query_points(
        name,
        query=wanted.query,
        using=wanted.using,
        prefetch=wanted.prefetch,
        query_filter=wanted.filter,
        score_threshold=wanted.score_threshold,
        limit=wanted.limit or 10,
        offset=wanted.offset,
        with_payload=wanted.with_payload or False,
        with_vectors=wanted.with_vector or False,
    )
    if loopback.faults.tied:
        chance = loopback.faults.chance
        answer.points.sort(key=lambda point: (-point.score, chance.random()))
    return answer


def _check_exists(loopback: LoopbackQdrant, name: str) -> None:
    if not loopback.client.collection_exists(name):
        raise qdrant_answers.no_collection(name)


def _target(loopback: LoopbackQdrant, name: str) -> str:
    for alias in loopback.client.get_aliases().aliases:
        if alias.alias_name == name:
            return alias.collection_name
    return name


def _json(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    return [_json(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    running = LoopbackQdrant(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    sys.stdout.write(f"{running.url}\n")
    sys.stdout.flush()
    running.server.serve_forever()
