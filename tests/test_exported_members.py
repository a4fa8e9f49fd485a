"""The public surface. A change here is a change for users: put it in the change log."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import multiqa_integrations
from multiqa_integrations import (
    MultiQAEncoder,
    backends,
    errors,
    etl,
    evaluation,
    langchain,
    llama_index,
    qdrant,
)


def public(package: ModuleType) -> list[str]:
    names: list[str] = package.__all__  # made when the program runs: unknown to type checkers
    return names


def test_the_package() -> None:
    assert public(multiqa_integrations) == [
        "Chunk",
        "Document",
        "Encoder",
        "Hit",
        "MULTI_QA",
        "ModelSpec",
        "MultiQAEmbeddings",
        "MultiQAEncoder",
        "chunk",
        "chunk_many",
    ]


def test_the_encoder() -> None:
    members = [name for name in dir(MultiQAEncoder) if not name.startswith("_")]
    assert members == [
        "compute",
        "count_tokens",
        "dimension",
        "encode",
        "encode_document",
        "encode_query",
        "encode_stream",
        "fingerprint",
        "load",
        "max_seq_length",
        "settings",
        "similarity",
        "spec",
        "tokenizer",
    ]


def test_the_settings() -> None:
    parameters = inspect.signature(MultiQAEncoder).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    assert defaults == {
        "model": "sentence-transformers/multi-qa-MiniLM-L6-cos-v1",
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


def test_qdrant() -> None:
    assert qdrant.__all__ == [
        "Collection",
        "CollectionInfo",
        "CollectionReport",
        "CollectionSchema",
        "EdgeStore",
        "MigrationReport",
        "Point",
        "PointQuery",
        "ScoredPoint",
        "ServerStore",
        "SparseVector",
        "Store",
        "Uploader",
        "check_collection",
        "copy",
        "ensure_collection",
        "open_store",
        "reembed",
    ]
    assert all(getattr(qdrant, name) is not None for name in qdrant.__all__)


def test_the_adapters() -> None:
    assert public(langchain) == [
        "MultiQAEmbeddings",
        "MultiQARetriever",
        "MultiQAVectorStore",
        "WordPieceTextSplitter",
        "uuid5_key_encoder",
    ]
    assert public(llama_index) == [
        "MultiQAEmbedding",
        "MultiQALlamaStore",
        "MultiQAVectorStore",
        "WordPieceNodeParser",
    ]
    assert llama_index.MultiQALlamaStore is llama_index.MultiQAVectorStore
    for room in (langchain, llama_index):
        assert all(getattr(room, name) is not None for name in public(room))


def test_the_evaluation() -> None:
    assert evaluation.__all__ == [
        "METRICS",
        "Comparison",
        "Configuration",
        "Dataset",
        "Evaluation",
        "Hits",
        "Lengths",
        "Report",
        "Result",
        "compare",
        "evaluate",
        "read_dataset",
        "score",
        "search_exactly",
        "write_run",
    ]
    assert all(getattr(evaluation, name) is not None for name in evaluation.__all__)


def test_jobs() -> None:
    assert etl.__all__ == [
        *["BadRecord", "Fields", "JobOptions", "PlanReport", "Progress", "Record", "Rejection"],
        *["ReplayReport", "Source", "SyncReport", "VerifyReport", "aio", "open_source", "plan"],
        *["replay", "sync", "verify"],
    ]
    assert all(getattr(etl, name) is not None for name in etl.__all__)
    for name in ("plan", "replay", "sync", "verify"):
        parameters = list(inspect.signature(getattr(etl, name)).parameters.values())
        assert {one.kind for one in parameters[2:-1]} == {inspect.Parameter.KEYWORD_ONLY}


def test_every_store_has_every_method() -> None:
    methods = {name for name in vars(qdrant.Store) if not name.startswith("_")}
    methods -= {"parallel_writes", "quantization"}  # nothing there to wait for
    twins = {name for name in methods if name[0] == "a" and name[1:] in methods}
    assert twins == {f"a{name}" for name in methods - twins}
    for store in (qdrant.EdgeStore, qdrant.ServerStore):
        for name in methods:
            given = inspect.signature(getattr(store, name))
            assert given == inspect.signature(getattr(qdrant.Store, name)), (store, name)


def test_a_collection() -> None:
    members = [name for name in dir(qdrant.Collection) if not name.startswith("_")]
    assert members == [
        *["aadd", "aclose", "acount", "add", "adelete", "aget", "ammr", "ammr_by_vector", "aopen"],
        *["asearch", "asearch_batch", "asearch_by_vector", "close", "count", "delete", "get"],
        *["mmr", "mmr_by_vector", "open", "search", "search_batch", "search_by_vector"],
    ]


def test_the_choice_of_a_backend() -> None:
    assert {"Backend", "Compute", "check", "choose", "load"} <= set(backends.__all__)


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
            "StoreLockedError": {},
            "StoreUnavailableError": {},
            "WriteRejectedError": {},
        },
        "SyncError": {
            "LeaseError": {},
            "PruneRefusedError": {},
            "SourceError": {},
            "SyncIncompleteError": {},
        },
        "TextError": {"TextTypeError": {}, "TruncationError": {}},
    }


def test_errors_are_what_python_would_raise() -> None:
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.MissingDependencyError, ImportError)
    assert issubclass(errors.TextError, ValueError)
    assert issubclass(errors.TextTypeError, TypeError)
    assert issubclass(errors.TruncationWarning, UserWarning)
