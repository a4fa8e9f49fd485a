from __future__ import annotations

from pathlib import Path

import pytest

from multiqa_integrations.llama_index import MultiQAEmbedding


@pytest.fixture(scope="session")
def embedding(sibling: Path) -> MultiQAEmbedding:
    """The embedding model of most tests: exact, and without a word on truncation at 256."""
    return MultiQAEmbedding(model_name=str(sibling), dtype="float32", max_seq_length=512)
