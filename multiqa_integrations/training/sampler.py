"""Which examples stand in one batch: the others of a batch are what an answer is told from.

So no two of a batch may be right for each other. sentence-transformers keeps equal texts out of a
batch, but knows nothing of groups, and draws data sets by size or in turn, not by weight.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers.base.sampler import DefaultBatchSampler, MultiDatasetDefaultBatchSampler

from multiqa_integrations.training.pairs import Pair, text_key

# Examples that do not fit wait for a later batch; those beyond, for the next pass.
_WAITING = 16


@dataclass(frozen=True, slots=True)
class Conflicts:
    """What keeps examples apart.

    Two examples are kept apart if they have a text or a group in common, or if a text of one is
    known to be right for the other's query.

    Attributes:
        own: Of each example, its texts and groups, as numbers.
        right: Of each example, the texts that are right for its query.
        units: Of each example, what at most one of a batch has: its group, else its positive.
    """

    own: list[frozenset[int]]
    right: list[frozenset[int]]
    units: NDArray[np.int64]


def conflicts(pairs: Sequence[Pair]) -> Conflicts:
    """Find out what keeps pairs apart."""
    numbers: dict[tuple[object, ...], int] = {}

    def number(*key: object) -> int:
        return numbers.setdefault(key, len(numbers))

    groups: dict[str, set[int]] = defaultdict(set)  # by positive
    right: dict[str, set[int]] = defaultdict(set)  # by query
    for pair in pairs:
        positive = text_key(pair.positive)
        right[text_key(pair.query)].add(number("text", positive))
        if pair.group is not None:
            groups[positive].add(number("group", pair.set, pair.group))
    own, units = [], np.empty(len(pairs), np.int64)
    for row, pair in enumerate(pairs):
        texts = [text_key(text) for text in (pair.query, pair.positive, *pair.negatives)]
        keys = {number("text", text) for text in texts}
        for text in texts:
            keys |= groups.get(text, set())
        units[row] = number("text", texts[1])
        if pair.group is not None:
            units[row] = number("group", pair.set, pair.group)
            keys.add(int(units[row]))
        own.append(frozenset(keys))
    return Conflicts(own, [frozenset(right[text_key(pair.query)]) for pair in pairs], units)


class GroupedBatchSampler(DefaultBatchSampler):
    """Batches of one data set in which no example is right for another.

    The batches of a pass are known by the seed and the number of the pass (`set_epoch`).
    """

    def __init__(self, dataset: Any, *, conflicts: Conflicts, **settings: Any) -> None:
        """Take a data set, and what keeps its rows apart; settings as of the base class."""
        super().__init__(dataset, **settings)
        self._conflicts = conflicts
        self.batch_size = min(self.batch_size, max(1, len(np.unique(conflicts.units))))

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng((self.seed or 0, self.epoch))
        coming = iter(self._order(rng).tolist())
        waiting: deque[int] = deque(maxlen=_WAITING * self.batch_size)
        batches = 0
        while True:
            batch, waiting = self._batch(coming, waiting)
            if len(batch) < self.batch_size and (batches or not batch):
                if 2 * len(batch) >= self.batch_size and batch:
                    yield batch
                return
            yield batch
            batches += 1

    def __len__(self) -> int:
        """Return about how many batches a pass has."""
        return max(1, len(self._conflicts.own) // self.batch_size)

    def _batch(self, coming: Iterator[int], waiting: deque[int]) -> tuple[list[int], deque[int]]:
        batch: list[int] = []
        own: set[int] = set()
        right: set[int] = set()
        left: deque[int] = deque(maxlen=waiting.maxlen)

        def take(row: int) -> None:
            texts, answers = self._conflicts.own[row], self._conflicts.right[row]
            full = len(batch) == self.batch_size
            if full or texts & own or texts & right or answers & own:
                left.append(row)
            else:
                batch.append(row)
                own.update(texts)
                right.update(answers)

        for row in waiting:
            take(row)
        while len(batch) < self.batch_size and (row := next(coming, -1)) >= 0:
            take(row)
        return batch, left

    def _order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Shuffle the rows so that those of a group are spread evenly over the pass."""
        units = self._conflicts.units
        shuffled = rng.permutation(len(units))
        sizes: dict[int, int] = defaultdict(int)
        places = np.empty(len(units))
        for row in shuffled:
            places[row] = sizes[int(units[row])]
            sizes[int(units[row])] += 1
        totals = np.array([sizes[int(unit)] for unit in units])
        return np.argsort((places + rng.random(len(units))) / totals, kind="stable")


class WeightedBatchSampler(MultiDatasetDefaultBatchSampler):
    """So many batches, each of one data set, that examples are drawn in proportion to weights.

    A data set that is at its end begins a new pass.
    """

    def __init__(
        self,
        dataset: Any,
        batch_samplers: Sequence[GroupedBatchSampler],
        *,
        weights: Sequence[float],
        steps: int,
        **settings: Any,
    ) -> None:
        """Take the samplers of the data sets; settings as of the base class."""
        super().__init__(dataset, batch_samplers=list(batch_samplers), **settings)
        self._shares = np.asarray(weights, np.float64) / np.sum(weights)
        self._steps = steps

    def __iter__(self) -> Iterator[list[int]]:
        parts: list[Any] = list(self.dataset.datasets)
        sizes = [len(part) for part in parts]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        passes = [0] * len(sizes)
        running = [self._begin(number, 0) for number in range(len(sizes))]
        drawn = np.zeros(len(sizes))
        for _ in range(self._steps):
            # The one that lags most behind its share once this batch is drawn.
            number = int(np.argmax(self._shares * (drawn.sum() + self.batch_size) - drawn))
            batch = next(running[number], None)
            if batch is None:
                passes[number] += 1
                running[number] = self._begin(number, passes[number])
                batch = next(running[number])
            drawn[number] += len(batch)
            yield [int(offsets[number]) + row for row in batch]

    def __len__(self) -> int:
        """Return how many batches are drawn."""
        return self._steps

    def _begin(self, number: int, passes: int) -> Iterator[list[int]]:
        sampler: Any = self.batch_samplers[number]
        sampler.set_epoch(passes)
        batches: Iterator[list[int]] = iter(sampler)
        return batches
