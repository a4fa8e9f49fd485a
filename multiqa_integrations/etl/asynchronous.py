"""The jobs for coroutines: each in a thread of its own, so that the event loop goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from multiqa_integrations.etl.plan import plan
from multiqa_integrations.etl.replay import replay
from multiqa_integrations.etl.reports import PlanReport, ReplayReport, SyncReport, VerifyReport
from multiqa_integrations.etl.sync import sync
from multiqa_integrations.etl.verify import verify

T = TypeVar("T")


async def sync_async(source: object, collection: str, **options: Any) -> SyncReport:
    """Do as `sync`, with its arguments. Cancelled, it ends after the batch in hand."""
    return await _stoppable(sync, source, collection, **options)


async def replay_async(dead_letter: str | Path, collection: str, **options: Any) -> ReplayReport:
    """Do as `replay`, with its arguments. Cancelled, it ends after the batch in hand."""
    return await _stoppable(replay, dead_letter, collection, **options)


async def plan_async(source: object, collection: str, **options: Any) -> PlanReport:
    """Do as `plan`, with its arguments."""
    return await asyncio.to_thread(plan, source, collection, **options)


async def verify_async(source: object, collection: str, **options: Any) -> VerifyReport:
    """Do as `verify`, with its arguments."""
    return await asyncio.to_thread(verify, source, collection, **options)


async def _stoppable(job: Callable[..., T], *arguments: Any, **options: Any) -> T:
    stop = options.pop("stop", None) or threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(job, *arguments, stop=stop, **options))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        task.exception()  # that it was stopped is no news
        raise
