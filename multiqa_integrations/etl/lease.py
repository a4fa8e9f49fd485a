"""Keep two runs from working on one source at a time, as far as that is possible.

A run writes a lease into the collection's metadata, renews it while it works, and takes it away
at the end. Another run refuses to begin while there is one, unless its process is known to be dead
or it has not been renewed for long. Two runs that begin in the same instant may both get past that;
the one whose lease was overwritten finds out at the next renewal, and stops.

Servers before 1.16 keep no metadata: there is no lease then.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from multiqa_integrations.errors import LeaseError, StoreError
from multiqa_integrations.etl.job import Job
from multiqa_integrations.qdrant.retry import call_with_retry

RENEWED_SECONDS = 20
"""How often a lease is renewed."""

EXPIRES_SECONDS = 180
"""How long after that a lease counts that nobody has taken away."""

_held: set[str] = set()  # by runs of this process


class Lease:
    """The right of one run to work on a source. Use it with `with`."""

    def __init__(self, job: Job, clock: Callable[[], float] = time.monotonic) -> None:
        """Take no lease yet."""
        self._source, shard = job.options.source_name, job.options.shard
        part = f"/{shard[0]}of{shard[1]}" if shard else ""
        self._key = f"multiqa.lease.{self._source}{part}"
        self._job, self._clock = job, clock
        self._run = uuid.uuid4().hex
        self._renewed = 0.0
        self.kept = True

    def __enter__(self) -> Lease:
        """Take the lease.

        Raises:
            LeaseError: Another run has it.
        """
        found = self._read()
        if found is not None and _is_alive(found):
            raise LeaseError(
                f"another run is working on the source {self._source!r} of "
                f"{self._job.collection!r}: process {found.get('pid')} on {found.get('host')}, "
                f"since {found.get('since')}. Wait for its end; if it was killed on another "
                f"machine, its lease counts for {EXPIRES_SECONDS} s."
            )
        _held.add(self._run)
        try:
            self._since = _now()
            self._write()
            found = self._read()
            self.kept = found is not None
            if found is not None and found.get("run") != self._run:
                raise LeaseError(
                    f"another run of the source {self._source!r} began in the same "
                    "moment. Let one of them go first."
                )
        except BaseException:
            _held.discard(self._run)
            raise
        return self

    def renew(self) -> None:
        """Renew the lease if it is time to.

        Raises:
            LeaseError: Another run has taken it.
        """
        if not self.kept or self._clock() - self._renewed < RENEWED_SECONDS:
            return
        found = self._read()
        if found is None or found.get("run") != self._run:
            raise LeaseError(
                f"another run has taken the source {self._source!r} of "
                f"{self._job.collection!r} over, so this one was stopped: nothing is lost, but let "
                "one of them run again when the other has ended."
            )
        self._write()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _held.discard(self._run)
        if isinstance(error, LeaseError) or not self.kept:
            return
        store, collection = self._job.store, self._job.collection
        with suppress(StoreError):  # a store that has gone: the lease ends by itself
            info = store.info(collection)
            found = None if info is None else info.metadata.get(self._key)
            if isinstance(found, dict) and found.get("run") == self._run:  # else another run's
                store.annotate(collection, self._key, None)

    def _read(self) -> dict[str, Any] | None:
        store, collection = self._job.store, self._job.collection
        info = call_with_retry(lambda: store.info(collection), self._job.stop)
        found = None if info is None else info.metadata.get(self._key)
        return dict(found) if isinstance(found, dict) else None

    def _write(self) -> None:
        lease = {
            "run": self._run,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": self._since,
            "renewed": _now(),
        }
        store, collection = self._job.store, self._job.collection
        call_with_retry(lambda: store.annotate(collection, self._key, lease), self._job.stop)
        self._renewed = self._clock()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _is_alive(lease: dict[str, Any]) -> bool:
    """Tell whether the run of a lease may still be at work."""
    try:
        renewed = datetime.fromisoformat(lease["renewed"])
        age = (datetime.now(timezone.utc) - renewed).total_seconds()
        pid = int(lease["pid"])
    except (KeyError, TypeError, ValueError):
        return False  # nobody's
    if age > EXPIRES_SECONDS:
        return False
    if lease.get("host") != socket.gethostname():
        return True
    if pid == os.getpid():  # of this process; or of one before it that had the same number
        return lease.get("run") in _held
    return _process_exists(pid)


def _process_exists(pid: int) -> bool:
    if sys.platform == "win32":  # os.kill would end it there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
