"""An encoder that has its model as soon as it is there, in whichever process."""

from __future__ import annotations

from typing import Any

from multiqa_integrations import MultiQAEncoder


class LoadedEncoder(MultiQAEncoder):
    """A worker that has it counts as ready only when it can compute."""

    def __reduce__(self) -> tuple[Any, ...]:
        return load, (self.settings,)


def load(settings: dict[str, Any]) -> LoadedEncoder:
    """Return an encoder that has computed something."""
    encoder = LoadedEncoder(**settings)
    encoder.encode(["warm up", "and once more"])
    return encoder
