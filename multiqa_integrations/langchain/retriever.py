"""A retriever that takes the options of a search where its users write them."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStoreRetriever
from pydantic import Field

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.langchain.options import check_search


class MultiQARetriever(VectorStoreRetriever):
    """Retrieve the documents closest to a query.

    `MultiQAVectorStore.as_retriever()` makes it. The options of a search may stand beside `k`
    (`filter={"tenant": "a"}`) or in `search_kwargs`; one that the search does not have is refused.

    Raises:
        ConfigurationError: An option is unknown, or stands twice.
    """

    k: int = Field(default=4, ge=1)
    """Most documents; `search_kwargs={"k": ...}` and `invoke(query, k=...)` override it."""

    def __init__(self, **settings: Any) -> None:
        fields = type(self).model_fields
        options = {name: settings.pop(name) for name in settings.keys() - fields.keys()}
        search_kwargs = dict(settings.get("search_kwargs") or {})
        if twice := sorted(options.keys() & search_kwargs.keys()):
            raise ConfigurationError(
                f"{', '.join(twice)} stands in search_kwargs and beside it. Leave one out."
            )
        settings["search_kwargs"] = search_kwargs | options
        check_search(settings.get("search_type", "similarity"), settings["search_kwargs"])
        super().__init__(**settings)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return super()._get_relevant_documents(
            query, run_manager=run_manager, **{"k": self.k, **self.search_kwargs, **kwargs}
        )

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return await super()._aget_relevant_documents(
            query, run_manager=run_manager, **{"k": self.k, **self.search_kwargs, **kwargs}
        )
