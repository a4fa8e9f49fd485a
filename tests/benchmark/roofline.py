"""The machine's own limit: how fast the model could be if products were all there is to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.model import ModelSpec
from tests.benchmark.results import Column, Row, Table
from tests.benchmark.session import Session


@dataclass(frozen=True, slots=True)
class Roofline:
    """How fast texts of given lengths could be encoded on this machine.

    Attributes:
        peaks: Operations a second of matrix products in each arithmetic that the processor
            computes natively, as measured.
        linear: Operations of the linear layers.
        attention: Operations of attention.
    """

    peaks: Mapping[str, float]
    linear: float
    attention: float

    def seconds(self, arithmetic: str) -> float:
        """Tell the least time that the texts can take."""
        # What a processor has no instructions for is computed in float32. So is attention in an
        # 8-bit model, whose weights alone are known beforehand.
        peak = self.peaks.get(arithmetic, self.peaks["float32"])
        rest = self.peaks["float32"] if arithmetic == "int8" else peak
        return self.linear / peak + self.attention / rest


def measure_roofline(session: Session, spec: ModelSpec, lengths: NDArray[np.int64]) -> Roofline:
    """Measure the limit for texts of given lengths in word pieces, padding not counted.

    A product of an `(m, k)` and a `(k, n)` matrix takes `2·m·k·n` operations. For a text of `L`
    word pieces in this architecture that is 21.23 million for each word piece in the linear
    layers, and `9,216·L` for each in attention.
    """
    runs = session.rounds("roofline")
    peaks = {name: max(run[name] for run in runs) for name in runs[0] if name != "wall_s"}
    width, wide = spec.dimension, spec.intermediate
    linear = 2 * spec.layers * (4 * width * width + 2 * width * wide) * float(lengths.sum())
    attention = 2 * spec.layers * 2 * width * float((lengths.astype(np.float64) ** 2).sum())
    return Roofline(peaks, linear, attention)


def roofline_table(limit: Roofline, tokens: int) -> Table:
    """Show the limit for texts of so many word pieces."""
    rows = [
        Row(name, {"GFLOP/s": [peak / 1e9], "tokens/s": [tokens / limit.seconds(name)]})
        for name, peak in limit.peaks.items()
    ]
    return Table(
        "encode",
        "The limit of this machine",
        [Column("GFLOP/s"), Column("tokens/s")],
        rows,
        [
            "The fastest matrix products that OpenVINO reached, all processors at work; tokens/s: "
            "if the model's products ran as fast, and nothing else took time."
        ],
    )
