"""FakeEncoder keeps the promises of the real encoder."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from multiqa_integrations.errors import TextTypeError
from multiqa_integrations.testing import FakeEncoder
from multiqa_integrations.types import Encoder

KNOWN = [0.0010084, 0.0044215, 0.0289466]


def test_it_is_an_encoder() -> None:
    assert isinstance(FakeEncoder(), Encoder)


def test_vectors_are_unit_and_in_order() -> None:
    encoder = FakeEncoder()
    texts = ["red apples", "", "red apples", "blue sky"]
    vectors = encoder.encode(texts)
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_array_equal(vectors[3:], encoder.encode(["blue sky"]))
    assert encoder.encode([]).shape == (0, 384)


def test_shared_words_make_similar_vectors() -> None:
    encoder = FakeEncoder()
    scores = encoder.similarity(
        encoder.encode_query(["When do red apples ripen?"]),
        encoder.encode_document(["A blue sky.", "Red apples ripen in autumn."]),
    )
    assert scores[0, 1] > 0.4 > 0.2 > abs(scores[0, 0])


def test_a_vector_is_the_same_on_every_machine() -> None:
    vector = FakeEncoder().encode(["apple"])[0]
    np.testing.assert_allclose(vector[:3], KNOWN, atol=1e-6)


def test_seeds_stand_for_models() -> None:
    one, two = FakeEncoder(), FakeEncoder(seed=1)
    assert one.fingerprint != two.fingerprint
    assert abs(float(one.encode(["apple"])[0] @ two.encode(["apple"])[0])) < 0.3


def test_stream_equals_encode() -> None:
    encoder = FakeEncoder()
    texts = [f"text {i}" for i in range(600)]
    parts = list(encoder.encode_stream(iter(texts)))
    assert [len(part) for part in parts] == [256, 256, 88]
    np.testing.assert_array_equal(np.concatenate(parts), encoder.encode(texts))


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(TextTypeError) as caught:
        FakeEncoder().encode(["fine", None])  # type: ignore[list-item]
    assert caught.value.index == 1


def test_it_pickles() -> None:
    twin = pickle.loads(pickle.dumps(FakeEncoder(seed=3)))
    assert twin.fingerprint == "fake:3"
