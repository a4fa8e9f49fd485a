"""The demonstration: the documentation that every Python carries, searched by meaning."""

from __future__ import annotations

from dataclasses import dataclass
from pydoc_data.topics import topics

from multiqa_integrations.checkpoint import resolve
from multiqa_integrations.chunking import chunk_many
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import ModelNotFoundError
from multiqa_integrations.model import MULTI_QA
from multiqa_integrations.sibling import find_sibling
from multiqa_integrations.types import Document

COLLECTION = "python-help"

QUESTIONS = (
    "What happens when no exception handler is found?",
    "How does Python find a module to import?",
    "When is an object deleted from memory?",
    "What is the with statement good for?",
)


@dataclass(frozen=True, slots=True)
class DemoModel:
    """The model of the demonstration.

    Attributes:
        name: Hub name or directory.
        stands_in: Why another model than the true one is used; None if it is the true one.
    """

    name: str
    stands_in: str | None


def choose_model() -> DemoModel:
    """Find the true model, or its packaged sibling where the hub cannot be reached.

    The sibling is the same architecture with other weights: good for a demonstration, and its
    vectors are not comparable with the true model's.

    Raises:
        ModelNotFoundError: Neither is there.
    """
    try:
        resolve(MULTI_QA.name)
    except ModelNotFoundError as error:
        found = find_sibling()
        if found is None:
            raise
        return DemoModel(str(found), str(error))
    return DemoModel(MULTI_QA.name, None)


def python_passages(encoder: MultiQAEncoder) -> list[tuple[Document, int]]:
    """Cut Python's help topics into passages; returns each with its word pieces."""
    names = sorted(topics)
    passages = []
    for name, chunks in zip(
        names, chunk_many([topics[name] for name in names], encoder), strict=True
    ):
        for number, chunk in enumerate(chunks):
            document = Document(
                text=chunk.text,
                id=f"{name}#{number}",
                metadata={"topic": name, "start": chunk.start, "end": chunk.end},
            )
            passages.append((document, chunk.tokens))
    return passages
