"""Send reads that all replicas of a collection must agree on."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import Any

from qdrant_client import models

from multiqa_integrations.errors import (
    CollectionWarning,
    MultiQAError,
    StoreError,
    StoreUnavailableError,
)
from multiqa_integrations.qdrant.dual import Steps
from multiqa_integrations.qdrant.replicas import Agreement, Consistency, agreement
from multiqa_integrations.qdrant.retry import retrying
from multiqa_integrations.qdrant.server.calls import Call, Connected, call
from multiqa_integrations.qdrant.server.settings import settings_of

# A node that restarts is back within seconds; one that is down would be waited for in vain.
_SECONDS = 5.0
_READS = frozenset({"retrieve"})
_NOT_ENOUGH = re.compile(r"enough active replicas|read operations failed|replica")


def agreed(self: Connected, collection: str) -> Steps[bool]:
    """Return whether reads of a collection have to agree with several replicas."""
    return (yield from _consistency(self, collection)) is not None


def send(self: Connected, collection: str, step: Call) -> Steps[Any]:
    """Make a call; a read of points by ids agrees with all replicas, if the block asks for it.

    Reads of pages do not: a page on which replicas differ would be taken for the last one.
    """
    known = agreement()
    wanted = (yield from _consistency(self, collection)) if step.method in _READS else None
    while known is not None and wanted is not None:
        # By gRPC the client takes no text for it.
        arguments = {**step.arguments, "consistency": models.ReadConsistencyType(wanted)}
        try:
            with retrying(_SECONDS):
                return (yield replace(step, arguments=arguments))
        except StoreUnavailableError as error:
            if not _NOT_ENOUGH.search(str(error)):
                return (yield replace(step, arguments=arguments))
            wanted = _lower(known, (id(self), collection), error)
    return (yield step)


def _consistency(self: Connected, collection: str) -> Steps[Consistency | None]:
    known = agreement()
    if known is None or self.local or self.consistency is not None:
        return None
    key = (id(self), collection)
    if key not in known.consistency:
        try:
            info = yield call("get_collection", collection_name=collection)
        except StoreUnavailableError:
            raise
        except StoreError:  # the read itself says it better
            return None
        known.replicas[key] = settings_of(info.config).replication_factor or 1
        known.consistency[key] = "all" if known.replicas[key] > 1 else None
    return known.consistency[key]


def _lower(known: Agreement, key: tuple[int, str], error: MultiQAError) -> Consistency | None:
    """Have fewer replicas agree: more than half of them, where that is fewer; else one."""
    enough: Consistency | None = None
    if known.consistency[key] == "all" and known.replicas[key] > 2:
        enough = "quorum"
    known.consistency[key] = enough
    read = "more than half of the replicas" if enough else "one replica of each shard"
    warnings.warn(
        f"not all replicas of {key[1]!r} can be read, so {read} decided what is stored. Run it "
        f"again when all nodes are up: what the others lack is found then. ({error})",
        CollectionWarning,
        stacklevel=2,
    )
    return enough
