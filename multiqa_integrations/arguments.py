"""Check what a caller without a type checker may pass: before work begins, not in the middle."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from inspect import getattr_static
from numbers import Integral
from pathlib import Path
from typing import Any

from multiqa_integrations.errors import ConfigurationError

_ENCODER = (
    *("dimension", "max_seq_length", "fingerprint"),
    *("encode", "encode_query", "encode_document"),
)


def check_path(name: str, value: str | os.PathLike[str]) -> Path:
    """Return an argument that names a file or a directory.

    Raises:
        ConfigurationError: It does not.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise ConfigurationError(f"{name} is {value!r}, expected a path.")
    return Path(value)


def check_callable(name: str, value: Callable[..., Any] | None) -> None:
    """Check an argument that is called, where it is given.

    Raises:
        ConfigurationError: It cannot be.
    """
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name} is {value!r}, expected a function.")


def check_kind(
    name: str, value: object, kind: type, expected: str, *, optional: bool = True
) -> None:
    """Check the type of an argument.

    Raises:
        ConfigurationError: It is of another one; None is right where it is optional.
    """
    if not isinstance(value, kind) and not (optional and value is None):
        raise ConfigurationError(f"{name} is {value!r}, expected {expected}.")


def check_encoder(encoder: object, *, optional: bool = False) -> None:
    """Check an argument that encodes, without loading what it encodes with.

    `isinstance` of a protocol asks for each property, before Python 3.12: the model would be
    looked for before any other argument is checked.

    Raises:
        ConfigurationError: It lacks something of an `Encoder`; None is right where it is optional.
    """
    if optional and encoder is None:
        return
    missing = object()
    if any(getattr_static(encoder, name, missing) is missing for name in _ENCODER):
        raise ConfigurationError(
            f"encoder is {encoder!r}, expected MultiQAEncoder or another Encoder."
        )


def check_count(name: str, value: object) -> None:
    """Check an argument that is how many of something there are.

    Raises:
        ConfigurationError: It is not 1 or more.
    """
    if not is_whole(value) or value < 1:  # type: ignore[operator]  # a whole number
        raise ConfigurationError(f"{name} is {value!r}, expected a whole number, 1 or more.")


def is_whole(value: object) -> bool:
    """Return whether an argument is a whole number; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_options(given: Iterable[str], allowed: Iterable[str], what: str) -> None:
    """Refuse options that would be ignored: a filter that is not applied shows too much.

    Raises:
        ConfigurationError: Some of those given are not allowed.
    """
    allowed = sorted(allowed)
    if unknown := sorted(set(given).difference(allowed)):
        expected = f"expected some of {', '.join(allowed)}" if allowed else "it takes none"
        raise ConfigurationError(f"{what} has no option {', '.join(unknown)}: {expected}.")


def path_to_str(value: Any) -> Any:
    """Return the string of a path, and any other value as it is: for fields that hold strings."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value
