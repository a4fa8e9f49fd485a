"""Find what the source no longer has, and decide whether it may be deleted."""

from __future__ import annotations

from typing import Literal

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.etl.job import Job
from multiqa_integrations.etl.ledger import Ledger, Seen, stored_chunk


def check(job: Job, prune: bool, max_delete_share: float) -> None:
    """Check before the work begins whether pruning can be asked for.

    Raises:
        ConfigurationError: It cannot.
    """
    if not 0 <= max_delete_share <= 1:
        raise ConfigurationError(f"max_delete_share is {max_delete_share}, expected 0 to 1.")
    if not prune:
        return
    for name, value in (("shard", job.shard), ("limit", job.limit)):
        if value is not None:
            raise ConfigurationError(
                f"prune does not go with {name}: what is left out would look as if it had left "
                "the source. Prune in a run of its own, over the whole source."
            )


def note_gone(ledger: Ledger, seen: Seen) -> None:
    """Note every point of a document that the source has not had."""
    for page in ledger.everything():
        chunks = [stored_chunk(point) for point in page]
        seen.note_gone(chunk for chunk in chunks if chunk.document not in seen)


def outcome(unknown: int) -> Literal["refused", "left out"]:
    """Tell whether an objection is a refusal, or has its cause in records that were rejected."""
    return "left out" if unknown else "refused"


def objection(
    *,
    gone: int,
    kept: int,
    records: int,
    unknown: int,
    max_delete_share: float,
    allow_empty: bool,
) -> str | None:
    """Say why nothing may be deleted; None if it may.

    Args:
        gone: Documents of the collection that the source has not had.
        kept: Documents of the collection that it has had.
        records: Records of the source.
        unknown: Records that could not be read, so that their documents are not known.
        max_delete_share: The largest share of the collection's documents that may be deleted.
        allow_empty: Whether the source may be empty.
    """
    if not gone:
        return None
    if not records and not allow_empty:
        return (
            f"the source is empty, and {gone:,} documents would be deleted. If it should be empty, "
            "pass allow_empty (--allow-empty)"
        )
    if unknown:
        return (
            f"{unknown:,} records could not be read, so that it is not known which of the {gone:,} "
            "documents have left the source. Repair them first"
        )
    share = gone / (gone + kept)
    if share > max_delete_share and not (allow_empty and not records):
        return (
            f"{gone:,} of {gone + kept:,} documents would be deleted, {share:.1%}, and the limit "
            f"is {max_delete_share:.1%}. If that is right, raise max_delete_share "
            "(--max-delete-share)"
        )
    return None
