"""Keep two jobs from working on the same documents at a time, as far as that is possible.

A run writes a lease into the collection's metadata, renews it while it works, and removes it at the
end. Another run over the same documents refuses to begin while there is one, unless its process is
known to be dead or it has not been renewed for long. Of two runs that begin in the same instant,
the later one overwrites the lease of the other, which looks again before it begins, and gives way.
Should both get past that, the one whose lease is gone finds out at its next renewal, and stops.

A sync has the lease of its source, or of a shard of it; a migration that of the whole collection.
Before a migration moves an alias to its copy it closes the old collection: writers, which look at
the lease before they write (see `writer`), write no more to it, so that nothing is left behind.

Servers before 1.16 keep no metadata: there is no lease then.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from multiqa_integrations.errors import (
    CollectionWarning,
    LeaseError,
    StoreError,
    StorePermissionError,
    StoreUnavailableError,
)
from multiqa_integrations.qdrant.info import CollectionInfo
from multiqa_integrations.qdrant.retry import Attempts, retrying
from multiqa_integrations.qdrant.store import Store
from multiqa_integrations.values import parse_time

RENEWED_SECONDS = 20
"""How often a lease is renewed."""

EXPIRES_SECONDS = 150
"""How long after that a lease counts that nobody has removed."""

CLOCK_SECONDS = 30
"""How far the clocks of two machines may differ; a lease further in the future does not count."""

CLOSED_SECONDS = 3_600
"""How far, where a lease closes its collection: better to refuse a write than to lose it."""

# Until a lease counts as taken: in proportion to how long it took to write it, 70 ms on a cluster.
_PAUSE = 10.0
_LONGEST_PAUSE = 1.0
_LOOKS = 5
_RELOOK = 0.2  # of the time that a look is good for, before the next one at a lease that is gone

_WHOLE = "multiqa.lease"
_PREFIX = f"{_WHOLE}."
_SHARD = re.compile(r"/([0-9]+)of([0-9]+)")
_LARGEST_PID = 2**31 - 1

_held: set[str] = set()  # by runs of this process


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


class Lease:
    """The right of one run to work on a source, or on a whole collection. Use it with `with`.

    Attributes:
        kept: Whether the store keeps leases.
        lost: Why the run must end: the collection is not the one that it began with. None if it is.
    """

    def __init__(
        self,
        store: Store,
        collection: str,
        *,
        source: str | None = None,
        shard: tuple[int, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take no lease yet.

        Args:
            store: Where the collection is.
            collection: The collection.
            source: The source's name; None is the whole collection.
            shard: `(i, n)`: the i-th of n parts of the source.
            clock: Tells the time, in seconds.
        """
        self._store, self._collection, self._clock = store, collection, clock
        self._source, self._shard = source, shard
        self._key = _WHOLE if source is None else f"{_PREFIX}{source}"
        self._key += f"/{shard[0]}of{shard[1]}" if shard else ""
        self._what = f"the collection {collection!r}"
        if source is not None:
            self._what = f"the source {source!r} of {collection!r}"
        self._closed = False
        self._run = uuid.uuid4().hex
        self._renewed = 0.0
        self._identity: str | None = None
        self.kept = True
        self.lost: str | None = None

    @property
    def token(self) -> LeaseToken | None:
        """What workers in other processes check; None where the store keeps no leases."""
        return LeaseToken(self._key, self._run, self._what) if self.kept else None

    def check_free(self) -> CollectionInfo | None:
        """Make sure that no other run has the lease, without taking it.

        Raises:
            LeaseError: Another run has it.
        """
        info = self._info()
        if (other := self._other(info)) is not None:
            raise LeaseError(
                f"another run is working on {self._what}: process {other.get('pid')} on "
                f"{other.get('host')}, since {other.get('since')}. Wait for its end; if it was "
                f"killed on another machine, its lease counts for {EXPIRES_SECONDS} s."
            )
        return info

    def __enter__(self) -> Lease:
        """Take the lease.

        Raises:
            LeaseError: Another run has it.
        """
        info = self.check_free()
        self._identity = None if info is None else info.identity
        _held.add(self._run)
        try:
            self._since = _now()
            began = self._clock()
            try:
                self._write()
            except StorePermissionError:
                self.kept = False
                warnings.warn(
                    f"the API key may write neither metadata nor points of {self._collection!r}: "
                    f"no lease keeps other runs from {self._what}. See that there is one at a "
                    "time.",
                    CollectionWarning,
                    stacklevel=4,
                )
                return self
            self.kept = self._is_seen(self._clock() - began)
        except BaseException:
            _held.discard(self._run)
            raise
        return self

    def _is_seen(self, seconds: float) -> bool:
        """Return whether the store keeps the lease, once others' writes of that moment are done.

        Args:
            seconds: How long the write took. Another run that had looked before it may just be
                writing too; and another node of a cluster may not know of the write yet.

        Raises:
            LeaseError: Another run has it.
        """
        pause = min(seconds * _PAUSE, _LONGEST_PAUSE) if self._store.look_seconds else 0.0
        for _ in range(_LOOKS):
            Attempts(0.0).wait(pause)
            info = self._info()
            lease = _lease(info, self._key)
            ours = lease is not None and lease.get("run") == self._run
            if self._other(info) is not None:
                if ours:
                    self._store.annotate(self._collection, self._key, None)
                raise LeaseError(
                    f"another run on {self._what} began in the same moment. Let one of them go "
                    "first."
                )
            if ours:
                return True
        return False

    def renew(self) -> None:
        """Renew the lease if it is time to.

        Raises:
            LeaseError: Another run has taken it.
        """
        if self.lost is not None or self._clock() - self._renewed < RENEWED_SECONDS:
            return
        lease = None
        for _ in range(_LOOKS):
            info = self.check()
            if self.lost is not None or not self.kept:
                self._renewed = self._clock()
                return
            lease = _lease(info, self._key)
            if lease is not None:
                break
            # A node of a cluster may have been restarted, and not know of it yet.
            Attempts(0.0).wait(self._store.look_seconds * _RELOOK)
        if lease is None or lease.get("run") != self._run:
            raise LeaseError(
                f"another run has taken {self._what} over, so this one was stopped: nothing is "
                "lost, but let one of them run again when the other has ended."
            )
        self._write()

    def confirm(self) -> None:
        """Look now whether it is still this run's: before something is deleted, and at the end.

        Raises:
            LeaseError: Another run has taken it.
        """
        self._renewed = float("-inf")
        self.renew()

    def check(self) -> CollectionInfo | None:
        """Look whether the collection is still the one that the run began with."""
        info = self._info()
        if info is None or info.identity != self._identity:
            self.lost = "the collection was dropped while the run wrote to it" + (
                "" if info is None else ", and made anew"
            )
        return info

    def close_collection(self) -> None:
        """Say that nothing is to be written to the collection until the lease is given back.

        Raises:
            LeaseError: Another run has taken it.
        """
        self._closed = True
        self.confirm()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _held.discard(self._run)
        if isinstance(error, LeaseError) or not self.kept:
            return
        # A store that is away has been waited for already, and the lease ends by itself.
        seconds = 0.0 if isinstance(error, StoreUnavailableError) else None
        with suppress(StoreError), retrying(seconds):
            lease = _lease(self._info(), self._key)
            if lease is not None and lease.get("run") == self._run:  # else it is another run's
                self._store.annotate(self._collection, self._key, None)

    def _info(self) -> CollectionInfo | None:
        info = self._store.info(self._collection)
        if info is None:
            return None
        in_points = self._store.annotations_in_points(self._collection)
        return replace(info, metadata={**info.metadata, **in_points})

    def _other(self, info: CollectionInfo | None) -> dict[str, Any] | None:
        """Return a lease of another run that works on documents of this one."""
        for key in () if info is None else info.metadata:
            lease = _lease(info, key)
            if (
                lease is not None
                and lease.get("run") != self._run
                and self._overlaps(key)
                and _is_alive(lease)
            ):
                return lease
        return None

    def _overlaps(self, key: str) -> bool:
        """Return whether a lease may be about the same documents: different shards of n are not."""
        if key == _WHOLE or (self._source is None and key.startswith(_PREFIX)):
            return True
        whole = f"{_PREFIX}{self._source}"
        if not key.startswith(whole):
            return False
        if key in (whole, self._key):
            return True
        other = _SHARD.fullmatch(key.removeprefix(whole))
        shard = self._shard
        return other is not None and (shard is None or int(other[2]) != shard[1])

    def _write(self) -> None:
        lease = {
            "run": self._run,
            **_machine(),
            "pid": os.getpid(),
            "since": self._since,
            "renewed": _now(),
            **({"closed": True} if self._closed else {}),
        }
        self._store.annotate(self._collection, self._key, lease)
        self._renewed = self._clock()


