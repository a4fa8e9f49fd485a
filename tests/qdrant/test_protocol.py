"""The stand-in answers as a real server does: the same requests of both, compared."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.support.faults import Faults
from tests.support.loopback_qdrant import LoopbackQdrant
from tests.support.protocol import (
    ACCESS,
    Answer,
    ask,
    requests,
    rights_requests,
    settings_requests,
    strict_requests,
)
from tests.support.rights import token

NAME = f"protocol-{uuid.uuid4().hex[:8]}"
REQUESTS = [
    *requests(NAME, f"{NAME}-alias"),
    *strict_requests(NAME),
    *settings_requests(NAME),
]

ANY_KIND = (
    "bool, datetime, float, geo, integer, keyword, text, text (with phrase_matching: true), uuid"
)


def _above(name: str, value: int, limit: int) -> str:
    return (
        f'Bad request: Limit exceeded {value} > {limit} for "{name}". Help: Reduce the "{name}" '
        f"parameter to or below {limit}."
    )


def _unindexed(key: str, kinds: str) -> str:
    return (
        f'Bad request: Index required but not found for "{key}" of one of the following types: '
        f"[{kinds}]. Help: Create an index for this key or use a different filter."
    )


# What 1.18.3 answers, where nothing real is there to be asked: status, and the first words.
REFUSED = {
    "info of nothing": (404, "Not found"),
    "create again": (409, "Wrong input"),
    "create without a size": (400, "Format error in JSON body"),
    "create with size 0": (400, "Format error in JSON body"),
    "upsert nothing": (400, "Bad request"),
    "upsert nowhere": (404, "Not found"),
    "upsert another size": (400, "Wrong input"),
    "upsert a bad id": (400, "Format error in JSON body"),
    "upsert no JSON": (400, "Format error in JSON body"),
    "retrieve nowhere": (404, "Not found"),
    "count nowhere": (404, "Not found"),
    "scroll by 0": (422, "Validation error in JSON body"),
    "query by 0": (422, "Validation error in JSON body"),
    "query another size": (400, "Wrong input"),
    "query an unknown vector": (400, "Wrong input"),
    "index nowhere": (404, "Not found"),
    "index of an unknown kind": (400, "Format error in JSON body"),
    "change metadata nowhere": (404, "Not found"),
    "alias of nothing": (404, "Not found"),
    "create named as the alias": (400, "Wrong input"),
    "delete points nowhere": (404, "Not found"),
    "delete by nothing": (400, "Format error in JSON body"),
    "no such route": (404, ""),
    **{
        f"limit: {label}": (400, _above("limit", value, 2))
        for label, value in {
            "query": 3,
            "query by default": 10,
            "prefetch": 5,
            "scroll": 3,
            "facet": 5,
            "batch": 3,
        }.items()
    },
    **{
        f"unindexed: {label}": (400, _unindexed(key, kinds))
        for label, (key, kinds) in {
            "scroll match": ("u", "keyword"),
            "scroll any": ("u", "integer"),
            "scroll true": ("u", "bool"),
            "scroll text": ("u", "text"),
            "scroll range": ("k", "float, integer"),
            "scroll empty": ("u", ANY_KIND),
            "scroll null": ("u", ANY_KIND),
            "scroll nested": ("o[].u", "keyword"),
            "scroll deep": ("u", "keyword"),
            "count": ("u", "keyword"),
            "delete": ("u", "keyword"),
            "query": ("u", "keyword"),
        }.items()
    },
    **{
        f"conditions: {label}": (
            400,
            "Bad request: Filter condition limit reached (3 > 2). Help: Reduce the amount of "
            "conditions of your filter.",
        )
        for label in ("three", "within")
    },
    **{
        f"conditions: {label}": (
            400,
            "Bad request: Condition size limit reached (3 > 2). Help: Reduce the size of your "
            "condition.",
        )
        for label in ("values", "ids")
    },
    "search: ef": (400, _above("hnsw_ef", 11, 10)),
    "search: exact": (400, "Bad request: Exact search disabled!. Help: Set exact=false."),
    "search: count": (400, "Bad request: Exact search disabled!. Help: Set exact=false."),
    "search: oversampling": (400, _above("oversampling", 2, 1)),
    "search: batch": (400, _above("search batch size", 2, 1)),
    "search: upsert": (400, _above("upsert limit", 3, 2)),
    "search: another index": (
        400,
        "Bad request: Collection already has the maximum number of payload indices (1). Help: "
        "Please delete an existing index before creating a new one.",
    ),
    **{
        f"settings: facet {label}": (400, "Wrong input")
        for label in ("of nothing", "datetime", "float", "geo", "text")
    },
}


@pytest.fixture(scope="module")
def ours() -> Iterator[dict[str, Answer]]:
    with LoopbackQdrant() as running:
        yield {request.name: ask(running.url, request) for request in REQUESTS}


@pytest.fixture(scope="module")
def theirs() -> dict[str, Answer]:
    url = os.environ.get("MULTIQA_TEST_QDRANT_URL")
    if url is None:
        pytest.skip("no server: set MULTIQA_TEST_QDRANT_URL")
    key = os.environ.get("MULTIQA_TEST_QDRANT_API_KEY")
    return {request.name: ask(url, request, key) for request in REQUESTS}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(ours: dict[str, Answer], name: str) -> None:
    assert ours[name] == REFUSED[name]


@pytest.mark.parametrize(
    "name", [request.name for request in REQUESTS if request.name not in REFUSED]
)
def test_what_is_done(ours: dict[str, Answer], name: str) -> None:
    assert ours[name][0] == 200


@pytest.mark.server
@pytest.mark.parametrize("name", [request.name for request in REQUESTS])
def test_a_real_server_answers_the_same(
    ours: dict[str, Answer], theirs: dict[str, Answer], name: str
) -> None:
    assert ours[name] == theirs[name]


# --- rights -------------------------------------------------------------------------------------

KEY = "the key"
WHO = f"rights-{uuid.uuid4().hex[:8]}"
ASKED = rights_requests(WHO)


def answers(url: str, key: str) -> dict[str, dict[str, Answer]]:
    """Ask everything, by everybody who is in `ACCESS`."""
    made = {"vectors": {"size": 3, "distance": "Dot"}}
    names = [f"/collections/{WHO}-{letter}" for letter in "ab"]
    for path in names:
        assert httpx.put(url + path, json=made, headers={"api-key": key}).status_code == 200
    found = {}
    for who, claims in ACCESS.items():
        if isinstance(claims, dict):
            claims = json.loads(json.dumps(claims).replace("{}", WHO))
            given: str | None = token(key, **claims)
        else:
            given = claims
        found[who] = {request.name: ask(url, request, given) for request in ASKED}
    for path in names:
        httpx.delete(url + path, headers={"api-key": key})
    return found


@pytest.fixture(scope="module")
def our_rights() -> Iterator[dict[str, dict[str, Answer]]]:
    with LoopbackQdrant() as running:
        running.faults = Faults(api_key=KEY)
        yield answers(running.url, KEY)


@pytest.mark.slow
def test_who_may_do_what(our_rights: dict[str, dict[str, Answer]]) -> None:
    def allowed(who: str) -> set[str]:
        return {name for name, (status, _) in our_rights[who].items() if status == 200}

    everything = {request.name for request in ASKED}
    reads = ("info", "exists", "retrieve", "scroll", "count", "query", "batch", "facet")
    lists = {"version", "list", "aliases"}
    of_one = {f"{read} one" for read in reads} | lists
    assert allowed("none") == allowed("another") == {"version"}
    assert allowed("expired") == allowed("unknown") == {"version"}
    assert allowed("manage") == everything
    assert allowed("read") == of_one | {f"{read} other" for read in reads}
    assert allowed("read one") == of_one
    assert allowed("points of one") == of_one | {"upsert one", "delete one"}
    assert allowed("write one") == of_one | {"upsert one", "delete one", "index one"}


@pytest.fixture(scope="module")
def their_rights() -> dict[str, dict[str, Answer]]:
    url, key = (os.environ.get(f"MULTIQA_TEST_QDRANT_{name}") for name in ("URL", "API_KEY"))
    if url is None or key is None:
        pytest.skip("no server with a key: set MULTIQA_TEST_QDRANT_URL and ..._API_KEY")
    return answers(url, key)


@pytest.mark.server
@pytest.mark.parametrize("who", ACCESS)
def test_a_real_server_gives_the_same_rights(
    our_rights: dict[str, dict[str, Answer]], their_rights: dict[str, dict[str, Answer]], who: str
) -> None:
    assert our_rights[who] == their_rights[who]
