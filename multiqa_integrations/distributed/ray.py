"""Ray: starts workers, gives them splits, and replaces those that die.

A worker is an actor that holds one split at a time. Ray is not asked to restart actors or to repeat
their calls: who has died is replaced here, and its split goes to another one, so that each has one
result.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from multiqa_integrations._optional import require
from multiqa_integrations.distributed.messages import (
    Failure,
    Lost,
    Result,
    Task,
    WorkerSettings,
)
from multiqa_integrations.distributed.ray_connection import connect
from multiqa_integrations.distributed.worker import Worker
from multiqa_integrations.errors import ClusterError, ConfigurationError, SourceError

logger = logging.getLogger(__name__)

_POLL = 0.2  # seconds between two looks at whether to stop
_LACK_SECONDS = 30.0
_MOST_DEATHS = 5  # of workers at one split: then it is taken to be what kills them
_MOST_FAILED_STARTS = 5  # in a row
_ERROR_LINE = re.compile(r"^(?!ray\.)[\w.]*(?:Error|Exception): .*", re.M)


class RayPool:
    """Workers on a cluster of Ray. Use it with `with`."""

    def __init__(
        self,
        address: str | None,
        *,
        workers: int | None = None,
        worker_cpus: float = 1,
        worker_gpus: float = 0,
    ) -> None:
        """Connect to nothing yet.

        Raises:
            ConfigurationError: An argument is wrong.
        """
        if not (workers is None or (type(workers) is int and workers >= 1)):
            raise ConfigurationError(f"workers is {workers!r}, expected a whole number from 1 on.")
        for name, value, least in (
            ("worker_cpus", worker_cpus, 0.1),
            ("worker_gpus", worker_gpus, 0.0),
        ):
            if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
                raise ConfigurationError(f"{name} is {value!r}, expected {least:g} or more.")
        if address is not None and (not isinstance(address, str) or not address):
            raise ConfigurationError(f"address is {address!r}, expected that of a cluster of Ray.")
        if address is not None and address.startswith("ray://"):
            raise ConfigurationError(
                f"address is {address!r}, a Ray Client, which is not supported. Run this on a node "
                "of the cluster: ray job submit -- multiqa sync …, which needs no address."
            )
        self._address, self._workers = address, workers
        self._cpus, self._gpus = worker_cpus, worker_gpus
        self._blocks: list[Any] = []
        self._owns = False
        self._restore_printing: Callable[[], None] = lambda: None
        self._wanted = 0
        self._idle: list[Any] = []
        self._starting: dict[Any, Any] = {}
        self._busy: dict[Any, tuple[Any, Task]] = {}
        self._failed_starts = 0
        self._short_since: float | None = None
        self._lack_told: float | None = None

    def __enter__(self) -> RayPool:
        """Connect to the cluster, or start one.

        Raises:
            ClusterError: There is none, or it cannot be reached.
        """
        self._ray = require("ray", purpose="a sync on several machines")
        if not self._ray.is_initialized():
            self._connect()
        return self

    def _connect(self) -> None:
        ray, local = self._ray, self._address == "local"
        cpus = os.cpu_count() or 1
        if local and (self._workers or 1) * self._cpus > cpus:
            raise ConfigurationError(
                f"{self._workers or 1} workers of {self._cpus:g} CPUs need "
                f"{(self._workers or 1) * self._cpus:g}, and this machine has {cpus}. Ask for "
                "fewer (workers, --workers)."
            )
        self._restore_printing = connect(ray, self._address)
        self._owns = True

    def __exit__(self, kind: object = None, *_: object) -> None:
        ray = self._ray
        actors = [*self._idle, *self._starting.values(), *(one for one, _ in self._busy.values())]
        for actor in actors:
            ray.kill(actor)
        self._idle, self._starting, self._busy = [], {}, {}
        if not self._owns:
            return
        if kind is KeyboardInterrupt:  # it takes seconds, which SIGTERM leaves not even the report
            threading.Thread(target=self._disconnect, name="multiqa-ray").start()
        else:
            self._disconnect()

    def _disconnect(self) -> None:
        self._ray.shutdown()
        self._restore_printing()

    @property
    def alive(self) -> int:
        """How many workers are at work."""
        return len(self._idle) + len(self._busy)

    def blocks_of(self, dataset: Any) -> list[int]:
        """Compute a data set, and keep its blocks for `run`; returns how many rows each has.

        That is done before workers take the processors that it needs.

        Raises:
            SourceError: It cannot be computed.
        """
        count = self._ray.remote(_rows_of)
        try:
            with _in_order(dataset):
                self._blocks = dataset.materialize().to_arrow_refs()
            rows: list[int] = self._ray.get([count.remote(block) for block in self._blocks])
        except Exception as error:  # of whatever the user's functions do
            raise SourceError(
                f"the data set cannot be computed ({_first_error(error)}).", source="Dataset"
            ) from error
        return rows

    def start(self, settings: WorkerSettings, most: int) -> None:
        """Start workers, no more than `most`."""
        self._wanted = max(1, min(most, self._workers or self._room()))
        kind = self._ray.remote(Worker)
        self._kind = kind.options(
            num_cpus=self._cpus,
            num_gpus=self._gpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=2,  # so that one at work can be told to stop
            scheduling_strategy="SPREAD",
        )
        try:
            self._settings = self._ray.put(settings)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise ConfigurationError(
                f"the options of the job cannot be sent to workers ({error}). An encoder of your "
                "own must be one that pickle takes."
            ) from error
        self._replace()

    def run(
        self, tasks: Iterable[Task], halted: Callable[[], bool]
    ) -> Iterator[tuple[Task | None, Result]]:
        """Yield what became of tasks; see `Pool`."""
        ray = self._ray
        waiting: deque[Task] = deque()
        deaths: dict[int, int] = {}
        left = iter(tasks)
        told = False
        while True:
            stops = halted()
            if stops and not told:
                told = True
                for actor, _ in self._busy.values():
                    actor.stop.remote()
            while not stops and self._idle:
                task = waiting.popleft() if waiting else next(left, None)
                if task is None:
                    break
                self._submit(self._idle.pop(), task)
            if not self._busy and (stops or (not waiting and self._idle)):
                return
            refs = [*self._busy, *self._starting]
            ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0) if refs else ([], [])
            if not ready and refs:
                ready, _ = ray.wait(refs, num_returns=1, timeout=_POLL)
            for ref in ready:
                if ref in self._starting:
                    failure = self._started(ref)
                    if failure is not None:
                        yield None, failure
                    continue
                actor, task = self._busy.pop(ref)
                result = self._result(ref)
                if result is not None:
                    self._idle.append(actor)
                    yield task, result
                    continue
                ray.kill(actor)  # it may only be out of reach
                number = task.split.number
                deaths[number] = deaths.get(number, 0) + 1
                if deaths[number] < _MOST_DEATHS:
                    waiting.append(task)
                else:
                    yield task, Lost(f"{_MOST_DEATHS} workers died at it")
            if not stops:
                self._replace()
                self._tell_lack()

    def _submit(self, actor: Any, task: Task) -> None:
        block = self._blocks[task.split.number] if self._blocks else None
        self._busy[actor.run.remote(task, block)] = actor, task

    def _result(self, ref: Any) -> Result | None:
        """Return what a worker has answered; None if it has died."""
        exceptions = self._ray.exceptions
        try:
            result: Result = self._ray.get(ref)
        except exceptions.RayTaskError as error:  # what it had to say could not be sent
            return Lost(" ".join(str(error).split())[-300:])
        except exceptions.RayError as error:
            logger.info("a worker has died: %s", " ".join(str(error).split())[:300])
            return None
        return result

    def _started(self, ref: Any) -> Failure | None:
        """Take up a worker that has begun; returns why it cannot."""
        actor = self._starting.pop(ref)
        try:
            failure: Failure | None = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._ray.kill(actor)
            self._failed_starts += 1
            why = " ".join(str(error).split())[:500]
            if self._failed_starts < _MOST_FAILED_STARTS:
                return None
            return Failure(
                ClusterError(
                    f"{self._failed_starts} workers in a row could not begin. Every node needs "
                    f"this package with its extras, in the same version. The last: {why}"
                )
            )
        if failure is None:
            self._failed_starts = 0
            self._idle.append(actor)
        return failure

    def _replace(self) -> None:
        """Ask for as many workers as are missing."""
        for _ in range(self._wanted - self.alive - len(self._starting)):
            actor = self._kind.remote(self._settings)
            self._starting[actor.prepare.remote()] = actor

    def _room(self) -> int:
        """Return for how many workers the cluster has room, at least one."""
        has = self._ray.cluster_resources()
        rooms = [has.get("CPU", 0.0) // self._cpus]
        if self._gpus:
            rooms.append(has.get("GPU", 0.0) // self._gpus)
        return max(1, int(min(rooms)))

    def _tell_lack(self) -> None:
        """Say what the cluster lacks, where workers have not begun for long."""
        now = time.monotonic()
        if self.alive == self._wanted:
            self._short_since = self._lack_told = None
            return
        self._short_since = self._short_since or now
        if now - (self._lack_told or self._short_since) < _LACK_SECONDS:
            return
        if self._lack_told is not None and self.alive:
            return  # once is enough while the work goes on
        self._lack_told = now
        has, free = self._ray.cluster_resources(), self._ray.available_resources()
        parts = [
            f"{has.get(kind, 0.0):g} {kind}s ({free.get(kind, 0.0):g} free)"
            for kind, wanted in (("CPU", self._cpus), ("GPU", self._gpus))
            if wanted
        ]
        each = f"{self._cpus:g} CPUs" + (f" and {self._gpus:g} GPUs" if self._gpus else "")
        logger.warning(
            "%d of %d workers have begun after %.0f s: each asks for %s, and the cluster has %s.%s",
            self.alive,
            self._wanted,
            now - self._short_since,
            each,
            " and ".join(parts),
            "" if self.alive else " Waiting on; add nodes, or ask for less.",
        )


def _rows_of(table: Any) -> int:
    return int(table.num_rows)


def _first_error(error: BaseException) -> str:
    """Return what was wrong in the first place, of an error that came through many processes."""
    text = str(error)
    found = _ERROR_LINE.search(text)
    return (found[0] if found else " ".join(text.split()) or type(error).__name__)[:300]


@contextmanager
def _in_order(dataset: Any) -> Iterator[None]:
    """Let a data set have its blocks in their order, whichever is computed first, and be quiet."""
    options = dataset.context.execution_options
    log = logging.getLogger("ray.data")
    before = options.preserve_order, log.level
    options.preserve_order = True
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        options.preserve_order, level = before
        log.setLevel(level)
