"""Environment variables: what stands for an option that is not given."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import typer

PREFIX: Final = "MULTIQA_"

OPTIONS: Final = (
    *("model", "offline", "backend", "dtype", "device"),
    *("url", "path", "api_key_variable", "timeout", "wait", "grpc", "grpc_port", "ca", "no_verify"),
    *("client_cert", "client_key", "header", "keepalive", "consistency", "ordering"),
)
"""The options that have one: which model, which store and how it is reached."""

# Two options of which one is enough. Where both are set, the one that is set more closely counts:
# on the command line, else by a variable, else in a job's file.
_ALTERNATIVES = (("url", "path"), ("model", "test_model"))


def variable_of(option: str) -> str:
    """Return the variable of an option: MULTIQA_GRPC_PORT for `grpc_port`."""
    return f"{PREFIX}{option.upper()}"


def keep_closest(values: dict[str, Any], context: typer.Context) -> None:
    """Leave out of two alternatives the one that was set less closely."""
    for pair in _ALTERNATIVES:
        if not all(values.get(name) for name in pair):
            continue
        # The sources are ordered: command line, environment, file, default.
        ranks = [getattr(context.get_parameter_source(name), "value", 0) for name in pair]
        if ranks[0] != ranks[1]:
            values[pair[ranks.index(max(ranks))]] = None


def keep_for_servers(values: dict[str, Any], context: typer.Context, names: Iterable[str]) -> None:
    """Leave out how a server is reached where none is, unless the command line says it.

    A variable or a file is set for many commands, of which some use a folder.
    """
    if any(values.get(name) for name in ("url", "from_url", "to_url")):
        return
    for name in values.keys() & set(names):
        if getattr(context.get_parameter_source(name), "name", "") != "COMMANDLINE":
            values[name] = False if isinstance(values[name], bool) else None


def set_variables(environment: Mapping[str, str] = os.environ) -> Iterator[tuple[str, str]]:
    """Return the variables that are set, with their values where these are no secrets."""
    for name in sorted({*map(variable_of, OPTIONS), "QDRANT_API_KEY"}):
        if value := environment.get(name):
            secret = name.endswith(("_KEY", "_HEADER"))
            yield name, "(set)" if secret else without_user(value)


def without_user(value: str) -> str:
    """Leave user and password out of a URL."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", value)


def unknown_variables(environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Tell of variables that begin as ours do, and that no option reads."""
    known = set(map(variable_of, OPTIONS))
    for name in environment:
        # Those of the package's own tests are no settings.
        if name.startswith(PREFIX) and name not in known and not name.startswith(f"{PREFIX}TEST_"):
            similar = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {similar[0]}?" if similar else ""
            yield f"{name} is set, and no command reads it.{hint}"
