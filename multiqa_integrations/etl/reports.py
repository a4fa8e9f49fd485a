"""What jobs report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from multiqa_integrations.etl.changes import Rejection

_SHOWN = 1_000  # rejections that a report holds

Pruning = Literal["not asked for", "done", "refused", "left out"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Attributes:
        phase: What it is doing.
        records: Records that are done.
        encoded: Chunks that were encoded for them.
        rejected: Records that were rejected.
        fraction: How much of the source is done, from 0 to 1; None where that is unknown.
    """

    phase: Literal["reading", "pruning", "optimizing", "comparing"]
    records: int
    encoded: int
    rejected: int
    fraction: float | None


@dataclass(slots=True, kw_only=True)
class Report:
    """What all reports have.

    Attributes:
        collection: The collection.
        source: The source's name.
        records: Records that were read, of this shard.
        rejected: Records that cannot be stored.
        rejections: The first of them, without their records.
        seconds: How long it took.
    """

    collection: str
    source: str
    records: int = 0
    rejected: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    seconds: float = 0.0

    def reject(self, rejection: Rejection) -> None:
        """Count a rejection."""
        self.rejected += 1
        _keep(self.rejections, rejection)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as values of JSON."""
        return _to_dict(self)

    def as_json(self) -> str:
        """Return the report as a JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False)


@dataclass(slots=True, kw_only=True)
class SyncReport(Report):
    """What a sync did.

    Attributes:
        added: Documents that the collection did not have.
        changed: Documents that were encoded again, for their text has changed, or how it is cut.
        metadata: Documents whose metadata alone has changed.
        unchanged: Documents that were as they should be.
        deleted: Documents that the source no longer has.
        encoded: Chunks that were encoded.
        stale: Points that were deleted since their documents have changed.
        ended: Whether the source was read to its end.
        pruning: What became of `prune`.
        note: Why, where something was not done.
    """

    added: int = 0
    changed: int = 0
    metadata: int = 0
    unchanged: int = 0
    deleted: int = 0
    encoded: int = 0
    stale: int = 0
    ended: bool = False
    pruning: Pruning = "not asked for"
    note: str = ""

    @property
    def complete(self) -> bool:
        """Whether the collection has every record of the source, and what was asked for is done."""
        return self.ended and not self.rejected and self.pruning in ("not asked for", "done")


@dataclass(slots=True, kw_only=True)
class PlanReport(Report):
    """What a sync would do.

    Attributes:
        added: Documents that would be added.
        changed: Documents that would be encoded again.
        metadata: Documents of which only the metadata would be written.
        unchanged: Documents that are as they should be.
        deleted: Documents that the source no longer has; only `prune` would delete them.
        chunks: Chunks that would be encoded.
        tokens: Their word pieces.
        tokens_per_second: How fast this machine encodes, by a sample of them.
        pruning: What would become of `prune`.
        note: Why.
    """

    added: int = 0
    changed: int = 0
    metadata: int = 0
    unchanged: int = 0
    deleted: int = 0
    chunks: int = 0
    tokens: int = 0
    tokens_per_second: float | None = None
    pruning: Pruning = "not asked for"
    note: str = ""

    @property
    def estimated_seconds(self) -> float | None:
        """About how long encoding would take; None where nothing has to be encoded."""
        return self.tokens / self.tokens_per_second if self.tokens_per_second else None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as values of JSON."""
        return {**_to_dict(self), "estimated_seconds": self.estimated_seconds}


@dataclass(slots=True, kw_only=True)
class VerifyReport(Report):
    """How a collection compares with its source.

    Attributes:
        equal: Documents that are as they should be.
        missing: Documents that the collection does not have.
        stale: Documents of which it has another version, or not all chunks, or too many.
        extra: Documents that the source does not have.
        foreign: Points that other weights have encoded.
        norms: Points whose vectors are not of length 1.
        examples: Some ids for each of these.
    """

    equal: int = 0
    missing: int = 0
    stale: int = 0
    extra: int = 0
    foreign: int = 0
    norms: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)

    def find(self, what: str, id: str) -> None:
        """Count a difference."""
        setattr(self, what, getattr(self, what) + 1)
        examples = self.examples.setdefault(what, [])
        if len(examples) < 10:
            examples.append(id)

    @property
    def differences(self) -> Mapping[str, int]:
        """How many there are of each kind."""
        kinds = ("missing", "stale", "extra", "foreign", "norms")
        return {kind: getattr(self, kind) for kind in kinds}

    @property
    def fits(self) -> bool:
        """Whether the collection equals the source."""
        return not self.rejected and not any(self.differences.values())


@dataclass(slots=True, kw_only=True)
class ReplayReport:
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
    rejections: list[Rejection] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether none is left."""
        return not self.left

    def leave(self, rejection: Rejection) -> None:
        """Count a record that stays in the file."""
        self.left += 1
        _keep(self.rejections, rejection)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as values of JSON."""
        return _to_dict(self)

    def as_json(self) -> str:
        """Return the report as a JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False)


def _keep(rejections: list[Rejection], rejection: Rejection) -> None:
    if len(rejections) < _SHOWN:
        rejections.append(
            Rejection(rejection.line, rejection.id, rejection.reason, None, rejection.known)
        )


def _to_dict(report: Report | ReplayReport) -> dict[str, Any]:
    values = asdict(report)
    values["rejections"] = [
        {"line": one["line"], "id": one["id"], "reason": one["reason"]}
        for one in values["rejections"]
    ]
    return values
