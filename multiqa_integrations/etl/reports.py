"""What jobs report."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from multiqa_integrations.etl.changes import ChangeKind, Encoded, Outcome, Rejection, Written
from multiqa_integrations.etl.records import Unread

T = TypeVar("T")

_SHOWN = 1_000  # rejections, and parts that could not be read, that a report holds

Pruning = Literal["not asked for", "done", "refused", "left out"]
Difference = Literal["missing", "stale", "extra", "foreign", "norms"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Attributes:
        phase: What it is doing.
        records: Records that are done.
        encoded: Chunks that were encoded for them.
        rejected: Records that were rejected.
        fraction: How much of the source is done, from 0 to 1; None where that is unknown.
        workers: How many processes are at work on it, where the job has workers.
    """

    phase: Literal["reading ids", "reading", "pruning", "optimizing", "comparing"]
    records: int
    encoded: int
    rejected: int
    fraction: float | None
    workers: int | None = None


@dataclass(slots=True, kw_only=True)
class _Report:
    """What all reports do."""

    rejections: list[Rejection] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as values of JSON."""
        values: dict[str, Any] = {}
        for name in (item.name for item in fields(self)):
            value = getattr(self, name)
            if name == "documents":
                values |= {kind.value: value[kind] for kind in ChangeKind}
            elif name == "differences":
                values |= value
            elif name == "rejections":
                values[name] = [
                    {
                        **({} if rejection.file is None else {"file": rejection.file}),
                        "line": rejection.line,
                        "id": rejection.id,
                        "reason": rejection.reason,
                    }
                    for rejection in value
                ]
            else:
                values[name] = value
        return values

    def as_json(self) -> str:
        """Return the report as a JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def _show(self, rejection: Rejection) -> None:
        if len(self.rejections) < _SHOWN:  # without its record, which may be large
            self.rejections.append(
                Rejection(
                    rejection.line,
                    rejection.id,
                    rejection.reason,
                    stored_hash=rejection.stored_hash,
                    duplicate=rejection.duplicate,
                    file=rejection.file,
                )
            )


@dataclass(slots=True, kw_only=True)
class Report(_Report):
    """What the reports of `sync`, `plan` and `verify` have.

    Attributes:
        collection: The collection.
        source: The source's name.
        records: Records that were read, of this shard.
        rejected: Records that cannot be stored.
        rejections: The first of them, without their records.
        notes: What looks like a mistake, such as a field that no record has.
        seconds: How long it took.
    """

    collection: str
    source: str
    records: int = 0
    rejected: int = 0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def counting(self, items: Iterable[T]) -> Iterator[T]:
        """Count records as they are read."""
        for item in items:
            self.records += not isinstance(item, Unread)
            yield item

    def reject(self, rejection: Rejection) -> None:
        """Count a rejection."""
        self.rejected += 1
        self._show(rejection)

    def warn(self, notes: Iterable[str]) -> None:
        """Add notes, each with a warning."""
        for note in notes:
            self.notes.append(note)
            warnings.warn(f"{self.source}: {note}", stacklevel=2)


@dataclass(slots=True, kw_only=True)
class _ChangeReport(Report):
    """What the reports of `sync` and `plan` have.

    Attributes:
        documents: How many there are of each kind.
        deleted: Documents that the source no longer has.
        pruning: What became of `prune`.
        note: Why, where something was not done.
    """

    documents: Counter[ChangeKind] = field(default_factory=Counter)
    deleted: int = 0
    pruning: Pruning = "not asked for"
    note: str = ""

    @property
    def added(self) -> int:
        """Documents that the collection did not have."""
        return self.documents[ChangeKind.NEW]

    @property
    def changed(self) -> int:
        """Documents whose text, or how it is split, has changed: they are encoded again."""
        return self.documents[ChangeKind.CHANGED]

    @property
    def metadata(self) -> int:
        """Documents of which only the metadata has changed."""
        return self.documents[ChangeKind.METADATA]

    @property
    def unchanged(self) -> int:
        """Documents that are as they should be."""
        return self.documents[ChangeKind.UNCHANGED]


