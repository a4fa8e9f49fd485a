"""Documents of LangChain, as those of a collection and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from langchain_core.documents import Document

from multiqa_integrations import types
from multiqa_integrations.errors import ConfigurationError, TextTypeError


def to_collection(
    documents: Iterable[Document], ids: Sequence[str | None] | None
) -> Iterable[types.Document]:
    """Return documents for a collection; a generator's as it is read, unless ids are given.

    Raises:
        TextTypeError: Something is not a document.
        ConfigurationError: There are not as many ids as documents.
    """
    if not isinstance(documents, Iterable) or isinstance(documents, Document):
        raise TextTypeError(f"expected documents, got one {type(documents).__name__}. Pass a list.")
    converted = (_converted(index, document) for index, document in enumerate(documents))
    if ids is None:
        return list(converted) if isinstance(documents, Sequence) else converted
    if isinstance(ids, str | bytes) or not isinstance(ids, Sequence):
        raise ConfigurationError(f"ids is {ids!r}, expected a list with one for each document.")
    listed = list(converted)
    if len(ids) != len(listed):
        raise ConfigurationError(f"{len(ids)} ids for {len(listed)} documents.")
    return [
        document if id is None else replace(document, id=id)
        for document, id in zip(listed, ids, strict=True)
    ]


def _converted(index: int, document: object) -> types.Document:
    if not isinstance(document, Document):
        raise TextTypeError(
            f"document {index} is {type(document).__name__}, expected a Document of LangChain. "
            "Texts go to add_texts().",
            index=index,
        )
    return types.Document(document.page_content, document.id, document.metadata)


def to_langchain(document: types.Document | types.Hit) -> Document:
    """Return the document of LangChain for a document or hit of a collection."""
    return Document(id=document.id, page_content=document.text, metadata=dict(document.metadata))
