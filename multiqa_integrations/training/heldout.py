"""The held-out part: split off by what hangs together, never by row, and written as a set."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from multiqa_integrations.errors import SourceError
from multiqa_integrations.evaluation import Dataset, read_dataset
from multiqa_integrations.training.pairs import Pair, text_key

SHARE = 0.1
"""How much of the pairs is held out."""

_MOST_QUERIES = 2_000
_CHARACTERS = 1_500_000  # of the documents that are added to the held-out ones
_LONGEST = 4_000  # characters of a document that are kept: the model cuts at 512 word pieces


@dataclass(frozen=True)
class Split:
    """The pairs that are trained on, and those that are not.

    Attributes:
        trained: To be trained on.
        held_out: To measure with; no text and no group of a query or positive is in both.
        units: Of each held-out pair, what it hangs together with.
    """

    trained: list[Pair]
    held_out: list[Pair]
    units: list[int]

    def halves(self, seed: int) -> tuple[list[Pair], list[Pair]]:
        """Split what is held out in two, again by what hangs together."""
        chosen = _choose(self.units, 0.5, np.random.default_rng((seed, 2)))
        first = [p for p, unit in zip(self.held_out, self.units, strict=True) if unit in chosen]
        other = [p for p, unit in zip(self.held_out, self.units, strict=True) if unit not in chosen]
        return first, other


def split(pairs: Sequence[Pair], seed: int) -> Split:
    """Hold a tenth of the pairs out.

    What has a query, a positive or a group in common stays together.

    Raises:
        SourceError: Too much of it hangs together.
    """
    units = units_of(pairs)
    chosen = _choose(units, SHARE, np.random.default_rng((seed, 1)))
    trained = [pair for pair, unit in zip(pairs, units, strict=True) if unit not in chosen]
    held = [(p, unit) for p, unit in zip(pairs, units, strict=True) if unit in chosen]
    if len(held) < len(pairs) * SHARE / 4 or len(trained) < len(pairs) / 2:
        most = max(np.bincount(units))
        raise SourceError(
            f"no tenth of the {len(pairs):,} pairs can be held out: {most:,} of them hang together "
            f"by the same texts or groups, and there are {len(set(units)):,} such parts. Give "
            "pairs of more groups, or without a group.",
            source="pairs",
        )
    return Split(trained, [pair for pair, _ in held], [unit for _, unit in held])


def units_of(pairs: Sequence[Pair]) -> list[int]:
    """Number what hangs together: of each pair, its part."""
    parents: dict[Hashable, Hashable] = {}

    def root(key: Hashable) -> Hashable:
        parents.setdefault(key, key)
        while parents[key] != key:
            parents[key] = key = parents[parents[key]]
        return key

    for pair in pairs:
        first = root(("query", text_key(pair.query)))
        # A query that is a positive elsewhere is one text, in two roles.
        keys: list[Hashable] = [("text", text_key(pair.positive)), ("text", text_key(pair.query))]
        if pair.group is not None:
            keys.append(("group", pair.set, pair.group))
        for key in keys:
            parents[root(key)] = first
    numbers: dict[Hashable, int] = {}
    return [
        numbers.setdefault(root(("query", text_key(pair.query))), len(numbers)) for pair in pairs
    ]


def _choose(units: Sequence[int], share: float, rng: np.random.Generator) -> set[int]:
    """Choose units at random that have about that share of the rows together."""
    names, sizes = np.unique(np.asarray(units, np.int64), return_counts=True)
    wanted, taken = len(units) * share, 0
    chosen: set[int] = set()
    for place in rng.permutation(len(names)):
        if taken >= wanted:
            break
        if taken + sizes[place] <= 1.5 * wanted:
            chosen.add(int(names[place]))
            taken += int(sizes[place])
    return chosen


def write_retrieval_set(
    folder: Path, asked: Sequence[Pair], others: Iterable[Pair], seed: int
) -> Dataset:
    """Write pairs as a retrieval set: queries, what answers them, and other documents beside it.

    Every positive of a query is right, and with a group every positive of the group. A text that
    is both query and document has one id, so that it can be left out where it is asked for.

    Args:
        folder: Where; it is created.
        asked: Whose queries are asked.
        others: Whose positives are in the way, at random, up to a bound.
        seed: Of what is chosen.

    Returns:
        The set, read back.
    """
    rng = np.random.default_rng((seed, 3))
    ids: dict[str, str] = {}
    texts: dict[str, str] = {}

    def name(text: str) -> str:
        id = ids.setdefault(text_key(text), f"t{len(ids)}")
        texts.setdefault(id, text)
        return id

    right: dict[str, set[str]] = defaultdict(set)
    of_group: dict[tuple[int, str], set[str]] = defaultdict(set)
    for pair in asked:
        right[name(pair.query)].add(name(pair.positive))
        if pair.group is not None:
            of_group[pair.set, pair.group].add(name(pair.positive))
    for pair in asked:
        if pair.group is not None:
            right[name(pair.query)] |= of_group[pair.set, pair.group]
    documents = dict.fromkeys(name(pair.positive) for pair in asked)
    spare = list({text_key(pair.positive): pair.positive for pair in others}.values())
    left = _CHARACTERS
    for place in rng.permutation(len(spare)):
        left -= min(len(spare[place]), _LONGEST)
        if left < 0:
            break
        documents[name(spare[place])] = None
    judged = {query: found - {query} for query, found in right.items() if found - {query}}
    queries = list(judged)
    if len(queries) > _MOST_QUERIES:
        rows = rng.choice(len(queries), _MOST_QUERIES, replace=False)
        queries = [queries[row] for row in sorted(rows)]
    folder.mkdir(parents=True)
    _write(folder / "corpus.jsonl", documents, texts)
    _write(folder / "queries.jsonl", queries, texts)
    with (folder / "qrels.tsv").open("w", encoding="utf-8") as lines:
        lines.write("query-id\tcorpus-id\tscore\n")
        for query in queries:
            lines.writelines(f"{query}\t{id}\t1\n" for id in sorted(judged[query]))
    return read_dataset(folder)


def _write(file: Path, ids: Iterable[str], texts: dict[str, str]) -> None:
    with file.open("w", encoding="utf-8") as lines:
        for id in ids:
            lines.write(json.dumps({"_id": id, "text": texts[id][:_LONGEST]}) + "\n")


def shared_texts(pairs: Iterable[Pair], dataset: Dataset) -> int:
    """Count the pairs of which a text is a query or a document of a retrieval set."""
    known = {text_key(text) for text in (*dataset.queries.values(), *dataset.texts())}
    return sum(text_key(pair.query) in known or text_key(pair.positive) in known for pair in pairs)
