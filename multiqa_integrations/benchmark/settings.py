"""What a benchmark run is made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.model import MULTI_QA


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
        rounds: How often each contestant runs.
        quality_records: Number of texts whose vectors are compared.
        threads: Threads that share one encoder.
        queries: Queries of each thread, or of each contestant.
        huge_bytes: Size of the huge text.
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
    huge_bytes: int = 10_000_000

    def __post_init__(self) -> None:
        for name in ("samples", "rounds", "quality_records", "threads", "queries", "huge_bytes"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}, expected 1 or more.")
        if not 3 <= self.limit_tokens <= MULTI_QA.max_positions:
            raise ConfigurationError(
                f"limit_tokens is {self.limit_tokens}, expected 3 to {MULTI_QA.max_positions}."
            )
