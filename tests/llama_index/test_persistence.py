"""An index that is built in one process and asked in another."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import json, sys
from llama_index.core import Document, StorageContext, VectorStoreIndex
from multiqa_integrations.llama_index import (
    MultiQAEmbedding, MultiQAVectorStore, WordPieceNodeParser,
)

model, folder, task = sys.argv[1:]
embedding = MultiQAEmbedding(model_name=model, dtype="float32")
with MultiQAVectorStore("facts", path=folder, embedding=embedding) as store:
    if task == "build":
        texts = json.load(sys.stdin)
        index = VectorStoreIndex.from_documents(
            [Document(text=text, id_=f"{n}", metadata={"n": n}) for n, text in enumerate(texts)],
            storage_context=StorageContext.from_defaults(vector_store=store),
            embed_model=embedding,
            transformations=[WordPieceNodeParser(embedding=embedding)],
        )
        index.storage_context.persist(f"{folder}/../storage")
    else:
        index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    hits = []
    for question in ["What stops it?", "How often is oil needed?", "Who may open the door?"]:
        for hit in index.as_retriever(similarity_top_k=4).retrieve(question):
            node = hit.node
            hits.append([node.node_id, node.ref_doc_id, node.text, node.metadata, hit.score])
print(json.dumps(hits))
"""

TEXTS = [
    "The red button stops the machine.",
    "The green button starts the machine.",
    "Oil the chain once a year.",
    "The foreman alone may open the door.",
    "Wear gloves while the chain is warm.",
    "Doors are painted yellow on the inside. " * 60,
]


def run(test_model: Path, folder: Path, task: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(test_model), str(folder), task],
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_another_process_finds_the_same(test_model: Path, tmp_path: Path) -> None:
    built = run(test_model, tmp_path / "collections", "build")
    assert [hit[1] for hit in built[::4]] == ["0", "2", "3"]
    assert run(test_model, tmp_path / "collections", "ask") == built
