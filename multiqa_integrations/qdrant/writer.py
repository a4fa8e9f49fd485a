"""Write to the collection that a name stands for, and to no other.

An alias may come to stand for another collection at any moment, and that may have the vectors of
another model. So a writer looks first at what its name stands for, whose vectors that has, and
whether a migration has closed it; then it writes to that collection by its own name, which no alias
can move. What it saw counts for a while, `Store.look_seconds`. If the write took longer, it looks
again afterwards: where the name stands for another collection by now, it writes there too.

A migration closes the old collection, waits until nothing counts any more that was seen before,
copies what was written until then, and only then moves the alias. So a write that returned is in
the new collection, and one that is not has raised an error. Clocks may differ by an hour.

A worker, whose run holds the lease in another process, looks at that too: where it is no longer
that run's, nothing more is written. Its requests are repeated only as long as a look counts, then
it looks again: a worker that was cut off writes nothing when it is back, if it was replaced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from multiqa_integrations.errors import (
    CollectionMismatchError,
    StoreError,
    StoreLockedError,
    StoreUnavailableError,
)
from multiqa_integrations.qdrant.differences import differences, raise_on_mismatch
from multiqa_integrations.qdrant.dual import Steps, ask, run, work
from multiqa_integrations.qdrant.info import CollectionInfo
from multiqa_integrations.qdrant.lease_record import LeaseToken, closed_by
from multiqa_integrations.qdrant.names import collection_not_found_error
from multiqa_integrations.qdrant.points import Point, PointId
from multiqa_integrations.qdrant.retry import Attempts, retrying
from multiqa_integrations.qdrant.schema import CollectionSchema
from multiqa_integrations.qdrant.store import Store

# At a lease that is gone: so often, and after so much of the time that a look counts for.
_LOOKS = 4
_RELOOK = 0.2


@dataclass(frozen=True, slots=True)
class _Look:
    """What a name stood for.

    Attributes:
        moment: When the look began.
        collection: The collection's own name.
        identity: Its identity, if it has one.
    """

    moment: float
    collection: str
    identity: str | None

    def same(self, other: _Look) -> bool:
        """Return whether it was the same collection."""
        return (self.collection, self.identity) == (other.collection, other.identity)


class Writer:
    """Writes to what a name stands for, as long as that is a collection of one model.

    Any number of threads and coroutines may use it.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        schema: CollectionSchema,
        clock: Callable[[], float] = time.monotonic,
        *,
        token: LeaseToken | None = None,
    ) -> None:
        """Look at nothing yet.

        Args:
            store: Where the collection is.
            name: Its name, or an alias.
            schema: What it must be.
            clock: Tells the time, in seconds.
            token: The lease of the run that this one writes for, where another process holds it.
        """
        self._store, self._name, self._schema, self._clock = store, name, schema, clock
        self._token = token
        self._seen: _Look | None = None

    def write(self, method: Callable[..., None], *args: Any, **kwargs: Any) -> Steps[None]:
        """Call a method of the store with the collection and these arguments.

        Raises:
            CollectionMismatchError: The name stands for a collection of another model.
            StoreLockedError: A migration is about to move its alias to another one.
            StoreError: There is none, or the store refused or failed.
            LeaseError: The lease of the writer's token is no longer that run's.
        """
        attempts = Attempts()
        while True:
            look = yield from self._looked()
            if self._token is None:
                yield from ask(self._store, method, look.collection, *args, **kwargs)
            else:
                try:
                    with retrying(most=self._store.look_seconds):
                        yield from ask(self._store, method, look.collection, *args, **kwargs)
                except StoreUnavailableError as error:
                    yield from work(attempts.wait, attempts.pause_after(error))
                    continue
            if self._counts(look):
                return
            try:
                again = yield from self._look()
            except (CollectionMismatchError, StoreLockedError) as error:
                raise _too_late(error, look.collection) from error
            if again.same(look):
                return

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points; see `Store.upsert` and `write`."""
        run(self.write(Store.upsert, points))

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points; see `Store.delete` and `write`."""
        run(self.write(Store.delete, ids=ids))

    def confirm(self) -> None:
        """Look again, unless what was seen still counts.

        Raises:
            LeaseError: The lease of the writer's token is no longer that run's.
            StoreError: As of `write`.
        """
        run(self._looked())

    def _looked(self) -> Steps[_Look]:
        """Return what was seen, if it still counts; else look again."""
        seen = self._seen
        if seen is not None and self._counts(seen):
            return seen
        return (yield from self._look())

    def _counts(self, look: _Look) -> bool:
        return self._clock() - look.moment < self._store.look_seconds

    def _look(self) -> Steps[_Look]:
        self._seen = None
        moment = self._clock()
        collection = yield from self._own_name()
        info = yield from ask(self._store, Store.info, collection)
        if info is None:
            raise collection_not_found_error(self._name)
        raise_on_mismatch(self._name, differences(self._schema, info, indexes=False))
        if (lease := closed_by(info)) is not None:
            raise StoreLockedError(
                f"the collection {collection!r} is being moved to another one by process "
                f"{lease.get('pid')} on {lease.get('host')}, since {lease.get('since')}, and takes "
                "no more writes. Write again in a moment; where it is moved to another model, open "
                "it with that model. If that process is gone, run what it did again."
            )
        if self._token is not None:
            yield from self._check_lease(self._token, collection, info)
        self._seen = look = _Look(moment, collection, info.identity)
        return look

    def _check_lease(self, token: LeaseToken, collection: str, info: CollectionInfo) -> Steps[None]:
        seen: CollectionInfo | None = info
        for _ in range(_LOOKS):
            in_points = yield from ask(self._store, Store.annotations_in_points, collection)
            if token.is_valid({**({} if seen is None else seen.metadata), **in_points}):
                return
            # A node of a cluster may have been restarted, and not know of it yet.
            yield from work(Attempts(0.0).wait, self._store.look_seconds * _RELOOK)
            seen = yield from ask(self._store, Store.info, collection)
        raise token.lost_error()

    def _own_name(self) -> Steps[str]:
        """Return the collection's own name; where aliases cannot be read, the one that was given.

        That reaches the collection too, and a migration that closes it is seen by either. So a
        write is not held up by a request that it can do without.
        """
        try:
            with retrying(0.0):
                aliases = yield from ask(self._store, Store.aliases)
        except StoreError:
            return self._name
        return aliases.get(self._name, self._name)


def _too_late(error: StoreError, collection: str) -> StoreError:
    """Return the error of a look after a write, with what became of the write."""
    words = (
        f"What was just written is in {collection!r}, and may be missing where the name stands for "
        f"another collection now: write it again. {error}"
    )
    if isinstance(error, CollectionMismatchError):
        return CollectionMismatchError(
            words, collection=error.collection, expected=error.expected, actual=error.actual
        )
    return StoreLockedError(words)
