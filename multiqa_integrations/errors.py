"""The errors that this package raises, all of them below one root.

    MultiQAError
    ├─ ConfigurationError(ValueError)             a setting cannot be honoured
    ├─ MissingDependencyError(ImportError)        .package .extra
    ├─ ModelError
    │   ├─ ModelNotFoundError                     no checkpoint at that name or directory
    │   ├─ ModelContractError                     a checkpoint of another kind
    │   └─ ModelIntegrityError                    a damaged file
    ├─ TextError(ValueError)                      .index
    │   ├─ TextTypeError(TypeError)               something that is not text
    │   └─ TruncationError                        .index .tokens .limit
    ├─ StoreError                                 a vector store refused or failed
    │   ├─ CollectionNotFoundError
    │   ├─ CollectionMismatchError                .collection .expected .actual
    │   ├─ StoreUnavailableError                  may pass: run again later
    │   ├─ StorePermissionError                   a person must give a key or a right
    │   ├─ StoreLimitError                        a person must raise a limit or free space
    │   ├─ StoreClosedError
    │   ├─ StoreLockedError
    │   └─ WriteRejectedError                     .ids .reasons
    ├─ SyncError                                  an ETL job stopped
    │   ├─ SourceError                            .source .line
    │   │   ├─ SourceUnavailableError             may pass: run again later
    │   │   └─ SourcePermissionError              a person must give a key or a right
    │   ├─ LeaseError                             another run works on the source
    │   ├─ ClusterError                           no cluster of Ray, or its workers cannot begin
    │   ├─ PruneRefusedError                      .report
    │   └─ SyncIncompleteError                    .report
    └─ TrainingError                              a training ended without a model

Every message says what was given, what was expected and what to do next. An error that ends a job
has `.report`, what was done before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class MultiQAError(Exception):
    """Root of every error of this package.

    Errors come back from other processes (multiprocessing, Celery, Ray) with their message and
    attributes, whatever their constructor takes.

    Attributes:
        report: What a job had done before the error ended it; None elsewhere.
    """

    report: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Python's own way calls the constructor with `args`, the message alone.
        return (_without_constructor, (type(self), self.args), vars(self))


class ConfigurationError(MultiQAError, ValueError):
    """A setting is unknown, out of range, or cannot be honoured on this machine."""


class MissingDependencyError(MultiQAError, ImportError):
    """An optional package is not installed.

    Attributes:
        package: The missing package.
        extra: The extra of this package that installs it.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'multiqa-integrations[{extra}]'"
        )
        self.package = package
        self.extra = extra


class ModelError(MultiQAError):
    """A checkpoint could not be found, read or used."""


class ModelNotFoundError(ModelError):
    """No checkpoint at that name or directory, or the hub could not be reached."""


class ModelContractError(ModelError):
    """The checkpoint is of another kind: other pooling, dimension or architecture."""


class ModelIntegrityError(ModelError):
    """A file of the checkpoint is damaged: truncated, or not the bytes its digest promises."""