@dataclass(slots=True, kw_only=True)
class SyncReport(_ChangeReport):
    """What a sync did.

    Attributes:
        documents: Documents of the source that are stored, by what had to be done.
        deleted: Documents that were deleted, since the source no longer has them.
        encoded: Chunks that were encoded.
        stale: Points that were deleted because their documents changed.
        unwritten: Rejected records whose dead letters could not be written.
        unread: What of the source could not be read, the first of it.
        ended: Whether the source was read to its end, all of it.
        pruning: What became of `prune`.
        note: Why, where something was not done.
    """

    encoded: int = 0
    stale: int = 0
    unwritten: int = 0
    unread: list[str] = field(default_factory=list)
    ended: bool = False

    @property
    def complete(self) -> bool:
        """Whether the collection has every record of the source, and what was asked for is done."""
        return self.ended and not self.rejected and self.pruning in ("not asked for", "done")

    @property
    def done(self) -> int:
        """Records that are stored or rejected."""
        return self.documents.total() + self.rejected

    def count(self, outcome: Outcome) -> None:
        """Count what became of a record."""
        if isinstance(outcome, Written):
            self.documents[outcome.change.kind] += 1
            self.stale += outcome.deleted
        elif isinstance(outcome, Encoded):
            self.encoded += outcome.chunks
        elif isinstance(outcome, Rejection):
            self.reject(outcome)
        elif len(self.unread) < _SHOWN:
            self.unread.append(outcome.reason)


@dataclass(slots=True, kw_only=True)
class PlanReport(_ChangeReport):
    """What a sync would do.

    Attributes:
        documents: Documents of the source, by what would have to be done.
        deleted: Documents that the source no longer has; only `prune` would delete them.
        chunks: Chunks that would be encoded.
        tokens: Their word pieces.
        tokens_per_second: How fast this machine encodes, by a sample of them.
        pruning: What would become of `prune`.
        note: Why.
    """

    chunks: int = 0
    tokens: int = 0
    tokens_per_second: float | None = None

    @property
    def estimated_seconds(self) -> float | None:
        """About how long encoding would take; None where nothing has to be encoded."""
        return self.tokens / self.tokens_per_second if self.tokens_per_second else None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as values of JSON."""
        return {**_Report.to_dict(self), "estimated_seconds": self.estimated_seconds}


@dataclass(slots=True, kw_only=True)
class VerifyReport(Report):
    """How a collection compares with its source.

    Attributes:
        equal: Documents that are as they should be.
        differences: How many there are of each kind: `missing` documents, that the collection does
            not have; `stale` ones, of which it has another version, not all chunks, or too many;
            `extra` ones, that the source does not have; `foreign` points, that other weights have
            encoded; `norms`, points whose vectors are not of length 1.
        examples: Some ids for each of these.
    """

    equal: int = 0
    differences: dict[Difference, int] = field(
        default_factory=lambda: {"missing": 0, "stale": 0, "extra": 0, "foreign": 0, "norms": 0}
    )
    examples: dict[Difference, list[str]] = field(default_factory=dict)

    def find(self, difference: Difference, id: str) -> None:
        """Count a difference."""
        self.differences[difference] += 1
        examples = self.examples.setdefault(difference, [])
        if len(examples) < 10:
            examples.append(id)

    @property
    def missing(self) -> int:
        """Documents that the collection does not have."""
        return self.differences["missing"]

    @property
    def stale(self) -> int:
        """Documents of which it has another version, not all chunks, or too many."""
        return self.differences["stale"]

    @property
    def extra(self) -> int:
        """Documents that the source does not have."""
        return self.differences["extra"]

    @property
    def foreign(self) -> int:
        """Points that other weights have encoded."""
        return self.differences["foreign"]

    @property
    def norms(self) -> int:
        """Points whose vectors are not of length 1."""
        return self.differences["norms"]

    @property
    def fits(self) -> bool:
        """Whether the collection equals the source."""
        return not self.rejected and not any(self.differences.values())


@dataclass(slots=True, kw_only=True)
class ReplayReport(_Report):
    """What became of the records of a dead-letter file.

    Attributes:
        entries: Records that were in it.
        stored: Records that are in the collection now.
        outdated: Records of which the collection has another version by now: they were dropped.
        left: Records that still fail, and stay in the file.
        rejections: The first of them, without their records; `line` is that of the file.
    """

    entries: int = 0
    stored: int = 0
    outdated: int = 0
    left: int = 0

    @property
    def complete(self) -> bool:
        """Whether none is left."""
        return not self.left

    def leave(self, rejection: Rejection) -> None:
        """Count a record that stays in the file."""
        self.left += 1
        self._show(rejection)
