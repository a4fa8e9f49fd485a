"""A stand-in for a Qdrant server, on this machine's loopback address. It is not Qdrant.

The REST routes that this package uses, answered by qdrant-client's local mode (in memory, one
call at a time), with faults that a test switches on. It proves requests, answers and what is
done about failures; not what a real server does with them.

It outlives its clients, so that they can be killed:

    python tests/support/loopback_qdrant.py 16333        # until it is stopped
"""

from __future__ import annotations

import itertools
import json
import random
import re
import socket
import struct
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import BaseModel, ValidationError
from qdrant_client import QdrantClient, models

from tests.support import qdrant_answers, strict_mode
from tests.support.qdrant_answers import Refusal

STATUS = {"result": {"operation_id": 0, "status": "completed"}}


class Hold:
    """A gate that lets some requests through, then none until it is opened.

    Attributes:
        reached: A request waits.
    """

    def __init__(self, let_through: int = 0) -> None:
        self.reached = threading.Event()
        self._numbers = itertools.count()
        self._let_through = let_through
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def pass_or_wait(self) -> None:
        if next(self._numbers) >= self._let_through:
            self.reached.set()
            self._opened.wait(60)


@dataclass
class Faults:
    """What goes wrong, mostly with requests that write points; every share is a chance from 0 to 1.

    Attributes:
        throttled: 429 with Retry-After.
        too_busy: 429 without, for requests of more than `too_busy_above` points.
        too_busy_above: See there.
        unavailable: 503.
        reset_before: The connection is cut before the request is carried out.
        reset_after: It is cut afterwards, instead of an answer.
        slow: The answer takes `slow_seconds`.
        slow_seconds: See there.
        bad: Points with these numbers in the payload's field "n" make the whole request a 400.
        bad_texts: As `bad`, by the payload's "page_content".
        away: So many requests of any kind are answered 502, as by a proxy whose server restarts.
        broken: Collections that cannot be read.
        red: Collections whose optimizer has failed, and why.
        at_most: So many faults of chance in all; then there are no more.
        hold: From some request on, each waits before it is carried out.
        acknowledged: The answer is "acknowledged", as if one had not waited.
        api_key: Requests without this key are refused.
        forbidden: Requests of these kinds take more rights than the key has.
        replicas: How many each shard has, as far as the collections say.
        lacking: Points with these texts are not on all of them.
        down: How many of their nodes do not answer.
        tampered: What another result requests of a kind get, as of a broken server or a proxy.
        chance: Where chances come from.
    """

    throttled: float = 0.0
    too_busy: float = 0.0
    too_busy_above: int = 8
    unavailable: float = 0.0
    reset_before: float = 0.0
    reset_after: float = 0.0
    slow: float = 0.0
    slow_seconds: float = 3.0
    bad: frozenset[int] = frozenset()
    bad_texts: frozenset[str] = frozenset()
    away: int = 0
    broken: set[str] = field(default_factory=set)
    red: dict[str, str] = field(default_factory=dict)
    at_most: int | None = None
    hold: Hold | None = None
    acknowledged: bool = False
    api_key: str | None = None
    forbidden: frozenset[str] = frozenset()
    replicas: int = 1
    lacking: frozenset[str] = frozenset()
    down: int = 0
    tampered: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    chance: random.Random = field(default_factory=lambda: random.Random(7))


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
        strict: Its strict mode, for every collection.
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
        handler = type("Handler", (_Handler,), {"loopback": self})
        self.server = _Server(("127.0.0.1", port), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> LoopbackQdrant:
        # Stopping waits for the next poll.
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

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
            key = loopback.faults.api_key
            if key is not None and self.headers.get("api-key") != key:
                raise qdrant_answers.no_key()
            if size > qdrant_answers.MAX_BODY:
                raise qdrant_answers.too_large(size)
            loopback.largest = max(loopback.largest, size)
            act, arguments = _route(self.command, path)
            loopback.seen[act.__name__] += 1
            if act.__name__ in loopback.faults.forbidden:
                raise Refusal(403, "Forbidden: Global access is required")
            if act not in (exists, drop) and loopback.faults.broken.intersection(arguments):
                raise qdrant_answers.broken()
            parsed = loopback.bodies[act.__name__] = qdrant_answers.parse(body)
            if consistency := re.search(r"consistency=(\w+)", self.path):
                loopback.seen[f"{act.__name__} of {consistency[1]}"] += 1
                parsed = {**parsed, "consistency": consistency[1]}
            qdrant_answers.check_limits(act.__name__, parsed)
            if refused := strict_mode.refusal(loopback.strict, act.__name__, parsed):
                raise Refusal(400, refused)
            with self._faults(act.__name__, parsed), loopback.lock, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = act(loopback, parsed, *arguments)
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
        except _CutError:
            # Not a friendly end: a reset.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _answer

    @contextmanager
    def _faults(self, act: str, body: dict[str, Any]) -> Iterator[None]:
        if act not in ("upsert", "delete", "set_payload"):
            yield
            return
        faults, seen = self.loopback.faults, self.loopback.seen

        def happens(name: str) -> bool:
            if faults.at_most == 0 or faults.chance.random() >= getattr(faults, name):
                return False
            if faults.at_most is not None:
                faults.at_most -= 1
            seen[name] += 1
            return True

        if faults.hold is not None:
            faults.hold.pass_or_wait()
        points = body.get("points", [])
        if happens("throttled"):
            raise Refusal(429, "Rate limiting exceeded", headers={"Retry-After": "1"})
        if len(points) > faults.too_busy_above and happens("too_busy"):
            raise Refusal(429, "Write rate limit exceeded: the request is too large")
        if happens("unavailable"):
            raise Refusal(503, "Service Unavailable")
        if happens("reset_before"):
            raise _CutError
        if act == "upsert":
            for point in points:
                payload = point.get("payload") or {}
                number, text = payload.get("n"), payload.get("page_content")
                if (isinstance(number, int) and number in faults.bad) or text in faults.bad_texts:
                    seen["bad"] += 1
                    raise Refusal(400, f"Wrong input: point {point['id']} is not to our taste")
        slow = happens("slow")
        if slow:
            time.sleep(faults.slow_seconds)
        try:
            yield
        finally:
            seen["carried out late"] += slow
        if happens("reset_after"):
            raise _CutError

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


class _CutError(Exception):
    """The connection is to be reset."""


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
    strict = loopback.strict.model_dump(exclude_none=True)
    answer["config"]["strict_mode_config"] = {**strict, "enabled": bool(strict)}
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
    return True


def update(loopback: LoopbackQdrant, body: Any, name: str) -> Any:
    _check_exists(loopback, name)
    loopback.client.update_collection(name, metadata=body.get("metadata"))
    return True


def drop(loopback: LoopbackQdrant, _: Any, name: str) -> Any:
    loopback.indexes.pop(name, None)
    return loopback.client.delete_collection(name)


def index(loopback: LoopbackQdrant, body: Any, name: str) -> Any:
    wanted = models.CreateFieldIndex.model_validate(body)
    _check_exists(loopback, name)
    schema = wanted.field_schema
    kind = schema if isinstance(schema, str) else schema.type  # type: ignore[union-attr]
    loopback.indexes[_target(loopback, name)][wanted.field_name] = {
        "data_type": getattr(kind, "value", kind),
        "points": 0,
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
    ("POST", r"/collections/([^/]+)/points/query", query),
    ("POST", r"/collections/([^/]+)/points/query/batch", query_batch),
]


def _route(method: str, path: str) -> tuple[Callable[..., Any], tuple[str, ...]]:
    from urllib.parse import unquote

    for verb, pattern, act in _ROUTES:
        found = re.fullmatch(pattern, path)
        if verb == method and found:
            return act, tuple(map(unquote, found.groups()))
    raise Refusal(404, "", plain=True)


def _query(loopback: LoopbackQdrant, name: str, wanted: models.QueryRequest) -> Any:
    return loopback.client.query_points(
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
