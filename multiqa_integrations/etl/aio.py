"""The jobs for coroutines: each runs in a thread, so that the event loop goes on.

from multiqa_integrations.etl import aio

report = await aio.sync("articles.jsonl", "articles", path="./collections")
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from multiqa_integrations.coroutines import in_own_thread
from multiqa_integrations.etl.plan import plan as _plan
from multiqa_integrations.etl.replay import replay as _replay
from multiqa_integrations.etl.reports import PlanReport, ReplayReport, SyncReport, VerifyReport
from multiqa_integrations.etl.sync import sync as _sync
from multiqa_integrations.etl.verify import verify as _verify

T = TypeVar("T")


async def sync(source: object, collection: str, **options: Any) -> SyncReport:
    """Run `etl.sync` with the same arguments. Cancelled, it ends after the batch in hand."""
    return await _stoppable(_sync, source, collection, **options)


async def replay(dead_letter: str | Path, collection: str, **options: Any) -> ReplayReport:
    """Run `etl.replay` with the same arguments. Cancelled, it ends after the batch in hand."""
    return await _stoppable(_replay, dead_letter, collection, **options)


async def plan(source: object, collection: str, **options: Any) -> PlanReport:
    """Run `etl.plan` with the same arguments."""
    return await asyncio.to_thread(_plan, source, collection, **options)


async def verify(source: object, collection: str, **options: Any) -> VerifyReport:
    """Run `etl.verify` with the same arguments."""
    return await asyncio.to_thread(_verify, source, collection, **options)


async def _stoppable(job: Callable[..., T], *arguments: Any, **options: Any) -> T:
    stop = options.pop("stop", None) or threading.Event()
    return await in_own_thread(stop, functools.partial(job, *arguments, stop=stop, **options))
