"""Compile models for the CPU, and leave the thread the stack for signals that it has.

On Linux OpenVINO gives the thread that loads its CPU plugin an alternate stack for signals, which
some processors need for a moment, and takes it back when the model goes: it then puts the one
before in place again, which may have gone meanwhile (of three models, the second and then the
third), or it does so in another thread, to no effect. The next signal, of Ctrl-C for example, finds
no memory there and ends the process with SIGSEGV.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from multiqa_integrations.backends.openvino_import import ov

_ON_STACK, _DISABLE = 1, 2


class _Stack(ctypes.Structure):
    """`stack_t` of <signal.h>."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


def compile_for_cpu(graph: ov.Model, config: Mapping[str, Any]) -> ov.CompiledModel:
    """Return a model that computes a graph with all that is in `config`."""
    put_back = _signal_stack()
    try:
        return ov.Core().compile_model(graph, "CPU", dict(config))
    finally:
        # A call without arguments is one step: Ctrl-C comes before the compilation ends, or after.
        if put_back():
            # The stack is too small for the registers that OpenVINO uses: signals get none of it.
            _sigaltstack(_Stack(flags=_DISABLE))()


def _signal_stack() -> Callable[[], int]:
    """Return what puts this thread's stack for signals back in place."""
    if sys.platform != "linux":
        return lambda: 0
    stack = _Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    stack.flags &= ~_ON_STACK
    return _sigaltstack(stack)


def _sigaltstack(stack: _Stack) -> Callable[[], int]:
    return partial(ctypes.CDLL(None).sigaltstack, ctypes.byref(stack), None)
