"""Measures of retrieval quality, computed by trec_eval through ir-measures."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations._optional import require
from multiqa_integrations.evaluation.dataset import Dataset
from multiqa_integrations.evaluation.retrieval import Hits

METRICS = ("nDCG@10", "MRR@10", "recall@100", "MAP")
"""The measures, in the order in which they are shown; the first decides."""

Scores: TypeAlias = dict[str, NDArray[np.float64]]
"""By measure, the value of each query: float64 `(q,)`, in the order of the queries."""

_BLOCK = 512  # queries whose hits are Python objects at a time


def score(dataset: Dataset, hits: Hits) -> Scores:
    """Score every judged query.

    A query without hits scores 0. Hits of equal scores are put in the order that trec_eval gives
    them (by their ids, descending), whatever found them. MAP is over the hits that there are.

    Source: nDCG with linear gains, Järvelin and Kekäläinen, Cumulated Gain-Based Evaluation of IR
    Techniques, TOIS 2002; all others as in https://trec.nist.gov/trec_eval.

    Raises:
        MissingDependencyError: The extra `evaluate` is not installed.
    """
    require("pytrec_eval", purpose="measuring retrieval quality")
    require("ir_measures", purpose="measuring retrieval quality")
    from ir_measures import AP, RR, R, iter_calc, nDCG

    # Reciprocal rank without a cutoff, which is made below: with one, it is delegated to a provider
    # that puts hits of equal scores in another order.
    names = {nDCG @ 10: "nDCG@10", RR: "MRR@10", R @ 100: "recall@100", AP: "MAP"}
    row_of = {query: row for row, query in enumerate(dataset.queries)}
    scores: Scores = {name: np.zeros(len(row_of)) for name in METRICS}
    run: dict[str, dict[str, float]] = {}

    def add() -> None:
        for value in iter_calc(list(names), {query: dataset.qrels[query] for query in run}, run):
            scores[names[value.measure]][row_of[value.query_id]] = value.value
        run.clear()

    for query, scores_by_id in hits.by_query(dataset):
        run[query] = scores_by_id
        if len(run) == _BLOCK:
            add()
    if run:
        add()
    reciprocal = scores["MRR@10"]
    reciprocal[reciprocal < 1 / 10.5] = 0  # beyond rank 10
    return scores
