"""What a benchmark run is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.model import MULTI_QA
from tests.benchmark.implementations import ENVIRONMENTS

_COUNTS = (
    *("samples", "rounds", "quality_records", "threads", "queries", "queries_each"),
    "long_text_bytes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of a benchmark run.

    Attributes:
        model: A hub name or a directory; the peers get the same files.
        texts: JSON lines, perhaps gzipped; None for the documentation that comes with Python.
        text_field: The field of a record that holds its text.
        vectors: A .npy file of the texts' vectors, to be searched; None to make them.
        limit_tokens: Longest text in word pieces, [CLS] and [SEP] included.
        samples: Number of texts to encode.
        rounds: How often each implementation runs.
        quality_records: Number of texts whose vectors are compared.
        threads: Threads that share one encoder.
        queries: Different queries whose latency is taken.
        queries_each: Queries of each thread.
        long_text_bytes: Size of the long text.
        url: A server that documents are stored on too; its key is that of QDRANT_API_KEY.
        exports: Where the forms of the weights that some peers read are kept; None for a
            temporary folder.
        pythons: The Python of an environment of peers, or its virtual environment; see
            `implementations.ENVIRONMENTS`. This Python where there is none.
    """

    model: str = MULTI_QA.name
    texts: Path | None = None
    text_field: str = "text"
    vectors: Path | None = None
    limit_tokens: int = MULTI_QA.max_seq_length
    samples: int = 800
    rounds: int = 3
    quality_records: int = 1500
    threads: int = 32
    queries: int = 200
    queries_each: int = 50
    long_text_bytes: int = 10_000_000
    url: str | None = None
    exports: Path | None = None
    pythons: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}, expected 1 or more.")
        if not 3 <= self.limit_tokens <= MULTI_QA.max_positions:
            raise ConfigurationError(
                f"limit_tokens is {self.limit_tokens}, expected 3 to {MULTI_QA.max_positions}."
            )
        object.__setattr__(
            self, "pythons", {name: _python(name, path) for name, path in self.pythons.items()}
        )


def _python(environment: str, path: Path) -> Path:
    if environment not in ENVIRONMENTS:
        raise ConfigurationError(
            f"{environment!r} is no environment of peers, expected one of "
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
