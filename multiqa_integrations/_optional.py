"""Import what an extra installs, or say which extra that is."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from multiqa_integrations.errors import MissingDependencyError

_EXTRA_OF = {
    "torch": "torch",
    "sentence_transformers": "torch",
    "qdrant_client": "qdrant",
    "qdrant_edge": "qdrant",
    "langchain_core": "langchain",
    "langchain_text_splitters": "langchain",
    "llama_index.core": "llama-index",
    "pyarrow": "etl",
    "bs4": "etl",
    "ir_measures": "evaluate",
    "pytrec_eval": "evaluate",
    "scipy.stats": "evaluate",
    "typer": "cli",
    "rich": "cli",
    "matplotlib": "bench",
}


def is_installed(package: str) -> bool:
    """Tell whether `package` could be imported, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the package that it should be in
        return False


def require(package: str, *, purpose: str) -> ModuleType:
    """Import `package`, an optional dependency.

    Raises:
        MissingDependencyError: It is not installed. A package that is installed but
            fails to import raises its own error: hiding that would mislead.
    """
    if not is_installed(package):
        raise MissingDependencyError(package, _EXTRA_OF[package], purpose)
    return importlib.import_module(package)
