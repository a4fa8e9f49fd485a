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
import time
import uuid
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
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
from multiqa_integrations.qdrant.lease_record import (
    EXPIRES_SECONDS,
    WHOLE_KEY,
    LeaseToken,
    held_runs,
    is_alive,
    lease_of,
    machine,
    now,
)
from multiqa_integrations.qdrant.retry import Attempts, retrying
from multiqa_integrations.qdrant.store import Store

RENEWED_SECONDS = 20
"""How often a lease is renewed."""

# Until a lease counts as taken: in proportion to how long it took to write it, 70 ms on a cluster.
_PAUSE = 10.0
_LONGEST_PAUSE = 1.0
_LOOKS = 5
_RELOOK = 0.2  # of the time that a look is good for, before the next one at a lease that is gone

_PREFIX = f"{WHOLE_KEY}."
_SHARD = re.compile(r"/([0-9]+)of([0-9]+)")


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
        self._key = WHOLE_KEY if source is None else f"{_PREFIX}{source}"
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
        held_runs.add(self._run)
        try:
            self._since = now()
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
            held_runs.discard(self._run)
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
            lease = lease_of(info, self._key)
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
            lease = lease_of(info, self._key)
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
        held_runs.discard(self._run)
        if isinstance(error, LeaseError) or not self.kept:
            return
        # A store that is away has been waited for already, and the lease ends by itself.
        seconds = 0.0 if isinstance(error, StoreUnavailableError) else None
        with suppress(StoreError), retrying(seconds):
            lease = lease_of(self._info(), self._key)
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
            lease = lease_of(info, key)
            if (
                lease is not None
                and lease.get("run") != self._run
                and self._overlaps(key)
                and is_alive(lease)
            ):
                return lease
        return None

    def _overlaps(self, key: str) -> bool:
        """Return whether a lease may be about the same documents: different shards of n are not."""
        if key == WHOLE_KEY or (self._source is None and key.startswith(_PREFIX)):
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
            **machine(),
            "pid": os.getpid(),
            "since": self._since,
            "renewed": now(),
            **({"closed": True} if self._closed else {}),
        }
        self._store.annotate(self._collection, self._key, lease)
        self._renewed = self._clock()
