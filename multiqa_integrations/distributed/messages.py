"""What driver and workers send each other.

Workers return counts, digests of ids and rejections, never texts or vectors. Errors are returned as
values: raised in another process, they would come back as something else.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import multiqa_integrations
from multiqa_integrations.distributed.ids import SplitIds
from multiqa_integrations.distributed.splits import Split
from multiqa_integrations.errors import MultiQAError
from multiqa_integrations.etl.changes import ChangeKind, Rejection
from multiqa_integrations.etl.job import JobOptions
from multiqa_integrations.etl.reports import Difference
from multiqa_integrations.qdrant.lease_record import LeaseToken

Method: TypeAlias = Literal["ids", "store", "plan", "verify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What all workers of a job have alike.

    Attributes:
        collection: The collection.
        options: Those of the job; `url` says where, and the encoder is what each worker loads.
        sparse_vector: The name of the sparse vector that chunks get, or None.
        token: The driver's lease.
        several: Whether the source has several files, so that rejections must name theirs.
        with_records: Whether rejections are to bring their records, for dead letters.
        max_errors: With more rejections than that, a split is not read on.
        version: Of the driver's package.
    """

    collection: str
    options: JobOptions = field(repr=False)  # with the API key
    sparse_vector: str | None = None
    token: LeaseToken | None = None
    several: bool = False
    with_records: bool = False
    max_errors: int | None = None
    version: str = multiqa_integrations.__version__


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is to do.

    Attributes:
        method: What.
        split: With which part of the source.
        before: How many lines of its file are before it.
        earlier: Which of its records repeat an id: their lines, and in words where it was.
        most: Only so many of its records: it could not be read further.
    """

    method: Method
    split: Split
    before: int = 0
    earlier: dict[int, str] = field(default_factory=dict)
    most: int | None = None


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of a split.

    Attributes:
        records: Records that were read.
        rejections: Those that cannot be stored.
        unread: What could not be read.
        stopped: Whether the worker was stopped before its end.
    """

    records: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    stopped: bool = False


@dataclass(slots=True, kw_only=True)
class Stored(Outcome):
    """What became of a split of a sync.

    Attributes:
        documents: How many were stored, by what had to be done.
        kept: How many of them the collection had before.
        encoded: Chunks that were encoded.
        stale: Points that were deleted.
    """

    documents: Counter[ChangeKind] = field(default_factory=Counter)
    kept: int = 0
    encoded: int = 0
    stale: int = 0


@dataclass(slots=True, kw_only=True)
class Planned(Outcome):
    """What would become of a split.

    Attributes:
        documents: How many documents there are, by what would have to be done.
        kept: How many of them the collection has.
        chunks: Chunks to encode.
        tokens: Their word pieces.
        tokens_per_second: How fast this worker encodes, if it was tried.
    """

    documents: Counter[ChangeKind] = field(default_factory=Counter)
    kept: int = 0
    chunks: int = 0
    tokens: int = 0
    tokens_per_second: float | None = None


@dataclass(slots=True, kw_only=True)
class Compared(Outcome):
    """How a split compares with the collection.

    Attributes:
        equal: Documents that are as they should be.
        differences: How many are not, by how they differ.
        examples: Some ids for each of these.
    """

    equal: int = 0
    differences: dict[Difference, int] = field(default_factory=dict)
    examples: dict[Difference, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that ends the job.

    Attributes:
        error: The error.
        outcome: What became of the split until then.
    """

    error: MultiQAError
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """A split that cannot be done.

    Attributes:
        reason: Why.
    """

    reason: str


Result: TypeAlias = SplitIds | Outcome | Failure | Lost
