"""What a lease says in the metadata of its collection, and whether its run may still be at work."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from multiqa_integrations.errors import LeaseError
from multiqa_integrations.qdrant.info import CollectionInfo
from multiqa_integrations.values import parse_time

EXPIRES_SECONDS = 150
"""How long after it was renewed a lease counts that nobody has removed."""

CLOCK_SECONDS = 30
"""How far the clocks of two machines may differ; a lease further in the future does not count."""

CLOSED_SECONDS = 3_600
"""How far, where a lease closes its collection: better to refuse a write than to lose it."""

WHOLE_KEY = "multiqa.lease"
"""Where the lease of a whole collection is in its metadata."""

held_runs: set[str] = set()
"""The runs of this process that have a lease."""

_LARGEST_PID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class LeaseToken:
    """Names the lease of a run, for workers of the run in other processes.

    Attributes:
        key: Where the lease is in the metadata.
        run: Whose it is.
        what: What it is a lease of, in words.
    """

    key: str
    run: str
    what: str

    def is_valid(self, metadata: Mapping[str, Any]) -> bool:
        """Check whether the lease is still there, and has been renewed.

        Raises:
            LeaseError: Another run has taken it.
        """
        lease = metadata.get(self.key)
        if not isinstance(lease, dict):
            return False
        if lease.get("run") != self.run:
            raise self.lost_error()
        return _is_recent(lease)

    def lost_error(self) -> LeaseError:
        """Return the error of a run whose lease is gone."""
        return LeaseError(
            f"the lease on {self.what} is no longer that of this run, so it was stopped: nothing "
            "is lost, but let it run again when no other is at work."
        )


def closed_by(info: CollectionInfo) -> dict[str, Any] | None:
    """Return the lease of the migration that has closed a collection, if one has."""
    lease = lease_of(info, WHOLE_KEY)
    if lease is None or not lease.get("closed"):
        return None
    return lease if is_alive(lease, -CLOSED_SECONDS, CLOSED_SECONDS) else None


def lease_of(info: CollectionInfo | None, key: str) -> dict[str, Any] | None:
    """Return the lease at a key of the metadata; None where there is none."""
    value = None if info is None else info.metadata.get(key)
    return dict(value) if isinstance(value, dict) else None


def now() -> str:
    """Return the time as leases hold it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def machine() -> dict[str, str | None]:
    """Name the machine that process ids belong to: many containers may share a host name."""
    boot = pids = None
    with suppress(OSError):  # on Linux alone
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        pids = str(Path("/proc/self/ns/pid").readlink())
    return {"host": socket.gethostname(), "boot": boot, "pids": pids}


def is_alive(
    lease: dict[str, Any], youngest: float = -CLOCK_SECONDS, oldest: float = EXPIRES_SECONDS
) -> bool:
    """Return whether the run of a lease may still be at work; False for what is not a lease.

    It was renewed `youngest` to `oldest` seconds ago, as far as clocks agree.
    """
    pid = lease.get("pid")
    if type(pid) is not int or not 0 < pid <= _LARGEST_PID:
        return False
    if not _is_recent(lease, youngest, oldest):
        return False
    if any(lease.get(name) != value for name, value in machine().items()):
        return True
    if pid == os.getpid():  # of this process; or of one before it that had the same number
        return lease.get("run") in held_runs
    return _process_exists(pid)


def _is_recent(
    lease: dict[str, Any], youngest: float = -CLOCK_SECONDS, oldest: float = EXPIRES_SECONDS
) -> bool:
    """Return whether a lease was renewed `youngest` to `oldest` seconds ago."""
    try:
        renewed = parse_time(lease["renewed"])
        age = (datetime.now(timezone.utc) - renewed).total_seconds()
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
        return False
    return youngest <= age <= oldest


def _process_exists(pid: int) -> bool:
    if sys.platform == "win32":  # os.kill would end it there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
