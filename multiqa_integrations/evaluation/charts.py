"""Charts as SVG, to stand in a page that has the colours (`page`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

_WIDTH = 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 10, 30


def histogram(
    series: Sequence[tuple[str, Sequence[float]]], labels: Sequence[str], *, title: str, x: str
) -> str:
    """Draw shares side by side.

    Args:
        series: Name and shares (0 to 1) of each; one share a label.
        labels: Below the bars.
        title: What it shows, also for who cannot see it.
        x: What the labels are.
    """
    height = 210
    scale = max(0.01, *(max(shares) for _, shares in series))
    inner, tall = _WIDTH - _LEFT - _RIGHT, height - _TOP - _BOTTOM - 12
    slot = inner / len(labels)
    bar = slot * 0.82 / len(series)
    parts = []
    for tick in ticks(0, scale)[1:]:
        y = _TOP + tall * (1 - tick / scale)
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "grid"))
        parts.append(_text(_LEFT - 6, y + 4, f"{tick:.0%}", "end"))
    for number, (_, shares) in enumerate(series):
        for place, share in enumerate(shares):
            if share > 0:
                left = _LEFT + place * slot + slot * 0.09 + number * bar
                size = max(tall * share / scale, 1)
                parts.append(_rect(left, _TOP + tall - size, max(bar - 1, 1), size, f"s{number}"))
    parts.append(_line(_LEFT, _TOP + tall, _WIDTH - _RIGHT, _TOP + tall, "axis"))
    for place, label in enumerate(labels):
        parts.append(_text(_LEFT + (place + 0.5) * slot, _TOP + tall + 15, label, "middle"))
    parts.append(_text(_LEFT + inner / 2, height - 4, x, "middle"))
    return _figure(title, _svg(height, parts, title), [name for name, _ in series])


def differences(values: NDArray[np.float64], *, title: str) -> str:
    """Draw the differences of all queries, the largest gain first."""
    ordered = np.sort(values)[::-1]
    height, reach = 210, max(float(np.abs(ordered).max()), 0.01)
    inner, tall = _WIDTH - _LEFT - _RIGHT, height - _TOP - _BOTTOM
    middle = _TOP + tall / 2
    parts = []
    for tick in sorted({*ticks(0, reach), *(-tick for tick in ticks(0, reach))}):
        y = middle - tick / reach * tall / 2
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "axis" if tick == 0 else "grid"))
        parts.append(_text(_LEFT - 6, y + 4, signed(tick, 2 if reach < 0.15 else 1), "end"))
    step = inner / len(ordered)
    # An area each for gains and losses: thousands of bars would be a slow page.
    for kind, chosen, first in (
        ("gain", ordered[ordered > 0], 0),
        ("loss", ordered[ordered < 0], int((ordered >= 0).sum())),
    ):
        if len(chosen):
            left = _LEFT + first * step
            points = [f"M{left:.1f},{middle:.1f}"]
            for place, value in enumerate(chosen):
                y = middle - value / reach * tall / 2
                points.append(f"L{left + place * step:.1f},{y:.1f}H{left + (place + 1) * step:.1f}")
            points.append(f"V{middle:.1f}Z")
            parts.append(f'<path class="{kind}" d="{"".join(points)}"/>')
    parts.append(
        _text(
            _LEFT + inner / 2,
            height - 6,
            f"{len(ordered):,} queries: {int((ordered > 0).sum()):,} better, "
            f"{int((ordered == 0).sum()):,} the same, {int((ordered < 0).sum()):,} worse",
            "middle",
        )
    )
    return _figure(title, _svg(height, parts, title), [])


def intervals(rows: Sequence[tuple[str, float, float, float]], *, title: str) -> str:
    """Draw mean differences with their confidence intervals, a row each.

    Args:
        rows: Name, mean, lower and upper end.
        title: What it shows.
    """
    left, width = 330, 940
    height = _TOP + 26 * len(rows) + _BOTTOM
    reach = max(max(abs(low), abs(high)) for _, _, low, high in rows) * 1.08 or 0.001
    middle, half = left + (width - left - 20) / 2, (width - left - 20) / 2
    bottom = height - _BOTTOM
    digits = max(1, 1 - math.floor(math.log10(reach)))
    parts = []
    for tick in sorted({*ticks(0, reach), *(-tick for tick in ticks(0, reach))}):
        x = middle + tick / reach * half
        parts.append(_line(x, _TOP, x, bottom, "axis" if tick == 0 else "grid"))
        parts.append(_text(x, bottom + 16, signed(tick, digits), "middle"))
    for place, (name, mean, low, high) in enumerate(rows):
        y = _TOP + 26 * place + 13
        kind = "gain" if low > 0 else "loss" if high < 0 else "even"
        parts.append(_text(left - 12, y + 4, _shortened(name, 48), "end"))
        ends = [middle + value / reach * half for value in (low, high)]
        parts.append(_line(ends[0], y, ends[1], y, f"interval {kind}"))
        parts.append(
            f'<circle class="{kind}" cx="{middle + mean / reach * half:.1f}" cy="{y}" r="4.5"/>'
        )
    return _figure(title, _svg(height, parts, title, width), [])


def stacked(
    whole: Sequence[float], cut: Sequence[float], labels: Sequence[str], *, title: str, x: str
) -> str:
    """Draw shares as bars of two parts, what is whole below what is cut."""
    height = 210
    scale = max(a + b for a, b in zip(whole, cut, strict=True)) or 1
    inner, tall = _WIDTH - _LEFT - _RIGHT, height - _TOP - _BOTTOM - 12
    slot = inner / len(labels)
    parts = []
    for tick in ticks(0, scale)[1:]:
        y = _TOP + tall * (1 - tick / scale)
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "grid"))
        parts.append(_text(_LEFT - 6, y + 4, f"{tick:.0%}", "end"))
    for place, (label, below, above) in enumerate(zip(labels, whole, cut, strict=True)):
        foot = _TOP + tall
        for share, kind in ((below, "s0"), (above, "loss")):
            if share > 0:
                size = max(tall * share / scale, 1)
                foot -= size
                parts.append(_rect(_LEFT + (place + 0.09) * slot, foot, slot * 0.82, size, kind))
        parts.append(_text(_LEFT + (place + 0.5) * slot, _TOP + tall + 15, label, "middle"))
    parts.append(_line(_LEFT, _TOP + tall, _WIDTH - _RIGHT, _TOP + tall, "axis"))
    parts.append(_text(_LEFT + inner / 2, height - 4, x, "middle"))
    return _figure(title, _svg(height, parts, title), ["whole"], ["cut"])


def ticks(low: float, high: float) -> list[float]:
    """Give three to six round numbers from `low` to at most `high`.

    Example:
        >>> ticks(0, 0.7)
        [0.0, 0.2, 0.4, 0.6]
    """
    rough = (high - low) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    count = math.floor((high - low) / step + 1e-9)
    return [round(low + step * number, 12) for number in range(count + 1)]


def signed(value: float, digits: int) -> str:
    """Write a difference, with a true minus sign; what rounds to nothing has no sign.

    Example:
        >>> signed(-0.25, 2), signed(0.0001, 2)
        ('−0.25', '0.00')
    """
    text = f"{value:+.{digits}f}"
    return (text if float(text) else text[1:]).replace("-", "−")


def _shortened(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _figure(title: str, svg: str, names: Sequence[str], losses: Sequence[str] = ()) -> str:
    keys = [(f"s{number}", name) for number, name in enumerate(names)]
    keys += [("loss", name) for name in losses]
    legend = "".join(
        f'<span><i class="key {kind}"></i>{escape(name)}</span>' for kind, name in keys
    )
    legend = f'<p class="legend">{legend}</p>' if len(keys) > 1 else ""
    return f"<figure><figcaption>{escape(title)}</figcaption>{legend}{svg}</figure>"


def _svg(height: float, parts: Sequence[str], title: str, width: float = _WIDTH) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
