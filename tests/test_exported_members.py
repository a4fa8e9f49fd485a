"""The public surface. A change here is a change for users: put it in the change log."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest

import multiqa_integrations
from multiqa_integrations import MultiQAEncoder, errors, etl, llama_index, qdrant

PACKAGES = [
    "",
    ".backends",
    ".etl",
    ".evaluation",
    ".langchain",
    ".llama_index",
    ".qdrant",
    ".training",
    ".distributed",
]


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_exported_is_there(package: str) -> None:
    module = import_module(f"multiqa_integrations{package}")
    names: list[str] = module.__all__
    assert len(names) == len(set(names))
    assert all(getattr(module, name) is not None and name[0] != "_" for name in names)


def test_the_package() -> None:
    # Made when the program runs: unknown to type checkers.
    names: list[str] = vars(multiqa_integrations)["__all__"]
    assert sorted(names) == [
        *["Chunk", "Document", "Encoder", "Hit", "MULTI_QA", "ModelSpec", "MultiQAEmbeddings"],
        *["MultiQAEncoder", "chunk", "chunk_many"],
    ]


def test_the_settings() -> None:
    parameters = inspect.signature(MultiQAEncoder).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    assert defaults == {
        "model": None,
        "revision": None,
        "backend": "auto",
        "dtype": "auto",
        "device": "auto",
        "max_seq_length": None,
        "batch_tokens": None,
        "on_truncation": "warn",
        "cache_folder": None,
        "local_files_only": False,
        "threads": None,
    }
    kinds = {name: parameter.kind for name, parameter in parameters.items() if name != "model"}
    assert set(kinds.values()) == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", ["plan", "replay", "sync", "verify"])
def test_options_of_jobs_are_given_by_name(name: str) -> None:
    parameters = list(inspect.signature(getattr(etl, name)).parameters.values())
    assert {one.kind for one in parameters[2:-1]} == {inspect.Parameter.KEYWORD_ONLY}


def test_a_name_beside_the_other_adapter_s() -> None:
    assert llama_index.MultiQALlamaStore is llama_index.MultiQAVectorStore


def test_every_store_has_every_method() -> None:
    methods = {name for name in vars(qdrant.Store) if not name.startswith("_")}
    methods -= {"look_seconds", "parallel_writes"}  # nothing there to wait for
    twins = {name for name in methods if name[0] == "a" and name[1:] in methods}
    assert twins == {f"a{name}" for name in methods - twins}
    for store in (qdrant.EdgeStore, qdrant.ServerStore):
        for name in methods:
            given = inspect.signature(getattr(store, name))
            assert given == inspect.signature(getattr(qdrant.Store, name)), (store, name)


def test_the_error_tree() -> None:
    def tree(kind: type[Exception]) -> dict[str, Any]:
        kinds = [k for k in kind.__subclasses__() if k.__module__ == errors.__name__]
        return {k.__name__: tree(k) for k in kinds}

    assert tree(errors.MultiQAError) == {
        "ConfigurationError": {},
        "MissingDependencyError": {},
        "ModelError": {
            "ModelContractError": {},
            "ModelIntegrityError": {},
            "ModelNotFoundError": {},
        },
        "StoreError": {
            "CollectionMismatchError": {},
            "CollectionNotFoundError": {},
            "StoreClosedError": {},
            "StoreLimitError": {},
            "StoreLockedError": {},
            "StorePermissionError": {},
            "StoreUnavailableError": {},
            "WriteRejectedError": {},
        },
        "SyncError": {
            "LeaseError": {},
            "ClusterError": {},
            "PruneRefusedError": {},
            "SourceError": {"SourcePermissionError": {}, "SourceUnavailableError": {}},
            "SyncIncompleteError": {},
        },
        "TextError": {"TextTypeError": {}, "TruncationError": {}},
        "TrainingError": {},
    }


def test_errors_are_what_python_would_raise() -> None:
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.MissingDependencyError, ImportError)
    assert issubclass(errors.TextError, ValueError)
    assert issubclass(errors.TextTypeError, TypeError)
    assert issubclass(errors.TruncationWarning, UserWarning)
