"""What a run against peers is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from multiqa_integrations.benchmark import session
from multiqa_integrations.errors import ConfigurationError
from tests.benchmark.implementations import ENVIRONMENTS

_COUNTS = ("quality_records", "threads", "queries", "queries_each", "long_text_bytes")


@dataclass(frozen=True, kw_only=True)
class Settings(session.Settings):
    """Settings of a run, further to those of `multiqa bench`. Peers get the same model's files.

    Attributes:
        vectors: A .npy file of the texts' vectors, to be searched; None to make them.
        quality_records: Number of texts whose vectors are compared.
        threads: Threads that share one encoder.
        queries: Different queries whose latency is taken.
        queries_each: Queries of each thread.
        long_text_bytes: Size of the long text.
        exports: Where the forms of the weights that some peers read are kept; None for a
            temporary folder.
        pythons: The Python of an environment of peers, or its virtual environment; see
            `implementations.ENVIRONMENTS`. This Python where there is none.
    """

    vectors: Path | None = None
    quality_records: int = 1500
    threads: int = 32
    queries: int = 200
    queries_each: int = 50
    long_text_bytes: int = 10_000_000
    exports: Path | None = None
    pythons: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}, expected 1 or more.")
        object.__setattr__(
            self, "pythons", {name: _python(name, path) for name, path in self.pythons.items()}
        )


def _python(environment: str, path: Path) -> Path:
    if environment not in ENVIRONMENTS:
        raise ConfigurationError(
            f"{environment!r} is not an environment of peers, expected one of "
            f"{', '.join(ENVIRONMENTS)}."
        )
    # Not resolved: the link is what tells Python which virtual environment it is of.
    candidates = (path, path / "bin" / "python", path / "Scripts" / "python.exe")
    for python in candidates:
        if python.is_file():
            return python.absolute()
    raise ConfigurationError(
        f"{path} (for {environment}) is neither a Python nor a virtual environment. "
        "docs/benchmarks.md tells how to make one."
    )
