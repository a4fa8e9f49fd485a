"""The package as a whole: what importing it costs, what it shows, and its own examples."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import multiqa_integrations

PACKAGE = Path(multiqa_integrations.__file__).parent


def modules_with_examples() -> list[str]:
    """Name the modules with an example to run, from their source: an import may need an extra."""
    return [
        ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for file in sorted(PACKAGE.rglob("*.py"))
        if any(
            line.lstrip().startswith(">>> ") and "doctest: +SKIP" not in line
            for line in file.read_text(encoding="utf-8").splitlines()
        )
    ]


def test_import_is_light() -> None:
    # Its own process: this one has imported everything already.
    script = "import sys; import multiqa_integrations; print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60
    )
    loaded = {name.partition(".")[0] for name in ast.literal_eval(done.stdout)}
    heavy = {
        "huggingface_hub",
        "numpy",
        "openvino",
        "qdrant_client",
        "qdrant_edge",
        "rich",
        "safetensors",
        "sentence_transformers",
        "tokenizers",
        "torch",
        "tqdm",
        "transformers",
        "typer",
    }
    assert "multiqa_integrations" in loaded
    assert loaded & heavy == set()


def test_version_is_that_of_the_installed_package() -> None:
    assert multiqa_integrations.__version__ == importlib.metadata.version("multiqa-integrations")


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
