"""Keep what was found: figures as JSON, runs in the format of TREC, a page to read."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from multiqa_integrations import __version__
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.evaluation import page
from multiqa_integrations.evaluation.configuration import Configuration, name_all
from multiqa_integrations.evaluation.dataset import Dataset
from multiqa_integrations.evaluation.evaluator import Evaluation, Result
from multiqa_integrations.evaluation.metrics import METRICS
from multiqa_integrations.evaluation.significance import Comparison
from multiqa_integrations.private_files import private

_PACKAGES = (
    *("openvino", "tokenizers", "numpy", "torch", "sentence-transformers", "qdrant-edge-py"),
    *("qdrant-client", "ir-measures", "pytrec-eval-terrier", "scipy"),
)


class Report:
    """The results of several retrieval sets, set by set.

    Of each set the figures and the page's section are kept, not its vectors and hits.

    Attributes:
        sets: The figures of the finished sets, as JSON values.
    """

    def __init__(
        self,
        datasets: Sequence[Dataset],
        configurations: Sequence[Configuration],
        **settings: Any,
    ) -> None:
        """Begin.

        Args:
            datasets: All that are to be evaluated.
            configurations: What they are evaluated with.
            settings: What else was chosen: JSON values.

        Raises:
            ConfigurationError: Two sets have the same name.
        """
        self.sets: list[dict[str, Any]] = []
        self._sections: list[page.Section] = []
        self._names = [dataset.name for dataset in datasets]
        duplicate = next((name for name in self._names if self._names.count(name) > 1), None)
        if duplicate is not None:
            raise ConfigurationError(f"two of the folders are called {duplicate!r}. Rename one.")
        names = name_all(configurations)
        self._head: dict[str, Any] = {
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "versions": {"multiqa-integrations": __version__}
            | {name: installed for name in _PACKAGES if (installed := _version(name))},
            "settings": settings,
            "configurations": [
                {"name": name, **_describe(configuration)}
                for name, configuration in zip(names, configurations, strict=True)
            ],
        }

    def add(self, evaluation: Evaluation) -> None:
        """Add a finished set."""
        self.sets.append(_set_to_dict(evaluation))
        self._sections.append(page.section(evaluation))

    @property
    def missing(self) -> list[str]:
        """The sets that are not finished."""
        return self._names[len(self.sets) :]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, the values of each query included."""
        return {**self._head, "sets": self.sets, "missing": self.missing}

    def write_json(self, file: Path) -> None:
        """Write the figures."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False)
        _write(file, f"{text}\n")

    def write_page(self, file: Path) -> None:
        """Write the page: one file of HTML that loads nothing from anywhere."""
        _write(file, page.render(self.to_dict(), self._sections))


def write_run(dataset: Dataset, result: Result, folder: Path) -> Path:
    """Write the hits of a configuration in the format of TREC.

    query-id Q0 corpus-id rank score name, best first; hits of equal scores as trec_eval orders
    them.

    Returns:
        The file: <set>.<configuration>.trec

    Raises:
        ConfigurationError: An id has white space in it, which the format cannot hold.
    """
    tag = re.sub(r"[^\w.=,-]+", "-", result.name)
    file = folder / f"{dataset.name}.{tag}.trec"
    folder.mkdir(parents=True, exist_ok=True)
    with open(file, "w", encoding="utf-8", opener=private) as lines:
        for query, scores in result.hits.by_query(dataset):
            ordered = sorted(scores.items(), key=lambda hit: (hit[1], hit[0]), reverse=True)
            for rank, (document, score) in enumerate(ordered, 1):
                for id in (query, document):
                    if len(id.split()) != 1:
                        raise ConfigurationError(
                            f"the id {id!r} of {dataset.name} has white space in it, or nothing "
                            "else: a run in the format of TREC cannot hold it."
                        )
                lines.write(f"{query} Q0 {document} {rank} {score:.9g} {tag}\n")
    return file


def _write(file: Path, text: str) -> None:
    # Both name queries, and the page quotes some.
    with open(file, "w", encoding="utf-8", opener=private) as stream:
        stream.write(text)


def _set_to_dict(evaluation: Evaluation) -> dict[str, Any]:
    dataset = evaluation.dataset
    return {
        "name": dataset.name,
        "folder": str(dataset.folder),
        "documents": len(dataset.document_ids),
        "queries": len(dataset.queries),
        "limit": evaluation.limit,
        "unjudged": list(dataset.unjudged),
        "unknown_queries": list(dataset.unknown_queries),
        "unknown_documents": list(dataset.unknown_documents),
        "without_relevant": list(dataset.without_relevant),
        "query_ids": list(dataset.queries),
        "results": [_result_to_dict(result) for result in evaluation.results],
        "comparisons": [_comparison_to_dict(comparison) for comparison in evaluation.comparisons],
    }


def _result_to_dict(result: Result) -> dict[str, Any]:
    lengths = result.lengths
    return {
        "configuration": result.name,
        **{metric: result.mean(metric) for metric in METRICS},
        "max_seq_length": None if lengths is None else lengths.limit,
        "cut_documents": None if lengths is None else lengths.cut_documents,
        "cut_queries": None if lengths is None else lengths.cut_queries,
        "remarks": result.remarks,
        "by_query": {metric: result.scores[metric].tolist() for metric in METRICS},
    }


def _comparison_to_dict(comparison: Comparison) -> dict[str, Any]:
    return {
        "metric": comparison.metric,
        "base": comparison.base,
        "other": comparison.other,
        "difference": comparison.mean,
        "confidence_interval_95": (
            None if comparison.low is None else [comparison.low, comparison.high]
        ),
        "p_value": comparison.p_value,
        "better": comparison.better,
        "worse": comparison.worse,
        "by_query": comparison.differences.tolist(),
    }


def _describe(configuration: Configuration) -> dict[str, Any]:
    """Describe a configuration: what was chosen, what "auto" became, which weights."""
    described: dict[str, Any] = {"settings": configuration.settings}
    if configuration.mode != "bm25":
        described["fingerprint"] = configuration.encoder.fingerprint
        compute = getattr(configuration.encoder, "compute", None)
        if compute is not None:
            described["computed"] = f"{compute.backend}, {compute.dtype}, {compute.device}"
    return described


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
