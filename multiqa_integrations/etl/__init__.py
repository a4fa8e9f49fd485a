"""Fill collections from sources, by jobs that can be killed, run again and trusted.

Examples:
    >>> from multiqa_integrations.etl import Fields, sync
    >>> report = sync(  # doctest: +SKIP
    ...     "articles.jsonl",
    ...     "articles",
    ...     path="./collections",
    ...     prune=True,
    ...     fields=Fields(id="slug", text="body", title="headline"),
    ... )

The functions bear the names of their modules, so this package cannot load them at their first
use, as the others do.
"""

from __future__ import annotations

from multiqa_integrations.etl import aio
from multiqa_integrations.etl.changes import Rejection
from multiqa_integrations.etl.documents import Fields
from multiqa_integrations.etl.job import JobOptions
from multiqa_integrations.etl.open_source import open_source
from multiqa_integrations.etl.plan import plan
from multiqa_integrations.etl.records import BadRecord, Record, Source, Unread
from multiqa_integrations.etl.replay import replay
from multiqa_integrations.etl.reports import (
    PlanReport,
    Progress,
    ReplayReport,
    SyncReport,
    VerifyReport,
)
from multiqa_integrations.etl.sync import sync
from multiqa_integrations.etl.verify import verify

__all__ = [
    "BadRecord",
    "Fields",
    "JobOptions",
    "PlanReport",
    "Progress",
    "Record",
    "Rejection",
    "ReplayReport",
    "Source",
    "SyncReport",
    "Unread",
    "VerifyReport",
    "aio",
    "open_source",
    "plan",
    "replay",
    "sync",
    "verify",
]