class TextError(MultiQAError, ValueError):
    """A text cannot be encoded.

    Attributes:
        index: Position of the text in the input; None if the input as a whole is wrong.
    """

    def __init__(self, message: str, *, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


class TextTypeError(TextError, TypeError):
    """Something that is not text stands where text is expected."""


class TruncationError(TextError):
    """A text is longer than the limit, and `on_truncation="error"` was asked for.

    Attributes:
        index: Position of the first such text in the input.
        tokens: Its length in word pieces, [CLS] and [SEP] included.
        limit: The limit in word pieces, [CLS] and [SEP] included.
    """

    index: int

    def __init__(self, *, index: int, tokens: int, limit: int, count: int) -> None:
        super().__init__(
            f"text {index} has {tokens:,} word pieces, the limit is {limit} "
            f"({count:,} of the texts given are longer). Split it with "
            "multiqa_integrations.chunking.chunk(), or pass on_truncation='warn' or 'ignore' "
            "(--on-truncation).",
            index=index,
        )
        self.tokens = tokens
        self.limit = limit


class TruncationWarning(UserWarning):
    """Some texts of a call were longer than the limit and were truncated."""


class PerformanceWarning(UserWarning):
    """A setting works on this machine, but not faster."""


class CollectionWarning(UserWarning):
    """A collection can be used, but not everything about it could be checked."""


class InsecureConnectionWarning(UserWarning):
    """A secret travels unencrypted over a network."""


class StoreError(MultiQAError):
    """A vector store refused or failed."""


class CollectionNotFoundError(StoreError):
    """There is no collection of that name."""


class CollectionMismatchError(StoreError):
    """A collection does not fit the encoder.

    Attributes:
        collection: Its name.
        expected: What the encoder needs, by property.
        actual: What the collection has, by property.
    """

    def __init__(
        self,
        message: str,
        *,
        collection: str,
        expected: dict[str, object],
        actual: dict[str, object],
    ) -> None:
        super().__init__(message)
        self.collection = collection
        self.expected = expected
        self.actual = actual


class StoreUnavailableError(StoreError):
    """The store could not be reached, or did not answer in time."""


class StorePermissionError(StoreError):
    """The API key is missing or wrong, or does not have the right to do this."""


class StoreLimitError(StoreError):
    """The store is at a limit of its own: a quota, strict mode, the size of its disk."""


class StoreClosedError(StoreError):
    """The store was closed before."""


class StoreLockedError(StoreError):
    """Another process has the store open."""


class WriteRejectedError(StoreError):
    """The store refused some points.

    Attributes:
        reasons: Why, by the ids of the refused points.
        ids: The ids of the refused points.
    """

    def __init__(self, message: str, *, reasons: Mapping[str, str]) -> None:
        super().__init__(message)
        self.reasons = dict(reasons)
        self.ids = list(self.reasons)


class SyncError(MultiQAError):
    """An ETL job stopped."""


class SourceError(SyncError):
    """A source cannot be read.

    Attributes:
        source: The source.
        line: The line or record, counted from 1, where known.
    """

    def __init__(self, message: str, *, source: str, line: int | None = None) -> None:
        super().__init__(message)
        self.source = source
        self.line = line


class SourceUnavailableError(SourceError):
    """The object store that has a source could not be reached, or did not answer in time."""


class SourcePermissionError(SourceError):
    """An object store refused to give a source: a key is missing or wrong, or lacks the right."""


class LeaseError(SyncError):
    """Another run works on the same source of the same collection."""


class ClusterError(SyncError):
    """A cluster of Ray cannot be reached, or workers cannot begin on it."""


class PruneRefusedError(SyncError):
    """Deleting what left the source was refused as unsafe; everything else was done.

    Attributes:
        report: What was done.
    """

    def __init__(self, message: str, *, report: object) -> None:
        super().__init__(message)
        self.report = report


class SyncIncompleteError(SyncError):
    """A job ended before its source did.

    Attributes:
        report: What was done.
    """

    def __init__(self, message: str, *, report: object) -> None:
        super().__init__(message)
        self.report = report


class TrainingError(MultiQAError):
    """A training ended before there was a model: it was stopped, diverged, or found no room."""


@contextmanager
def reporting(make: Callable[[], object]) -> Iterator[None]:
    """Give an error that ends the block the report that `make` returns, unless it has one.

    A KeyboardInterrupt gets it, too: it ends what does not end by itself soon enough.
    """
    try:
        yield
    except (MultiQAError, KeyboardInterrupt) as error:
        if getattr(error, "report", None) is None:
            error.report = make()  # type: ignore[union-attr]  # any exception takes attributes
        raise


def _without_constructor(kind: type[MultiQAError], args: tuple[Any, ...]) -> MultiQAError:
    """Make an error as it was before it was pickled; its attributes follow."""
    error = kind.__new__(kind, *args)
    if isinstance(error, ImportError):
        ImportError.__init__(error, *args)  # sets its `msg`
    return error
