"""Measures of the adapters of frameworks, against what their users have today."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from multiqa_integrations.benchmark.table import Column, Row, Table, present
from multiqa_integrations.benchmark.texts import first_texts, questions
from tests.benchmark.ratios import speed_ratios
from tests.benchmark.session import Session

Adapter = tuple[Callable[[list[str]], Sequence[Any]], Callable[[str], Sequence[float]]]


def langchain(session: Session) -> list[Table]:
    """Measure `MultiQAEmbeddings` against `HuggingFaceEmbeddings`."""
    return _compare(session, "langchain", ["MultiQAEmbeddings", "HuggingFaceEmbeddings"])


def llama_index(session: Session) -> list[Table]:
    """Measure `MultiQAEmbedding` against `HuggingFaceEmbedding`."""
    return _compare(session, "llama-index", ["MultiQAEmbedding", "HuggingFaceEmbedding"])


def load(name: str, model: str, limit_tokens: int) -> Adapter:
    """Load an adapter as its documentation says; returns how documents and queries are embedded.

    Args:
        name: The class.
        model: Directory of the checkpoint.
        limit_tokens: Longest text in word pieces.
    """
    return _LOADERS[name](model, limit_tokens)


def _langchain_ours(model: str, limit_tokens: int) -> Adapter:
    from multiqa_integrations.langchain import MultiQAEmbeddings

    ours = MultiQAEmbeddings(
        model=model, device="cpu", max_seq_length=limit_tokens, on_truncation="ignore"
    )
    return ours.embed_documents, ours.embed_query


def _langchain_theirs(model: str, limit_tokens: int) -> Adapter:
    from langchain_huggingface import HuggingFaceEmbeddings

    theirs = HuggingFaceEmbeddings(
        model_name=model, model_kwargs={"device": "cpu", "local_files_only": True}
    )
    theirs._client.max_seq_length = limit_tokens
    return theirs.embed_documents, theirs.embed_query


def _llama_index_ours(model: str, limit_tokens: int) -> Adapter:
    from multiqa_integrations.llama_index import MultiQAEmbedding

    ours = MultiQAEmbedding(
        model_name=model, device="cpu", max_seq_length=limit_tokens, on_truncation="ignore"
    )
    return ours.get_text_embedding_batch, ours.get_query_embedding


def _llama_index_theirs(model: str, limit_tokens: int) -> Adapter:
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    theirs = HuggingFaceEmbedding(
        model_name=model, device="cpu", max_length=limit_tokens, local_files_only=True
    )
    return theirs.get_text_embedding_batch, theirs.get_query_embedding


_LOADERS: dict[str, Callable[[str, int], Adapter]] = {
    "MultiQAEmbeddings": _langchain_ours,
    "HuggingFaceEmbeddings": _langchain_theirs,
    "MultiQAEmbedding": _llama_index_ours,
    "HuggingFaceEmbedding": _llama_index_theirs,
}


def _compare(session: Session, measure: str, names: list[str]) -> list[Table]:
    settings = session.settings
    texts = first_texts(settings.texts, settings.text_field, settings.samples)
    asked = questions()[: settings.queries]
    results, absent = session.in_turn(
        "adapter",
        names,
        texts=session.write("documents", texts),
        queries=session.write("queries", asked),
    )
    theirs = names[-1]
    ratio = f"× {theirs}"

    def values(name: str, key: str) -> list[float]:
        return [run[key] for run in results[name]] if name in results else []

    def ratios(name: str, key: str) -> list[float]:
        return speed_ratios(values(name, key), values(theirs, key) or None)

    rows = [
        Row(
            name,
            present(
                {
                    "first vector s": values(name, "first_s"),
                    f"first {ratio}": ratios(name, "first_s"),
                    "query p50 ms": [1000 * s for s in values(name, "query_s")],
                    f"query {ratio}": ratios(name, "query_s"),
                    "documents/s": [len(texts) / s for s in values(name, "documents_s")],
                    f"documents {ratio}": ratios(name, "documents_s"),
                    "peak MB": values(name, "peak_mb"),
                }
            ),
        )
        if name in results
        else Row(name, note=absent[name])
        for name in names
    ]
    columns = [
        *(Column("first vector s", 2), Column(f"first {ratio}", 1)),
        *(Column("query p50 ms", 2), Column(f"query {ratio}", 1)),
        *(Column("documents/s", 1), Column(f"documents {ratio}", 2), Column("peak MB")),
    ]
    lengths = np.mean([len(text) for text in texts])
    title = f"{len(texts):,} documents of {lengths:,.0f} characters, {len(asked)} queries"
    remark = "First vector: from the import of the adapter to the vector of one query."
    return [Table(measure, title, columns, rows, [remark])]
