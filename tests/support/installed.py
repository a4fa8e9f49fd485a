"""Marks of tests that need what is not installed everywhere."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

needs_torch = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("sentence_transformers") is None,
    reason="torch and sentence-transformers are not installed: pip install '.[torch]'",
)

BACKENDS = [
    "openvino",
    pytest.param("torch", marks=needs_torch),
    pytest.param("sentence-transformers", marks=needs_torch),
]
