"""Keys for LangChain's `index()` that Qdrant accepts as ids."""

from __future__ import annotations

import json
import uuid

from langchain_core.documents import Document

# Never change it: documents that were indexed are found again by it.
_NAMESPACE = uuid.UUID("8b1b8a2b-34f0-5b8c-9d2e-4a2f7c1d6e53")


def uuid5_key_encoder(document: Document) -> str:
    """Return the key of a document for `langchain_core.indexing.index()`: a UUID.

    It depends on the text and the metadata: a change of either makes a new document. LangChain's
    own keys are digests, which Qdrant does not accept as ids.

    Examples:
        >>> uuid5_key_encoder(Document("text", metadata={"a": 1, "b": 2}))
        'c4c3108d-1ff4-5584-80f1-7b493606a04d'
    """
    content = json.dumps(
        [document.page_content, document.metadata], sort_keys=True, ensure_ascii=True, default=str
    )
    return str(uuid.uuid5(_NAMESPACE, content))
