"""Evaluate configurations on a retrieval set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.evaluation.configuration import (
    MINIMUM_LIMIT,
    Configuration,
    name_all,
)
from multiqa_integrations.evaluation.dataset import Dataset, read_dataset
from multiqa_integrations.evaluation.encoding import Encoded, Lengths, Progress, encode
from multiqa_integrations.evaluation.metrics import METRICS, Scores, score
from multiqa_integrations.evaluation.retrieval import Hits, search_exactly
from multiqa_integrations.evaluation.significance import Comparison, compare
from multiqa_integrations.evaluation.stores import TemporaryCollections
from multiqa_integrations.qdrant import Store
from multiqa_integrations.types import Encoder

_EXACT_LIMIT, _GRAPH_LIMIT = 1000, 100


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What one configuration found in a retrieval set.

    Attributes:
        name: Of the configuration.
        configuration: What was searched with.
        hits: What was found.
        scores: By measure, the value of each query.
        lengths: Of the texts, in word pieces; None where only words were searched.
        remarks: What is to be known about the search, in sentences.
    """

    name: str
    configuration: Configuration
    hits: Hits
    scores: Scores
    lengths: Lengths | None
    remarks: list[str]

    def mean(self, metric: str) -> float:
        """Return the mean of a measure over all judged queries."""
        return float(self.scores[metric].mean())


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All configurations on one retrieval set.

    Attributes:
        dataset: The set.
        limit: How many hits each query was given.
        results: One per configuration; the first is what the others are compared with.
        comparisons: Each other configuration with the first, by every measure.
    """

    dataset: Dataset
    limit: int
    results: list[Result]
    comparisons: list[Comparison]

    @property
    def remarks(self) -> list[str]:
        """What is to be known about the set and the searches, in sentences."""
        encoded = [result for result in self.results if result.lengths is not None]
        names: dict[str, list[str]] = {}
        for result in self.results:
            cut = "" if result.lengths is None else result.lengths.remark
            for remark in filter(None, [cut, *result.remarks]):
                names.setdefault(remark, []).append(result.name)
        # What is the same of all vectors is said without names.
        few = f"Each query got {self.limit} hits: recall@100 and MAP are of those."
        return [
            *self.dataset.remarks,
            *([few] if self.limit < _GRAPH_LIMIT else []),
            *(
                remark if len(named) == len(encoded) else f"{', '.join(named)}: {remark}"
                for remark, named in names.items()
            ),
        ]

    def comparison(self, other: str, metric: str = METRICS[0]) -> Comparison:
        """Return the comparison of a configuration with the first, by a measure."""
        return next(c for c in self.comparisons if (c.other, c.metric) == (other, metric))


def evaluate(
    dataset: Dataset | str | Path,
    configurations: Configuration | Sequence[Configuration] | None = None,
    *,
    limit: int | None = None,
    store: Store | None = None,
    ignore_identical_ids: bool = False,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> Evaluation:
    """Search a retrieval set in one or more ways, and measure what is found.

    Texts are encoded once for each encoder, however many configurations share it.

    Args:
        dataset: A folder in the format of BEIR, or what `read_dataset` made of one.
        configurations: One, or several of which the first is what the others are compared with;
            by default the model as it is by default, searched exactly.
        limit: Hits of each query, at least 10. By default as `hits_wanted` says.
        store: Where collections are made, and dropped at the end; by default embedded ones in a
            temporary directory.
        ignore_identical_ids: Leave out documents that have the id of their query, as sets need
            whose queries are among the documents (ArguAna, Quora).
        seed: Of the test and the interval.
        progress: Called with what is done.

    Raises:
        SourceError: The folder is damaged; `.source` and `.line` tell where.
        ConfigurationError: Two configurations are the same, or the limit does not fit.
        MissingDependencyError: The extra `evaluate` is not installed.
        ModelError: A model cannot be found or used.
        StoreError: The store failed.

    Examples:
        >>> evaluation = evaluate("scifact", Configuration())  # doctest: +SKIP
        >>> print(f"{evaluation.results[0].mean('nDCG@10'):.3f}")  # doctest: +SKIP
    """
    if not isinstance(dataset, Dataset):
        dataset = read_dataset(dataset)
    if configurations is None or isinstance(configurations, Configuration):
        configurations = [configurations or Configuration()]
    names = name_all(configurations)
    limit = hits_wanted(configurations, limit)
    encodings: list[tuple[Encoder, Encoded]] = []
    results: list[Result] = []
    with TemporaryCollections(dataset, store, progress) as collections:
        for name, configuration in zip(names, configurations, strict=True):
            encoded = None
            if configuration.mode != "bm25":
                encoded = _encoded(encodings, dataset, configuration.encoder, progress)
            hits, remarks = _search(
                dataset, configuration, encoded, collections, limit + ignore_identical_ids, progress
            )
            if ignore_identical_ids:
                hits = hits.without_identical(dataset)
            progress(f"{dataset.name}: scoring", 0, 0)
            scores = score(dataset, hits)
            lengths = None if encoded is None else encoded.lengths
            results.append(Result(name, configuration, hits, scores, lengths, remarks))
    progress(f"{dataset.name}: comparing", 0, 0)
    base, *others = results
    comparisons = [
        compare(
            base.scores[metric],
            other.scores[metric],
            metric=metric,
            names=(base.name, other.name),
            seed=seed,
        )
        for other in others
        for metric in METRICS
    ]
    return Evaluation(dataset, limit, results, comparisons)


def hits_wanted(configurations: Iterable[Configuration], limit: int | None = None) -> int:
    """Return how many hits each query is given.

    1,000 where every search is exact. 100 where one follows a graph, for all of them: a graph is
    followed at least as widely as hits are taken from it, so that with more its losses would not
    be seen.

    Raises:
        ConfigurationError: The limit is below 10, or more than the `hnsw_ef` of a configuration
            allows.
    """
    configurations = list(configurations)
    if limit is None:
        graph = any(configuration.search == "hnsw" for configuration in configurations)
        limit = _GRAPH_LIMIT if graph else _EXACT_LIMIT
    if limit < MINIMUM_LIMIT:
        raise ConfigurationError(
            f"limit is {limit}, expected {MINIMUM_LIMIT} or more: nDCG@10 needs so many hits."
        )
    for configuration in configurations:
        configuration.check_reach(limit)
    return limit


def _encoded(
    encodings: list[tuple[Encoder, Encoded]],
    dataset: Dataset,
    encoder: Encoder,
    progress: Progress,
) -> Encoded:
    """Encode the set, or find what an encoder with the same settings made of it."""
    for other, encoded in encodings:
        settings = getattr(other, "settings", None)
        if other is encoder or (settings and settings == getattr(encoder, "settings", None)):
            return encoded
    encodings.append((encoder, encode(dataset, encoder, progress)))
    return encodings[-1][1]


def _search(
    dataset: Dataset,
    configuration: Configuration,
    encoded: Encoded | None,
    collections: TemporaryCollections,
    limit: int,
    progress: Progress,
) -> tuple[Hits, list[str]]:
    if configuration.needs_store or encoded is None:
        return collections.search(configuration, encoded, limit)
    hits = search_exactly(encoded.queries, encoded.documents, limit, progress, dataset.name)
    return hits, []
