"""Workers without a cluster: in this process, one after the other, in an order of chance.

What would travel between processes is pickled on its way. It proves what the driver and the workers
do; not what Ray does with them.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from multiqa_integrations.distributed.messages import (
    Failure,
    Lost,
    Result,
    Task,
    WorkerSettings,
)
from multiqa_integrations.distributed.worker import Worker

T = TypeVar("T")


class InProcessPool:
    """Workers of this process.

    Attributes:
        lost: Numbers of splits that no worker gets done.
        before: Called with each task before it is done.
        done: What was done, by method and number of the split.
    """

    def __init__(self, seed: int = 0) -> None:
        self.lost: set[int] = set()
        self.before: Callable[[Task], object] = lambda _: None
        self.done: list[tuple[str, int]] = []
        self.largest = 0
        self._chance = random.Random(seed)
        self._worker: Worker | None = None
        self._blocks: list[Any] = []
        self._failure: Failure | None = None

    def __enter__(self) -> InProcessPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker = None

    @property
    def alive(self) -> int:
        return int(self._worker is not None)

    def blocks_of(self, dataset: Any) -> list[int]:
        self._blocks = list(dataset)
        return [block.num_rows for block in self._blocks]

    def start(self, settings: WorkerSettings, most: int) -> None:
        assert most >= 1
        self._worker = Worker(_sent(settings))
        self._failure = _sent(self._worker.prepare())

    def run(
        self, tasks: Iterable[Task], halted: Callable[[], bool]
    ) -> Iterator[tuple[Task | None, Result]]:
        if self._failure is not None:
            yield None, self._failure
            return
        assert self._worker is not None
        waiting = list(tasks)
        self._chance.shuffle(waiting)
        for task in waiting:
            if halted():
                self._worker.stop()
                return
            self.before(task)
            self.done.append((task.method, task.split.number))
            if task.split.number in self.lost and task.method == "store":
                yield task, Lost("5 workers died at it")
                continue
            block = self._blocks[task.split.number] if self._blocks else None
            result = self._worker.run(_sent(task), block)
            self.largest = max(self.largest, len(pickle.dumps(result)))
            yield task, _sent(result)


def _sent(value: T) -> T:
    result: T = pickle.loads(pickle.dumps(value))
    return result
