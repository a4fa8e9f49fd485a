"""Find what the source no longer has, and decide whether it may be deleted."""

from __future__ import annotations

from collections.abc import Iterator

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.etl.changes import Change, Rejection
from multiqa_integrations.etl.job import Job, JobOptions
from multiqa_integrations.etl.ledger import Ledger, stored_chunk
from multiqa_integrations.etl.records import Unread
from multiqa_integrations.etl.reports import Pruning
from multiqa_integrations.etl.seen import Seen
from multiqa_integrations.etl.write import delete_points


class PruneGuard:
    """Looks at every record of a source, then decides whether what it lacks may be deleted."""

    def __init__(self, *, max_delete_share: float = 0.2, allow_empty: bool = False) -> None:
        """Begin.

        Args:
            max_delete_share: The largest share of the source's documents that may be deleted.
            allow_empty: Whether the source may be empty.

        Raises:
            ConfigurationError: The share is not one.
        """
        if not isinstance(max_delete_share, float | int) or not 0 <= max_delete_share <= 1:
            raise ConfigurationError(f"max_delete_share is {max_delete_share!r}, expected 0 to 1.")
        self._max_delete_share, self._allow_empty = max_delete_share, allow_empty
        self._records = 0
        self._kept = 0  # documents of the collection that the source still has
        self._unknown = 0  # records, or parts of the source, whose documents are not known

    @staticmethod
    def check(options: JobOptions) -> None:
        """Raise unless the job reads the whole source.

        Raises:
            ConfigurationError: It does not.
        """
        for name, value in (("shard", options.shard), ("limit", options.limit)):
            if value is not None:
                raise ConfigurationError(
                    f"prune does not go with {name}: what is left out would look as if it had left "
                    "the source. Prune in a run of its own, over the whole source."
                )

    def note(self, item: Change | Rejection | Unread) -> None:
        """Take a record into account."""
        if isinstance(item, Unread):
            self._unknown += 1
            return
        self._records += 1
        if isinstance(item, Rejection):
            self._unknown += item.id is None
            # A document counts once, however often its id comes.
            self._kept += item.stored_hash is not None and not item.repeated
        else:
            self._kept += item.stored_hash is not None

    def add(self, records: int, kept: int) -> None:
        """Take stored documents into account, of which the collection had `kept` before."""
        self._records += records
        self._kept += kept

    @property
    def status(self) -> Pruning:
        """What a refusal is: "left out" where something of the source could not be read."""
        return "left out" if self._unknown else "refused"

    def refusal(self, deleted: int) -> str | None:
        """Return why nothing may be deleted; None if it may.

        Args:
            deleted: Documents of the collection that the source did not have.
        """
        if not deleted:
            return None
        if not self._records and not self._unknown and not self._allow_empty:
            return (
                f"the source is empty, and {deleted:,} documents would be deleted. If it should be "
                "empty, pass allow_empty (--allow-empty)"
            )
        if self._unknown:
            return (
                f"{self._unknown:,} records could not be read, so it is unknown which of the "
                f"{deleted:,} documents have left the source. Repair them first"
            )
        share = deleted / (deleted + self._kept)
        if share > self._max_delete_share and not (self._allow_empty and not self._records):
            return (
                f"{deleted:,} of {deleted + self._kept:,} documents would be deleted, {share:.1%}, "
                f"and the limit is {self._max_delete_share:.1%}. If that is right, raise "
                "max_delete_share (--max-delete-share)"
            )
        return None


def find_deleted(ledger: Ledger, seen: Seen) -> int:
    """Note every point of a document that the source did not have; returns how many documents."""
    for page in ledger.everything():
        chunks = [stored_chunk(point) for point in page]
        # What others have written without saying of which document it is, is not ours to delete.
        seen.note_deleted(
            chunk for chunk in chunks if chunk.document and chunk.document not in seen
        )
    return seen.deleted


def delete(job: Job, seen: Seen) -> Iterator[None]:
    """Delete the points that `find_deleted` noted; yields after each page of them."""
    for points in seen.deleted_points():
        delete_points(job, points)
        yield
