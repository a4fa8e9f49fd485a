"""Ctrl-C and SIGTERM: how they end a command.

A command is interrupted, and exits with 128 and the signal's number. One that can finish what it is
at says so with `Signals`. SIGTERM ends each within two seconds, whatever it is at: whoever sends
it, such as Docker, kills soon after, and then nothing is reported.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

import typer

from multiqa_integrations.errors import MultiQAError

_FINISHES_SECONDS = 0.8
"""How long after SIGTERM a command may take to finish what it is at."""

_ENDS_SECONDS = 1.0
"""How long after that it may take to report and to clean up."""


_ending: list[Callable[[], str | None]] = []
_told = threading.Event()


@contextmanager
def telling_at_the_end(message: Callable[[], str | None]) -> Iterator[None]:
    """Let a message be shown where SIGTERM ends the process within a call that does not return.

    Args:
        message: Returns it, or None; called in another thread.
    """
    _ending.append(message)
    try:
        yield
    finally:
        _ending.remove(message)


def tell_end(number: int) -> None:
    """Show which signal has ended the command, once."""
    if not _told.is_set():
        _told.set()
        text = "interrupted" if number == signal.SIGINT else "stopped by SIGTERM"
        sys.stderr.write(f"{text}\n")


class Signals:
    """Ends a command when a signal comes. Use it with `with`, in the main thread.

    Attributes:
        stop: Set by the first signal.
        received: The signal's number, or None.
        finishes: Whether the block ends by itself once `stop` is set; it may change meanwhile.
    """

    def __init__(self, *, finishes: bool = True) -> None:
        """Handle no signals yet.

        Args:
            finishes: Whether the block ends by itself once `stop` is set; a second signal
                interrupts it. Otherwise the first one does.
        """
        self.stop = threading.Event()
        self.received: int | None = None
        self.finishes = finishes

    def __enter__(self) -> Signals:
        self._handlers = {
            number: signal.signal(number, self._handle)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if isinstance(error, MultiQAError | KeyboardInterrupt):
            self.check()  # whatever the stop has cut short: it was the signal

    def check(self) -> None:
        """Exit with the signal's status, if there was one."""
        if self.received is not None:
            raise typer.Exit(128 + self.received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again = self.stop.is_set()
        self.received = self.received or number
        self.stop.set()
        if again and not self.finishes:
            return  # it is on its way out
        if again or not self.finishes:
            raise KeyboardInterrupt
        _end_standard_input()
        hint = "; press Ctrl-C again to stop at once" if number == signal.SIGINT else ""
        # Not through rich: a handler may run while a console holds its lock.
        sys.stderr.write(f"\nfinishing the current batch{hint}\n")


def _end_standard_input() -> None:
    """Let a job that waits for the next line of standard input find its end instead."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def end_in_time() -> None:
    """Make sure that SIGTERM ends this process in time, by a thread that waits for it.

    A handler alone does not: it runs in the main thread, after a call into a native library has
    returned.
    """
    if sys.platform == "win32":  # nobody sends SIGTERM there
        return
    received, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)  # Python writes each signal's number
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # the parent's pipe
    threading.Thread(target=_end, args=(received,), name="multiqa-sigterm", daemon=True).start()


def _end(received: int) -> None:
    while signal.SIGTERM not in os.read(received, 1):
        pass
    time.sleep(_FINISHES_SECONDS)
    main = threading.main_thread().ident
    if main is not None and sys.platform != "win32":
        signal.pthread_kill(main, signal.SIGTERM)  # interrupts what has not finished
    time.sleep(_ENDS_SECONDS)
    if not _told.is_set():
        with suppress(OSError, ValueError):  # whoever read it may be gone
            for message in (make() for make in list(_ending)):
                if message is not None:
                    sys.stderr.write(f"{message}\n")
            tell_end(signal.SIGTERM)
            sys.stderr.flush()
    os._exit(128 + signal.SIGTERM)
