"""Import OpenVINO without its telemetry.

Importing openvino sends an event to its makers' analytics host and writes a client id into HOME,
which nobody asked for here, and takes three seconds more behind a proxy that drops the request.
It does neither where openvino_telemetry is not installed: it then uses a stub of its own. So
that package is hidden during the import. The user's consent file is not touched, and a process
that has imported openvino before stays as it is.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

__all__ = ["op", "ov"]


@contextlib.contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Let imports of a package fail as if it were not installed."""
    nothing = object()
    module = sys.modules.get(package, nothing)
    sys.modules[package] = None  # type: ignore[assignment]  # how Python spells it
    try:
        yield
    finally:
        del sys.modules[package]
        if module is not nothing:
            sys.modules[package] = module  # type: ignore[assignment]


with _hidden("openvino_telemetry"):
    import openvino as ov
    from openvino import opset13 as op
