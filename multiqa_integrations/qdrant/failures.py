"""How requests to a store fail, where what is done next depends on it.

All of them are `StoreError`s; callers outside this package need no more than that.
"""

from __future__ import annotations

from multiqa_integrations.errors import StoreError, StoreLimitError, StoreUnavailableError


class AlreadyExistsError(StoreError):
    """Another client has just created the collection."""


class BadRequestError(StoreError):
    """The store refuses the points of the request: at least one of them is bad."""


class CollectionBrokenError(StoreError):
    """The server has the collection, and cannot read it or says that it is broken."""


class RefusedError(StoreError):
    """Something was not done because searches would not find what they find today."""


class TooLargeError(StoreLimitError):
    """The request is larger than the store ever accepts: a smaller one may pass.

    Attributes:
        most: How many items may be in one, where the store says so.
    """

    def __init__(self, message: str, *, most: int | None = None) -> None:
        super().__init__(message)
        self.most = most


class DiskFullError(StoreLimitError, StoreUnavailableError):
    """The store's disk is full; it may recover by itself when the store merges segments."""


class RateLimitedError(StoreUnavailableError):
    """The store limits the rate of requests.

    Attributes:
        retry_after: Seconds that the store asks to wait; None where it does not say.
    """

    def __init__(self, message: str, *, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
