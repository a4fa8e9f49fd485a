"""The peers, as their own documentation says to use them. Imported in worker processes only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from multiqa_integrations.types import Vectors

if TYPE_CHECKING:
    from multiqa_integrations.benchmark.contestants import Encode

_BATCH = 32  # sentence-transformers' default, and that of the adapters built on it


def load_sentence_transformers(model: str, limit_tokens: int) -> Encode:
    """Load sentence-transformers on torch in float32."""
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(model, device="cpu", local_files_only=True)
    encoder.max_seq_length = limit_tokens

    def encode(texts: list[str]) -> Vectors:
        vectors = encoder.encode(texts, batch_size=_BATCH, show_progress_bar=False)
        return np.asarray(vectors, np.float32)

    return encode


def load_transformers(model: str, limit_tokens: int) -> Encode:
    """Load plain transformers on torch in float32: the model card's own recipe, in batches."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    bert = AutoModel.from_pretrained(model, local_files_only=True, dtype=torch.float32).eval()

    def encode(texts: list[str]) -> Vectors:
        parts: list[Vectors] = []
        for begin in range(0, len(texts), _BATCH):
            inputs = tokenizer(
                texts[begin : begin + _BATCH],
                padding=True,
                truncation=True,
                max_length=limit_tokens,
                return_tensors="pt",
            )
            with torch.inference_mode():
                hidden = bert(**inputs).last_hidden_state  # (b, l, 384)
            mask = inputs["attention_mask"].unsqueeze(-1).float()
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
            parts.append(torch.nn.functional.normalize(mean, dim=1).numpy())
        return np.concatenate(parts)

    return encode


LOADERS: dict[str, Callable[[str, int], Encode]] = {
    "sentence-transformers": load_sentence_transformers,
    "transformers": load_transformers,
}
