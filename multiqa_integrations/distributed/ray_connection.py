"""Connect to a cluster of Ray, or start one here, without a word to anybody else."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from multiqa_integrations.errors import ClusterError

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 5.0
_LOCAL_STORE_BYTES = 128 * 1024 * 1024  # what workers return is small


def connect(ray: Any, address: str | None) -> Callable[[], None]:
    """Connect to the cluster at an address; "local" starts one.

    What Ray prints is logged from then on.

    Returns:
        What lets Ray print again, after it was shut down.

    Raises:
        ClusterError: There is none, or it cannot be reached.
    """
    local = address == "local"
    if not local:
        _check_listens(address)
    own = {"include_dashboard": False, "object_store_memory": _LOCAL_STORE_BYTES}
    try:
        with _quietly(), keeping_to_itself() if local else nullcontext():
            ray.init(
                address=address or "auto",
                log_to_driver=False,
                logging_level=logging.ERROR,
                **(own if local else {}),
            )
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        raise _no_cluster_error(address, error) from error
    return _log_what_ray_prints()


def _log_what_ray_prints() -> Callable[[], None]:
    # Ray prints to standard output what becomes of workers; there is no setting against it.
    internals: Any = sys.modules.get("ray._private.worker")
    print_to_stdout = getattr(internals, "print_to_stdstream", None)
    if print_to_stdout is None:
        return lambda: None
    internals.print_to_stdstream = _log_output
    return lambda: setattr(internals, "print_to_stdstream", print_to_stdout)


def _check_listens(address: str | None) -> None:
    """Make sure that somebody listens at an address: Ray tries for many minutes.

    Raises:
        ClusterError: Nobody does.
    """
    if address in (None, "auto"):
        address = os.environ.get("RAY_ADDRESS", "auto")
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return  # "auto", or what Ray itself refuses
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster_error(address, error) from error


def _no_cluster_error(address: str | None, error: Exception) -> ClusterError:
    where = "here" if address in (None, "auto") else f"at {address}"
    why = " ".join(str(error).split())[:300]
    return ClusterError(
        f"no cluster of Ray can be reached {where} ({why}). Name one (--ray ADDRESS, address=), "
        "or start one on this machine alone: --ray local, address='local'."
    )


def _log_output(data: dict[str, Any], ignore_prefix: bool) -> None:
    logger.info("Ray: %s", " ".join(map(str, data.get("lines", ()))))


@contextmanager
def keeping_to_itself() -> Iterator[None]:
    """Let a cluster of Ray's own here write nothing into HOME, and ask no cloud where it is."""
    # Its statistics ask all clouds before they see that they are off. They are all that this
    # server is for where there is no dashboard, and no setting is against it: Ray 2.60 starts it
    # with `include_dashboard=False` and RAY_USAGE_STATS_ENABLED=0 too. Where another version has
    # no such function, everything works as well, and it may ask.
    services = sys.modules.get("ray._private.services")
    start = getattr(services, "start_api_server", None)
    token = Path.home() / ".ray" / "auth_token"  # where Ray would keep one
    is_named = any(name.startswith("RAY_AUTH_") for name in os.environ) or token.exists()
    if not is_named:  # it stays, as does the mode that Ray sets: another cluster needs both
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    if start is None:
        yield
        return
    try:
        services.start_api_server = lambda *_, **__: (None, None)  # type: ignore[union-attr]
        yield
    finally:
        services.start_api_server = start  # type: ignore[union-attr]


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep Ray from reporting its start to anybody, and from changing the handling of signals."""
    environment = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    added = [name for name in environment if name not in os.environ]
    os.environ.update({name: environment[name] for name in added})
    in_main = threading.current_thread() is threading.main_thread()
    handlers = {
        number: signal.getsignal(number)
        for number in ((signal.SIGINT, signal.SIGTERM) if in_main else ())
    }
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)