def closed_by(info: CollectionInfo) -> dict[str, Any] | None:
    """Return the lease of the migration that has closed a collection, if one has."""
    lease = _lease(info, _WHOLE)
    if lease is None or not lease.get("closed"):
        return None
    return lease if _is_alive(lease, -CLOSED_SECONDS, CLOSED_SECONDS) else None


def _lease(info: CollectionInfo | None, key: str) -> dict[str, Any] | None:
    value = None if info is None else info.metadata.get(key)
    return dict(value) if isinstance(value, dict) else None


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _machine() -> dict[str, str | None]:
    """Name what process ids are of: a host name alone may be that of many containers."""
    boot = pids = None
    with suppress(OSError):  # on Linux alone
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        pids = str(Path("/proc/self/ns/pid").readlink())
    return {"host": socket.gethostname(), "boot": boot, "pids": pids}


def _is_alive(
    lease: dict[str, Any], youngest: float = -CLOCK_SECONDS, oldest: float = EXPIRES_SECONDS
) -> bool:
    """Return whether the run of a lease may still be at work; of what is not a lease, it is not.

    It was renewed `youngest` to `oldest` seconds ago, as far as clocks agree.
    """
    pid = lease.get("pid")
    if type(pid) is not int or not 0 < pid <= _LARGEST_PID:
        return False
    if not _is_recent(lease, youngest, oldest):
        return False
    if any(lease.get(name) != value for name, value in _machine().items()):
        return True
    if pid == os.getpid():  # of this process; or of one before it that had the same number
        return lease.get("run") in _held
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
