"""The settings of an encoder, and the checks that need no model."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from multiqa_integrations import backends
from multiqa_integrations.backends import BackendName, DType
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.model import MULTI_QA
from multiqa_integrations.types import OnTruncation


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSettings:
    """What decides which model is loaded, and how. See `encoder.MultiQAEncoder`."""

    model: str
    revision: str | None
    backend: BackendName
    dtype: DType
    device: str
    cache_folder: str | None
    local_files_only: bool
    threads: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSettings(LoadSettings):
    """All settings of an encoder. See `encoder.MultiQAEncoder`."""

    max_seq_length: int | None
    batch_tokens: int | None
    on_truncation: OnTruncation

    @classmethod
    def checked(
        cls,
        *,
        model: str | os.PathLike[str],
        revision: str | None,
        backend: BackendName,
        dtype: DType,
        device: str,
        cache_folder: str | os.PathLike[str] | None,
        local_files_only: bool,
        threads: int | None,
        max_seq_length: int | None,
        batch_tokens: int | None,
        on_truncation: OnTruncation,
    ) -> EncoderSettings:
        """Make settings of what a user passed.

        Raises:
            ConfigurationError: A setting is unknown or out of range, or two exclude each other.
        """
        backends.check(backend, dtype, device)
        if on_truncation not in ("warn", "error", "ignore"):
            raise ConfigurationError(
                f"on_truncation is {on_truncation!r}, expected 'warn', 'error' or 'ignore'."
            )
        if not isinstance(local_files_only, bool):
            raise ConfigurationError(
                f"local_files_only is {local_files_only!r}, expected True or False."
            )
        return cls(
            model=_text("model", model),
            revision=None if revision is None else _text("revision", revision),
            backend=backend,
            dtype=dtype,
            device=device,
            cache_folder=None if cache_folder is None else _text("cache_folder", cache_folder),
            local_files_only=local_files_only,
            threads=_number("threads", threads, 1),
            max_seq_length=_number("max_seq_length", max_seq_length, 3, MULTI_QA.max_positions),
            batch_tokens=_number("batch_tokens", batch_tokens, 1),
            on_truncation=on_truncation,
        )

    @property
    def load(self) -> LoadSettings:
        """The part that decides what is loaded; encoders with an equal one share a model."""
        values = {field.name: getattr(self, field.name) for field in fields(LoadSettings)}
        return LoadSettings(**{**values, "model": _absolute(self.model)})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings by their names."""
        return asdict(self)


def _text(name: str, value: object) -> str:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or not text:
        raise ConfigurationError(f"{name} is {value!r}, expected a non-empty string.")
    return text


def _number(name: str, value: object, low: int, high: float = math.inf) -> int | None:
    if value is None:
        return None
    if (
        not isinstance(value, int | np.integer)
        or isinstance(value, bool)
        or not low <= value <= high
    ):
        expected = f"{low} to {high}" if high < math.inf else f"{low} or more"
        raise ConfigurationError(f"{name} is {value!r}, expected a whole number, {expected}.")
    return int(value)


def _absolute(model: str) -> str:
    """Fix a relative directory before the process changes its working directory."""
    try:
        directory = Path(model).expanduser()
        return str(directory.absolute()) if directory.is_dir() else model
    except (OSError, ValueError, RuntimeError):  # too long; a NUL; no such user's home
        return model
