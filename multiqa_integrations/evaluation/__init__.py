"""Measure retrieval quality on sets in the format of BEIR: `multiqa evaluate`.

Examples:
    >>> from multiqa_integrations.evaluation import Configuration, evaluate
    >>> ways = [Configuration(), Configuration(search="hnsw")]
    >>> evaluation = evaluate("scifact", ways)  # doctest: +SKIP
    >>> evaluation.results[0].mean("nDCG@10")  # doctest: +SKIP
"""

from __future__ import annotations

from multiqa_integrations.evaluation.configuration import Configuration
from multiqa_integrations.evaluation.dataset import Dataset, read_dataset
from multiqa_integrations.evaluation.encoding import Lengths
from multiqa_integrations.evaluation.evaluator import Evaluation, Result, evaluate
from multiqa_integrations.evaluation.metrics import METRICS, score
from multiqa_integrations.evaluation.report import Report, write_run
from multiqa_integrations.evaluation.retrieval import Hits, search_exactly
from multiqa_integrations.evaluation.significance import Comparison, compare

__all__ = [
    "METRICS",
    "Comparison",
    "Configuration",
    "Dataset",
    "Evaluation",
    "Hits",
    "Lengths",
    "Report",
    "Result",
    "compare",
    "evaluate",
    "read_dataset",
    "score",
    "search_exactly",
    "write_run",
]
