"""Our vectors against those of sentence-transformers and of plain transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.backends.cpu import fastest_dtype, has_native_bfloat16
from multiqa_integrations.errors import ConfigurationError, PerformanceWarning
from multiqa_integrations.types import Vectors
from tests.support.installed import needs_torch

LIMIT = 512
WORDS = "how many people live in london the city has about nine million of them today".split()


def words(pieces: int) -> str:
    """Write a text of exactly so many word pieces, [CLS] and [SEP] not counted."""
    return " ".join(WORDS[(i * i + i // 7) % len(WORDS)] for i in range(pieces))


TEXTS = {
    "question": "How many people live in London?",
    "passage": "Around 9 million people live in London, the capital of England.",
    "empty": "",
    "white space": " \t\n",
    "special tokens": "[SEP] a [CLS] [MASK] x [PAD] [UNK]",
    "control characters": "a\x00b\x1bc\u200bd",
    "accents": "Ünïcödé e\u0301 naïve",
    "CJK": "東京は日本の首都です。人口は?",
    "scripts": "हिन्दी עברית العربية ภาษาไทย 한국어",
    "emoji": "👩\u200d👩\u200d👧 ☃ 🇩🇪",
    "unknown word": "x" * 300,
    **{f"{n} word pieces": words(n) for n in (1, 249, 250, 251, 509, 510, 511, 512, 513, 5000)},
}


@pytest.fixture(scope="module")
def reference(test_model: Path) -> Vectors:
    """What sentence-transformers computes."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(test_model), device="cpu", local_files_only=True)
    model.max_seq_length = LIMIT
    vectors: Vectors = model.encode(
        list(TEXTS.values()), batch_size=4, normalize_embeddings=True, convert_to_numpy=True
    )
    return vectors


@pytest.fixture(scope="module")
def ours(test_model: Path) -> Vectors:
    encoder = MultiQAEncoder(
        test_model,
        max_seq_length=LIMIT,
        backend="openvino",
        dtype="float32",
        on_truncation="ignore",
    )
    return encoder.encode(list(TEXTS.values()))


def recipe_of_the_model_card(directory: Path, texts: list[str]) -> NDArray[np.float32]:
    """Mean over the real tokens, then length 1; "Usage (HuggingFace Transformers)" of the card.

    https://huggingface.co/sentence-transformers/multi-qa-MiniLM-L6-cos-v1
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(directory))
    model = AutoModel.from_pretrained(str(directory), dtype=torch.float32).eval()
    rows: list[NDArray[np.float32]] = []
    for text in texts:
        inputs = tokenizer(
            [text], padding=True, truncation=True, max_length=LIMIT, return_tensors="pt"
        )
        with torch.no_grad():
            tokens = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1).expand(tokens.size()).float()
        mean = (tokens * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        rows.append(torch.nn.functional.normalize(mean, p=2, dim=1)[0].numpy())
    return np.stack(rows)


def worst(ours: Vectors, theirs: NDArray[Any]) -> dict[str, float]:
    """Name the texts whose vectors differ by more than 1e-4 in some number."""
    differences = np.abs(ours - theirs).max(axis=1)
    return {
        name: float(difference)
        for name, difference in zip(TEXTS, differences, strict=True)
        if not difference <= 1e-4  # so that NaN shows up too
    }


@needs_torch
def test_openvino_agrees_with_sentence_transformers(ours: Vectors, reference: Vectors) -> None:
    assert worst(ours, reference) == {}


@needs_torch
def test_openvino_agrees_with_the_model_card(test_model: Path, ours: Vectors) -> None:
    assert worst(ours, recipe_of_the_model_card(test_model, list(TEXTS.values()))) == {}


@needs_torch
@pytest.mark.parametrize("backend", ["torch", "sentence-transformers"])
def test_our_torch_backends_agree(
    test_model: Path, ours: Vectors, reference: Vectors, backend: Any
) -> None:
    encoder = MultiQAEncoder(
        test_model,
        max_seq_length=LIMIT,
        backend=backend,
        dtype="float32",
        device="cpu",
        on_truncation="ignore",
    )
    vectors = encoder.encode(list(TEXTS.values()))
    assert worst(vectors, reference) == {}
    assert worst(vectors, ours) == {}


def test_lengths_are_what_they_are_called(encoder: MultiQAEncoder) -> None:
    counts = encoder.count_tokens(list(TEXTS.values()))
    for name, count in zip(TEXTS, counts.tolist(), strict=True):
        if name.endswith("word pieces"):
            assert count == int(name.split()[0]) + 2


# --- other precisions -----------------------------------------------------------------------

SUBJECTS = ["The council", "A young engineer", "Nobody", "This small museum", "My bank"]
ACTIONS = ["published a report on", "cannot explain", "was founded because of", "asks about"]
OBJECTS = ["the price of bread in 1923.", "a lost debit card?", "how vaccines work, and why."]
SENTENCES = [f"{s} {a} {o}" for s in SUBJECTS for a in ACTIONS for o in OBJECTS]


@pytest.fixture(scope="module")
def int8(test_model: Path) -> MultiQAEncoder:
    encoder = MultiQAEncoder(test_model, backend="openvino", dtype="int8")
    if fastest_dtype() == "int8":
        return encoder.load()
    with pytest.warns(PerformanceWarning, match="saves memory, not time"):
        return encoder.load()


def cosines(a: Vectors, b: Vectors) -> NDArray[np.float64]:
    return np.asarray((a.astype(np.float64) * b).sum(axis=1))


def test_int8_is_close(encoder: MultiQAEncoder, int8: MultiQAEncoder) -> None:
    assert len(SENTENCES) == 60
    found = cosines(encoder.encode(SENTENCES), int8.encode(SENTENCES))
    assert found.mean() >= 0.998
    assert found.min() >= 0.975
    assert int8.compute.dtype == "int8"


def test_int8_does_not_depend_on_the_neighbours(int8: MultiQAEncoder) -> None:
    text, *others = [f"a {word} b c d" for word in WORDS]
    assert len(set(int8.count_tokens([text, *others]).tolist())) == 1
    alone = int8.encode([text])
    among = int8.encode([*others, text])[-1:]
    assert cosines(alone, among)[0] >= 0.99999
    padded = int8.encode([words(40), text])[-1:]
    assert cosines(alone, padded)[0] >= 0.998


def test_int8_vectors_have_length_one(int8: MultiQAEncoder) -> None:
    np.testing.assert_allclose(np.linalg.norm(int8.encode(SENTENCES), axis=1), 1, atol=1e-5)


def test_bfloat16(test_model: Path, encoder: MultiQAEncoder) -> None:
    bfloat16 = MultiQAEncoder(test_model, backend="openvino", dtype="bfloat16")
    if not has_native_bfloat16():
        with pytest.raises(ConfigurationError, match="does not compute natively"):
            bfloat16.encode(["a"])
        return
    vectors = bfloat16.encode(SENTENCES)
    assert cosines(encoder.encode(SENTENCES), vectors).min() >= 0.999
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@needs_torch
@pytest.mark.parametrize("backend", ["torch", "sentence-transformers"])
def test_bfloat16_by_torch(test_model: Path, encoder: MultiQAEncoder, backend: Any) -> None:
    bfloat16 = MultiQAEncoder(test_model, backend=backend, dtype="bfloat16", device="cpu")
    vectors = bfloat16.encode(SENTENCES[:20])
    assert vectors.dtype == np.float32
    assert cosines(encoder.encode(SENTENCES[:20]), vectors).min() >= 0.999
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
