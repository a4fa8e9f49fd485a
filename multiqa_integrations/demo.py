"""The demonstration: the documentation that every Python carries, searched by meaning."""

from __future__ import annotations

from dataclasses import dataclass
from pydoc_data.topics import topics

from multiqa_integrations._test_model import find_test_model
from multiqa_integrations.checkpoint import resolve
from multiqa_integrations.chunking import chunk_many
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import ModelNotFoundError
from multiqa_integrations.model import MULTI_QA
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
        stands_in: Why the test model is used instead of the default model; None if it is not.
    """

    name: str
    stands_in: str | None


def choose_model() -> DemoModel:
    """Return the default model, or the test model where the hub cannot be reached.

    The test model has the same architecture and other weights: good for a demonstration, and its
    vectors are not comparable with the default model's.

    Raises:
        ModelNotFoundError: Neither exists on this machine.
    """
    try:
        resolve(MULTI_QA.name)
    except ModelNotFoundError as error:
        test_model = find_test_model()
        if test_model is None:
            raise
        return DemoModel(str(test_model), str(error))
    return DemoModel(MULTI_QA.name, None)


def python_chunks(encoder: MultiQAEncoder) -> list[tuple[Document, int]]:
    """Split Python's help topics into chunks; returns each with its word pieces."""
    names = sorted(topics)
    documents = []
    for name, chunks in zip(
        names, chunk_many([topics[name] for name in names], encoder), strict=True
    ):
        for number, chunk in enumerate(chunks):
            document = Document(
                text=chunk.text,
                id=f"{name}#{number}",
                metadata={"topic": name, "start": chunk.start, "end": chunk.end},
            )
            documents.append((document, chunk.tokens))
    return documents
