"""Load the public names of a package at their first use (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence

from multiqa_integrations._optional import missing_dependency_error


def attach(
    package: str, names: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` for a package's `__init__`.

    Type checkers read the same names from imports under `TYPE_CHECKING`, and so report a name
    that does not exist.

    Args:
        package: The package's `__name__`.
        names: The public names, by the module of the package that defines them. No name may be
            that of a module: Python sets a package's attribute to a module once it is imported.

    Examples:
        >>> __getattr__, __dir__, __all__ = attach("multiqa_integrations", {"types": ["Hit"]})
        >>> __getattr__("Hit")
        <class 'multiqa_integrations.types.Hit'>
    """
    modules = {name: module for module, defined in names.items() for name in defined}

    def load(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(f"{package}.{modules[name]}")
        except ModuleNotFoundError as error:
            if missing := missing_dependency_error(error, purpose=f"{package}.{name}"):
                raise missing from error
            raise
        value = getattr(module, name)
        setattr(sys.modules[package], name, value)  # found without this function from now on
        return value

    def names_of_package() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return load, names_of_package, sorted(modules)
