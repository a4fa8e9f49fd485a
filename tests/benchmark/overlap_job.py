"""What the worker of `overlap` does: encode a stream on a device that is not this processor."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.types import Vectors
from tests.benchmark import implementations


def overlap(
    *, model: str, limit_tokens: int, file: str | None, field: str, samples: int, rate: float
) -> dict[str, Any]:
    """Encode texts as a stream, with the next window prepared meanwhile and without.

    Args:
        model: Directory of the checkpoint.
        limit_tokens: Longest text in word pieces.
        file: The texts; None for the built-in ones.
        field: Field of a record that has its text.
        samples: How many of them.
        rate: Word pieces a second of a device that only sleeps; 0 for this processor.
    """
    from multiqa_integrations.benchmark.texts import read_texts
    from multiqa_integrations.windows import Windows

    encoder = implementations.our_encoder("auto", model, limit_tokens).load()
    if rate:
        backend: Any = encoder._runtime.backend
        backend.embed = _sleeping(rate)
        backend.parallelism = 1
    patched: Any = Windows
    read_ahead = Windows.read_ahead

    def seconds(prepare: Callable[..., None]) -> float:
        patched.read_ahead = prepare
        begin = time.perf_counter()
        texts = islice(read_texts(Path(file) if file else None, field), samples)
        count = sum(len(vectors) for vectors in encoder.encode_stream(texts))
        assert count == samples, f"there are {count} texts"
        return time.perf_counter() - begin

    seconds(read_ahead)
    return {
        "ahead_s": seconds(read_ahead),
        "alone_s": seconds(lambda _, is_wanted: None),
        "tokenise_s": _tokenise_seconds(encoder, file, field, samples),
    }


def _sleeping(rate: float) -> Callable[[NDArray[np.int64], NDArray[np.int64]], Vectors]:
    def embed(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        time.sleep(ids.size / rate)
        vectors = np.zeros((len(ids), 384), np.float32)
        vectors[:, 0] = 1
        return vectors

    return embed


def _tokenise_seconds(encoder: Any, file: str | None, field: str, samples: int) -> float:
    from multiqa_integrations.benchmark.texts import read_texts

    begin = time.perf_counter()
    texts = list(islice(read_texts(Path(file) if file else None, field), samples))
    encoder.tokenizer.encode(texts, max_length=encoder.max_seq_length)
    return time.perf_counter() - begin
