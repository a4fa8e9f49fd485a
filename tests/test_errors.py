"""Errors cross processes: each comes back as it was."""

from __future__ import annotations

import copy
import importlib
import multiprocessing
import pickle
import pkgutil
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

import multiqa_integrations
from multiqa_integrations import errors
from multiqa_integrations.errors import MultiQAError

REPORT = {"added": 3, "ids": ["a", "b"]}
EXAMPLES: list[MultiQAError] = [
    errors.ConfigurationError("a setting"),
    errors.MissingDependencyError("torch", "torch", "a GPU"),
    errors.ModelIntegrityError("two\nlines"),
    errors.TextError("all of it", index=None),
    errors.TextTypeError("not text", index=3),
    errors.TruncationError(index=3, tokens=600, limit=512, count=2),
    errors.CollectionMismatchError("differs", collection="c", expected={"a": 1}, actual={"a": 2}),
    errors.WriteRejectedError("refused", reasons={"a": "too large", "b": "no number"}),
    errors.SourceError("unreadable", source="s.csv", line=7),
    errors.PruneRefusedError("too many", report=REPORT),
    errors.SyncIncompleteError("stopped", report=REPORT),
]


def all_kinds() -> list[type[MultiQAError]]:
    unimported = ("__main__", "sentence_transformers")  # it exits; it takes torch
    others = {"torch", "sentence_transformers", "transformers", "ray"}  # may be missing here
    for module in pkgutil.walk_packages(multiqa_integrations.__path__, "multiqa_integrations."):
        if not module.name.endswith(unimported):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                if error.name not in others:
                    raise

    def below(kind: type[MultiQAError]) -> list[type[MultiQAError]]:
        return [kind, *(lower for direct in kind.__subclasses__() for lower in below(direct))]

    return sorted(set(below(MultiQAError)), key=lambda kind: kind.__qualname__)


def assert_same(back: MultiQAError, error: MultiQAError) -> None:
    assert back is not error
    assert type(back) is type(error)
    assert (str(back), repr(back), back.args) == (str(error), repr(error), error.args)
    assert vars(back) == vars(error)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error: MultiQAError, protocol: int) -> None:
    assert_same(pickle.loads(pickle.dumps(error, protocol)), error)


def test_an_import_error_keeps_what_python_has_it_say() -> None:
    error = errors.MissingDependencyError("torch", "torch", "a GPU")
    for back in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert back.msg == error.msg == str(error)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_can_be_copied(error: MultiQAError) -> None:
    assert_same(copy.copy(error), error)
    assert_same(copy.deepcopy(error), error)


def test_every_kind_survives_pickling_whatever_its_constructor_takes() -> None:
    kinds = all_kinds()
    assert {type(error) for error in EXAMPLES} < set(kinds)
    for kind in kinds:
        assert kind.__reduce__ is MultiQAError.__reduce__
        error = kind.__new__(kind, "a message")
        error.an_attribute = {"of": [kind.__name__]}  # type: ignore[attr-defined]
        assert_same(pickle.loads(pickle.dumps(error)), error)


class LaterError(errors.ModelNotFoundError):
    """One that somebody adds one day."""

    def __init__(self, *, where: str, tries: int = 1) -> None:
        super().__init__(f"nothing at {where}")
        self.where = where
        self.tries = tries


def test_a_kind_that_will_be_added_survives_too() -> None:
    error = LaterError(where="here", tries=3)
    assert_same(pickle.loads(pickle.dumps(error)), error)


def fail(error: Any) -> None:
    raise error


def test_an_error_comes_back_from_a_pool_of_processes() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for error in EXAMPLES:
            with pytest.raises(type(error)) as raised:
                pool.submit(fail, error).result(timeout=100)
            back = raised.value
            # The pool adds the traceback of the other process as the cause.
            assert (str(back), vars(back)) == (str(error), vars(error))
