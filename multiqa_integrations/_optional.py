"""Import what an extra installs, or name the extra."""

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
    "ray": "ray",
    "ir_measures": "evaluate",
    "pytrec_eval": "evaluate",
    "scipy.stats": "evaluate",
    "jinja2": "evaluate",
    "matplotlib": "evaluate",
    "accelerate": "train",
    "datasets": "train",
    "typer": "cli",
    "rich": "cli",
}


def missing_dependency_error(
    error: ModuleNotFoundError, *, purpose: str
) -> MissingDependencyError | None:
    """Build the error for a module that an extra would install; None if none does."""
    module = f"{error.name}."
    for package, extra in _EXTRA_OF.items():
        if module.startswith(f"{package}.") or f"{package}.".startswith(module):
            return MissingDependencyError(package, extra, purpose)
    return None


def is_installed(package: str) -> bool:
    """Check whether `package` can be imported, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # nor can the package that contains it
        return False


def require(package: str, *, purpose: str) -> ModuleType:
    """Import `package`, an optional dependency.

    Raises:
        MissingDependencyError: It, or a package of an extra that it needs, is not installed. A
            package that is installed but fails to import raises its own error: hiding that would
            mislead.
    """
    if not is_installed(package):
        raise MissingDependencyError(package, _EXTRA_OF[package], purpose)
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if missing := missing_dependency_error(error, purpose=purpose):
            raise missing from error
        raise
