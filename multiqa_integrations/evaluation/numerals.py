"""How differences and intervals are written."""

from __future__ import annotations


def signed(value: float, digits: int) -> str:
    """Write a difference, with a true minus sign; what rounds to nothing has no sign.

    Examples:
        >>> signed(-0.25, 2), signed(0.0001, 2)
        ('−0.25', '0.00')
    """
    text = f"{value:+.{digits}f}"
    return (text if float(text) else text[1:]).replace("-", "−")


def interval(low: float | None, high: float | None) -> str:
    """Write a confidence interval; a dash where there is none.

    Examples:
        >>> interval(-0.01, 0.02)
        '−0.0100 to +0.0200'
    """
    if low is None or high is None:
        return "–"
    return f"{signed(low, 4)} to {signed(high, 4)}"
