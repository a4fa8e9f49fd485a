"""The stand-in answers as a real server does: the same requests of both, compared."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.support.loopback_qdrant import LoopbackQdrant
from tests.support.protocol import Answer, ask, requests

NAME = f"protocol-{uuid.uuid4().hex[:8]}"
REQUESTS = requests(NAME, f"{NAME}-alias")

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
    return {request.name: ask(url, request) for request in REQUESTS}


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
