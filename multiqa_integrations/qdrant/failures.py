"""How requests to a store fail, where what is done next depends on it.

All of them are `StoreError`s; callers outside this room need no more than that.
"""

from __future__ import annotations

from multiqa_integrations.errors import StoreError, StoreUnavailableError


class AlreadyExistsError(StoreError):
    """Somebody else has just created the collection."""


class BadRequestError(StoreError):
    """The request itself is wrong, and will be the next time too: a point in it, or its size."""


class RateLimitedError(StoreUnavailableError):
    """The store asks for patience.

    Attributes:
        retry_after: Seconds to wait; None where the request is more than the store takes at any
            time, so that a smaller one is called for.
    """

    def __init__(self, message: str, *, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
