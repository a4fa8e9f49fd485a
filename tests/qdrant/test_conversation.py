"""One conversation, by every way to every engine: the same answers."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from multiqa_integrations.errors import ConfigurationError, MultiQAError
from multiqa_integrations.qdrant import Collection
from multiqa_integrations.testing import FakeEncoder
from tests.support.engines import WAYS, Way

TEXTS = ["The red button stops it.", "Oil the chain once a year.", "The chain is under the lid."]
IDS = ["stop", "oil", "7"]
OPENED: dict[str, Any] = {
    "encoder": FakeEncoder(),
    "sparse": True,
    "payload_indexes": {"metadata.n": "integer"},
}

Question = tuple[str, tuple[Any, ...], dict[str, Any]]


def ask(method: str, /, *args: Any, **kwargs: Any) -> Generator[Question, Any, Any]:
    return (yield method, args, kwargs)


def first(n: int) -> models.Filter:
    condition = models.FieldCondition(key="metadata.n", range=models.Range(lt=n))
    return models.Filter(must=[condition])


def conversation() -> Generator[Question, Any, list[Any]]:
    """Yield what a collection is asked; return what is the same wherever it is asked."""
    said: list[Any] = []
    metadatas = [{"n": n, "big": 1 << 60, "none": None} for n in range(3)]
    said.append((yield from ask("add", TEXTS, ids=IDS, metadatas=metadatas)))
    said.append((yield from ask("count")))
    said.append((yield from ask("count", filter=first(2))))
    for options in ({}, {"filter": first(2)}, {"exact": True}, {"offset": 1}, {"hybrid": True}):
        hits = yield from ask("search", TEXTS[1], limit=2, **options)
        said.append([(hit.id, hit.text, hit.metadata, round(hit.score, 4)) for hit in hits])
    hits = yield from ask("search", TEXTS[0], limit=1, with_vectors=True)
    said.append([round(float(number), 4) for number in hits[0].vector[:5]])
    answers = yield from ask("search_batch", TEXTS, limit=1)
    said.append([[hit.id for hit in hits] for hits in answers])
    said.append([hit.id for hit in (yield from ask("mmr", TEXTS[0], limit=2, diversity=0.3))])
    said.append([one.text for one in (yield from ask("get", ["7", "nobody", "stop"]))])
    yield from ask("add", ["New."], ids=["stop"], metadatas=[{"n": 9}])
    said.append([(one.text, one.metadata) for one in (yield from ask("get", ["stop"]))])
    for method, wrong in (
        ("search", {"filter": models.Filter(should=[])}),
        ("search", {"colour": "red"}),
        ("delete", {"filter": models.Filter()}),
    ):
        try:
            yield from ask(method, *([TEXTS[0]] if method == "search" else []), **wrong)
        except MultiQAError as error:
            said.append(type(error))
    yield from ask("delete", ["oil"])
    said.append((yield from ask("count")))
    yield from ask("delete", filter=first(9))
    said.append((yield from ask("count")))
    return said


class Speaker:
    """Asks a collection the questions of a conversation, and hands the answers on."""

    def __init__(self) -> None:
        self.steps = conversation()
        self.said: list[Any] | None = None
        self.question: Question | None = None
        self.hear(None)

    def hear(self, answer: Any) -> None:
        try:
            if isinstance(answer, MultiQAError):
                self.question = self.steps.throw(answer)
            else:
                self.question = self.steps.send(answer)
        except StopIteration as end:
            self.question, self.said = None, end.value


def by_methods(where: dict[str, Any], name: str, *, drops: bool = True) -> Any:
    speaker = Speaker()
    with Collection.open(name, **OPENED, **where) as docs:
        while speaker.question is not None:
            method, args, kwargs = speaker.question
            try:
                answer = getattr(docs, method)(*args, **kwargs)
            except MultiQAError as error:
                answer = error
            speaker.hear(answer)
        assert not drops or docs.store.drop(name)
    return speaker.said


async def by_coroutines(where: dict[str, Any], name: str, *, drops: bool = True) -> Any:
    speaker = Speaker()
    async with await Collection.aopen(name, **OPENED, **where) as docs:
        while speaker.question is not None:
            method, args, kwargs = speaker.question
            try:
                answer = await getattr(docs, f"a{method}")(*args, **kwargs)
            except MultiQAError as error:
                answer = error
            speaker.hear(answer)
        assert not drops or await docs.store.adrop(name)
    return speaker.said


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the embedded engine says."""
    said = by_methods({"path": tmp_path_factory.mktemp("expected")}, "docs")
    assert said[:3] == [IDS, 3, 2]
    assert said[3][0][:2] == ("oil", TEXTS[1])
    assert said[-5:] == [*[ConfigurationError] * 3, 2, 1]
    return said


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_the_same_answers_by_every_way(
    way: Way, name: str, tmp_path: Path, request: pytest.FixtureRequest, expected: Any
) -> None:
    # On disk the client leaves the database of a collection that it drops open.
    drops = way.engine != "disk"
    with way.open(tmp_path / "store", request) as where:
        if way.calls == "sync":
            assert by_methods(where, name, drops=drops) == expected
        else:

            async def talk() -> Any:
                try:
                    return await by_coroutines(where, name, drops=drops)
                finally:
                    if way.client == "given async":
                        await where["client"].close()

            assert asyncio.run(talk()) == expected
