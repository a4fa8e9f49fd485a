"""Calls into native libraries, at the two times when none may be under way.

When the program ends: a daemon thread is ended where it next asks for the interpreter lock, and
if that is on its way back from OpenVINO or the tokenizer, the whole process aborts. So they are
waited for, and from then on only the main thread, such as a user's atexit handler, may call.

When the process forks: the child gets the libraries' memory as it is at that moment, without the
thread that was changing it.
"""

from __future__ import annotations

import atexit
import os
import threading

from multiqa_integrations.errors import ModelError

_LONGEST_WAIT = 30.0  # seconds; a call computes one batch, or one group of texts


class NativeCalls:
    """A context manager around each call; see the module."""

    _changed: threading.Condition
    _callers: list[threading.Thread]
    _holder: threading.Thread | None  # that is forking
    _ending: bool

    def __init__(self) -> None:
        self.forget()

    def __enter__(self) -> None:
        thread = threading.current_thread()
        with self._changed:
            self._changed.wait_for(lambda: self._holder in (None, thread))
            if self._ending and thread is not threading.main_thread():
                raise ModelError(
                    "the program is ending, and only its main thread can encode any more. Join "
                    "your threads before the program ends."
                )
            self._callers.append(thread)

    def __exit__(self, *exception: object) -> None:
        with self._changed:
            self._callers.remove(threading.current_thread())
            self._changed.notify_all()

    def end(self) -> None:
        """Wait for the calls of other threads, and let them make no further ones."""
        with self._changed:
            self._ending = True
            self._wait()

    def hold(self) -> None:
        """Wait for the calls of other threads, and hold up further ones until `go_on`."""
        self._changed.acquire()
        self._changed.wait_for(lambda: self._holder is None)
        self._holder = threading.current_thread()
        self._wait()

    def go_on(self) -> None:
        """End `hold`, in the thread that called it."""
        self._holder = None
        self._changed.notify_all()
        self._changed.release()

    def forget(self) -> None:
        """Start anew in a forked child, where the parent's threads do not live."""
        self._changed = threading.Condition()
        self._callers = []
        self._holder = None
        self._ending = False

    def _wait(self) -> None:
        # A signal handler may interrupt this very thread's own call.
        current = threading.current_thread()
        self._changed.wait_for(
            lambda: all(thread is current for thread in self._callers), _LONGEST_WAIT
        )


native_call = NativeCalls()
atexit.register(native_call.end)
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(
        before=native_call.hold,
        after_in_parent=native_call.go_on,
        after_in_child=native_call.forget,
    )
