"""A retriever whose `k` is a field."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStoreRetriever
from pydantic import Field, model_validator


class MultiQARetriever(VectorStoreRetriever):
    """Retrieve the documents closest to a query.

    `MultiQAVectorStore.as_retriever()` makes it.
    """

    k: int = Field(default=4, ge=1)
    """How many documents are wanted; `invoke(query, k=...)` overrides it."""

    @model_validator(mode="before")
    @classmethod
    def _k_of_search_kwargs(cls, values: dict[str, Any]) -> dict[str, Any]:
        given = values.get("search_kwargs") or {}
        return {"k": given["k"], **values} if "k" in given else values

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return super()._get_relevant_documents(
            query, run_manager=run_manager, **{"k": self.k, **kwargs}
        )

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return await super()._aget_relevant_documents(
            query, run_manager=run_manager, **{"k": self.k, **kwargs}
        )
