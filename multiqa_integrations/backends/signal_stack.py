"""Leave a thread the stack for signals that it has.

On Linux OpenVINO gives the thread that loads its CPU plugin an alternate stack for signals, which
some processors need for a moment, and takes it back when the model goes: it then puts the one
before in place again, which may have gone meanwhile (of three models, the second and then the
third), or it does so in another thread, to no effect. The next signal, of Ctrl-C for example, finds
no memory there and ends the process with SIGSEGV.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_ON_STACK, _DISABLE = 1, 2


class _Stack(ctypes.Structure):
    """`stack_t` of <signal.h>."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Put this thread's stack for signals back in place at the end, whatever has replaced it."""
    if sys.platform != "linux":
        yield
        return
    sigaltstack = ctypes.CDLL(None).sigaltstack
    before = _Stack()
    sigaltstack(None, ctypes.byref(before))
    before.flags &= ~_ON_STACK
    try:
        yield
    finally:
        if sigaltstack(ctypes.byref(before), None):
            # It is too small for the registers that OpenVINO uses; then signals get none of it.
            sigaltstack(ctypes.byref(_Stack(flags=_DISABLE)), None)
