"""Charts as SVG, to stand in a page that has the colours (`page`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

_WIDTH = 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 12, 10, 30


def histogram(
    series: Sequence[tuple[str, Sequence[float]]],
    labels: Sequence[str],
    *,
    title: str,
    x: str,
    kinds: Sequence[str] = ("s0", "s1", "s2", "s3", "s4", "s5"),
    stacked: bool = False,
) -> str:
    """Draw shares as bars.

    Args:
        series: Name and shares (0 to 1) of each; one share a label.
        labels: Below the bars.
        title: What it shows, also for who cannot see it.
        x: What the labels are.
        kinds: The colour of each series.
        stacked: Whether the series stand one on the other, and not side by side.
    """
    height, tall, inner = 210, 158, _WIDTH - _LEFT - _RIGHT
    base = float(_TOP + tall)
    total = sum if stacked else max
    scale = max(0.01, *(total(column) for column in zip(*(s for _, s in series), strict=True)))
    slot = inner / len(labels)
    wide = slot * 0.82 / (1 if stacked else len(series))
    parts = []
    for tick in ticks(0, scale)[1:]:
        y = base - tall * tick / scale
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "grid"))
        parts.append(_text(_LEFT - 6, y + 4, f"{tick:.0%}", "end"))
    for place, label in enumerate(labels):
        left, foot = _LEFT + (place + 0.09) * slot, base
        for kind, (_, shares) in zip(kinds, series, strict=False):
            tip = foot - max(tall * shares[place] / scale, 1 if shares[place] else 0)
            if shares[place]:
                parts.append(_rect(left, tip, wide - (not stacked), foot - tip, kind))
            if stacked:
                foot = tip
            else:
                left += wide
        parts.append(_text(_LEFT + (place + 0.5) * slot, base + 15, label, "middle"))
    parts.append(_line(_LEFT, base, _WIDTH - _RIGHT, base, "axis"))
    parts.append(_text(_LEFT + inner / 2, height - 4, x, "middle"))
    names = [name for name, _ in series]
    return _figure(title, _svg(height, parts, title), list(zip(kinds, names, strict=False)))


def differences(values: NDArray[np.float64], *, title: str) -> str:
    """Draw the differences of the queries that differ, the largest gain first."""
    ordered = np.sort(values[values != 0])[::-1]
    gains = int((ordered > 0).sum())
    height, reach = 210, max(0.01, *np.abs(ordered).tolist(), 0.0)
    inner, tall = _WIDTH - _LEFT - _RIGHT, height - _TOP - _BOTTOM
    middle = _TOP + tall / 2
    parts = []
    for tick, label in _signed_ticks(reach):
        y = middle - tick / reach * tall / 2
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "axis" if tick == 0 else "grid"))
        parts.append(_text(_LEFT - 6, y + 4, label, "end"))
    step = min(inner / max(len(ordered), 1), 14)
    # One area each for gains and losses: thousands of bars would make a slow page.
    for kind, first, chosen in (("gain", 0, ordered[:gains]), ("loss", gains, ordered[gains:])):
        if len(chosen):
            left = _LEFT + first * step
            steps = [
                f"V{middle - value / reach * tall / 2:.1f}H{left + place * step:.1f}"
                for place, value in enumerate(chosen, 1)
            ]
            path = f"M{left:.1f},{middle:.1f}{''.join(steps)}V{middle:.1f}Z"
            parts.append(f'<path class="{kind}" d="{path}"/>')
    counts = (
        f"{gains:,} queries better, {len(ordered) - gains:,} worse, "
        f"{len(values) - len(ordered):,} the same"
    )
    parts.append(_text(_LEFT + inner / 2, height - 6, counts, "middle"))
    return _figure(title, _svg(height, parts, title))


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
    parts = []
    for tick, label in _signed_ticks(reach):
        x = middle + tick / reach * half
        parts.append(_line(x, _TOP, x, bottom, "axis" if tick == 0 else "grid"))
        parts.append(_text(x, bottom + 16, label, "middle"))
    for place, (name, mean, low, high) in enumerate(rows):
        y = _TOP + 26 * place + 13
        kind = "gain" if low > 0 else "loss" if high < 0 else "even"
        parts.append(_text(left - 12, y + 4, _shortened(name, 44), "end"))
        ends = [middle + value / reach * half for value in (low, high)]
        parts.append(_line(ends[0], y, ends[1], y, f"interval {kind}"))
        parts.append(
            f'<circle class="{kind}" cx="{middle + mean / reach * half:.1f}" cy="{y}" r="4.5"/>'
        )
    return _figure(title, _svg(height, parts, title, width))


def ticks(low: float, high: float, steps: int = 5) -> list[float]:
    """Give round numbers from `low` to at most `high`, at most so many steps apart.

    Example:
        >>> ticks(0, 0.7)
        [0.0, 0.2, 0.4, 0.6]
    """
    rough = (high - low) / steps
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    count = math.floor((high - low) / step + 1e-9)
    return [round(low + step * number, 12) for number in range(count + 1)]


def _signed_ticks(reach: float) -> list[tuple[float, str]]:
    """Give round numbers on both sides of 0, and how they are written."""
    positive = ticks(0, reach, 3)[1:]
    digits = max(1, -math.floor(math.log10(positive[0]) + 1e-9))
    values = [*(-tick for tick in positive), 0.0, *positive]
    return [(value, signed(value, digits)) for value in values]


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


def _figure(title: str, svg: str, keys: Sequence[tuple[str, str]] = ()) -> str:
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
