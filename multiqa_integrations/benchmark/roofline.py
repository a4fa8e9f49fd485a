"""The machine's own limit: how fast the model could be if only its matrix products took time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.benchmark.table import Column, Row, Table
from multiqa_integrations.model import ModelSpec


@dataclass(frozen=True, slots=True)
class Roofline:
    """The least time that texts of given lengths take on this machine.

    For a text of `L` word pieces this architecture takes 21.23 million operations per word piece
    in its linear layers, and `9,216·L` per word piece in attention. Padding is not counted.

    Attributes:
        peaks: Operations per second of matrix products, by arithmetic, as measured.
        linear: Operations of the linear layers.
        attention: Operations of attention.
    """

    peaks: Mapping[str, float]
    linear: float
    attention: float

    @classmethod
    def of(
        cls, peaks: Mapping[str, float], spec: ModelSpec, lengths: NDArray[np.int64]
    ) -> Roofline:
        """Count the operations that texts of these lengths in word pieces take."""
        width, wide = spec.dimension, spec.intermediate
        linear = 2 * spec.layers * (4 * width * width + 2 * width * wide) * float(lengths.sum())
        attention = 4 * spec.layers * width * float((lengths.astype(np.float64) ** 2).sum())
        return cls(peaks, linear, attention)

    def seconds(self, arithmetic: str) -> float:
        """Return the least time that the texts take."""
        # What a processor has no instructions for is computed in float32. So is attention in an
        # 8-bit model, whose weights alone are known beforehand.
        peak = self.peaks.get(arithmetic, self.peaks["float32"])
        rest = self.peaks["float32"] if arithmetic == "int8" else peak
        return self.linear / peak + self.attention / rest

    def table(self, tokens: int) -> Table:
        """Show the limit for texts of so many word pieces."""
        rows = [
            Row(name, {"GFLOP/s": [peak / 1e9], "tokens/s": [tokens / self.seconds(name)]})
            for name, peak in self.peaks.items()
        ]
        remark = (
            "The fastest matrix products that OpenVINO reached, all processors at work; tokens/s: "
            "if the model's products ran as fast, and nothing else took time."
        )
        columns = [Column("GFLOP/s"), Column("tokens/s")]
        return Table("encode", "The limit of this machine", columns, rows, [remark])
