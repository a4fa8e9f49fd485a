"""Make configurations of the options of `multiqa evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.evaluation import Configuration
from multiqa_integrations.evaluation.configuration import GRAPH_OPTIONS


def _yes_or_no(text: str) -> bool:
    return {"yes": True, "true": True, "no": False, "false": False}[text.lower()]


_ENCODER: dict[str, Callable[[str], Any]] = {
    "model": str,
    "revision": str,
    "backend": str,
    "dtype": str,
    "device": str,
    "max_seq_length": int,
    "batch_tokens": int,
    "threads": int,
}
_SEARCH: dict[str, Callable[[str], Any]] = {
    "mode": str,
    "search": str,
    "hnsw_ef": int,
    "quantization": str,
    "rescore": _yes_or_no,
    "oversampling": float,
    "candidates": int,
}

_EXPECTED: dict[Callable[[str], Any], str] = {int: "a whole number", float: "a number"}


def configurations(
    options: Mapping[str, Any], against: Sequence[str], *, offline: bool
) -> list[Configuration]:
    """Make the configuration of the options, and one for each `--against`.

    Args:
        options: The settings by name; None for the default.
        against: Each `NAME=VALUE[,NAME=VALUE…]`: what differs.
        offline: Never use the network.

    Raises:
        ConfigurationError: A name or a value is unknown, or two settings exclude each other.
    """
    return [
        _configuration({**options, **changed}, offline) for changed in ({}, *map(_changes, against))
    ]


def _configuration(values: dict[str, Any], offline: bool) -> Configuration:
    chosen = {name: value for name, value in values.items() if value is not None}
    encoder = MultiQAEncoder(
        **{name: value for name, value in chosen.items() if name in _ENCODER},
        local_files_only=offline,
        on_truncation="ignore",  # the report counts the truncated texts
    )
    search = {name: value for name, value in chosen.items() if name in _SEARCH}
    return Configuration(encoder=encoder, **search)


def _changes(text: str) -> dict[str, Any]:
    """Parse one --against; settings that no longer apply are dropped."""
    kinds = {**_ENCODER, **_SEARCH}
    changes: dict[str, Any] = {}
    for part in text.split(","):
        given, equals, value = part.partition("=")
        name = given.strip().replace("-", "_")
        if not equals or name not in kinds:
            raise ConfigurationError(
                f"--against has {part!r}, expected NAME=VALUE[,NAME=VALUE…] with the names "
                f"{', '.join(kinds)}."
            )
        try:
            changes[name] = kinds[name](value.strip())
        except (ValueError, KeyError) as error:
            expected = _EXPECTED.get(kinds[name], "yes or no")
            raise ConfigurationError(
                f"--against has {part!r}, expected {expected} for {name}."
            ) from error
    if changes.get("mode", "hybrid") != "hybrid":
        changes.setdefault("candidates", None)
    if changes.get("mode") == "bm25":
        changes.setdefault("search", "exact")
    if changes.get("search") == "exact":
        changes = {**dict.fromkeys(GRAPH_OPTIONS), **changes}
    if changes.get("quantization") == "none":
        changes = {"rescore": None, "oversampling": None, **changes}
    return changes
