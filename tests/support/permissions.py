"""Run as an ordinary user does, whom the rights of files concern."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

_CAPABILITY_VERSION_3 = 0x20080522
_OVERRIDE = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


def without_root(call: Callable[[], T]) -> T:
    """Call in a thread that has given up root's right to read and write everything."""
    if sys.platform == "win32":
        pytest.skip("rights of files work differently there")
    if os.geteuid() != 0:
        return call()
    if sys.platform != "linux":
        pytest.skip("root reads everything here")
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        sets = (ctypes.c_uint32 * 6)()
        libc.capget(header, sets)
        sets[0] &= ~_OVERRIDE
        libc.capset(header, sets)
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001  (raised below)
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
