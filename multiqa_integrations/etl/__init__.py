"""Fill collections from sources, by jobs that can be killed, run again and trusted.

from multiqa_integrations.etl import Fields, sync

report = sync("articles.jsonl", "articles", path="./collections", prune=True,
              fields=Fields(id="slug", text="body", title="headline"))
"""

from __future__ import annotations

from multiqa_integrations.etl.asynchronous import (
    plan_async,
    replay_async,
    sync_async,
    verify_async,
)
from multiqa_integrations.etl.decisions import Rejection
from multiqa_integrations.etl.documents import Fields
from multiqa_integrations.etl.job import JobOptions
from multiqa_integrations.etl.plan import plan
from multiqa_integrations.etl.replay import replay
from multiqa_integrations.etl.reports import (
    PlanReport,
    Progress,
    ReplayReport,
    SyncReport,
    VerifyReport,
)
from multiqa_integrations.etl.sources import Record, Source, Unreadable, open_source
from multiqa_integrations.etl.sync import sync
from multiqa_integrations.etl.verify import verify

__all__ = [
    "Fields",
    "JobOptions",
    "PlanReport",
    "Progress",
    "Record",
    "Rejection",
    "ReplayReport",
    "Source",
    "SyncReport",
    "Unreadable",
    "VerifyReport",
    "open_source",
    "plan",
    "plan_async",
    "replay",
    "replay_async",
    "sync",
    "sync_async",
    "verify",
    "verify_async",
]
