"""Which payloads go to a server and come back as they were: by gRPC fewer than by REST."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from multiqa_integrations.errors import WriteRejectedError
from multiqa_integrations.qdrant.points import Point

# Of the 100 levels that protobuf reads, a dict takes three and a list two.
_GRPC_LEVELS = 90


def check_payloads(points: Sequence[Point], *, grpc: bool) -> None:
    """Refuse payloads that would be changed on the way, or could not be read again.

    Raises:
        WriteRejectedError: There are some.
    """
    largest = 2**63 - 1 if grpc else 2**64 - 1
    reasons: dict[str, str] = {}
    for point in points:
        levels, number = _extremes(point.payload)
        if grpc and levels > _GRPC_LEVELS:
            reasons[str(point.id)] = (
                "its payload is nested too deeply for gRPC, which reads 30 dicts or 45 lists in "
                "one another. Use REST, or flatten it."
            )
        elif number is not None and not -(2**63) <= number <= largest:
            reasons[str(point.id)] = (
                f"its payload has the whole number {number}, and whole numbers have 64 bits"
                + (", by gRPC one of them for the sign. Use REST, or s" if grpc else ". S")
                + "tore it as text."
            )
    if reasons:
        first, reason = next(iter(reasons.items()))
        raise WriteRejectedError(f"point {first}: {reason}", reasons=reasons)


def has_rounded(payload: Mapping[str, Any] | None) -> bool:
    """Return whether a payload read by gRPC has a float that may be a whole number, rounded."""
    waiting: list[Any] = [payload]
    while waiting:
        value = waiting.pop()
        if isinstance(value, float):
            if 2**63 <= value <= 2**64:
                return True
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


def _extremes(payload: Mapping[str, Any]) -> tuple[int, int | None]:
    """Return how deep a payload is, in protobuf's levels, and its whole number farthest from 0."""
    deepest, farthest = 0, None
    waiting: list[tuple[Any, int]] = [(value, 0) for value in payload.values()]
    while waiting:
        value, levels = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(item, levels + 3) for item in value.values()]
            deepest = max(deepest, levels + 3)
        elif isinstance(value, list | tuple):
            waiting += [(item, levels + 2) for item in value]
            deepest = max(deepest, levels + 2)
        elif isinstance(value, int) and (farthest is None or abs(value) > abs(farthest)):
            farthest = value
    return deepest, farthest
