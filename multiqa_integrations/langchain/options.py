"""The options of each kind of search; any other is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from multiqa_integrations.arguments import check_options
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant.search_options import MmrOptions, SearchOptions

if TYPE_CHECKING:
    from qdrant_client import models

# `k` is LangChain's limit, and its documents have no room for vectors.
SIMILARITY = frozenset(SearchOptions.__annotations__) - {"limit", "with_vectors"}
RELEVANCE = SIMILARITY - {"hybrid", "candidates"}
MMR = frozenset({"filter"})

_NAMED = {
    "similarity": SIMILARITY | {"k"},
    "similarity_score_threshold": RELEVANCE | {"k"},
    "mmr": MMR | {"k", "fetch_k", "lambda_mult"},
}


def check_search(search_type: str, options: Mapping[str, object]) -> None:
    """Refuse options that a retriever's search does not have.

    Raises:
        ConfigurationError: There are some; LangChain checks `search_type` itself.
    """
    if (allowed := _NAMED.get(search_type)) is not None:
        check_options(options, allowed, f"a search of type {search_type!r}")


def check_write(options: Mapping[str, object]) -> None:
    """Refuse options of writing other than the batch size that LangChain's `index()` passes.

    Raises:
        ConfigurationError: There are others.
    """
    # It has no use: requests are bounded by bytes and points.
    check_options(options, {"batch_size"}, "writing")


def of_cosine(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a search by cosine for one by relevance, (1 + cosine) / 2.

    Raises:
        ConfigurationError: It is hybrid, or its threshold is not a relevance.
    """
    if options.get("hybrid"):
        raise ConfigurationError(
            "relevance is made of cosines; the scores of a hybrid search come from ranks. Leave "
            "hybrid out, or use similarity_search_with_score without score_threshold."
        )
    threshold = options.get("score_threshold")
    if threshold is None:
        return options
    if not isinstance(threshold, float | int) or not 0.0 <= threshold <= 1.0:
        raise ConfigurationError(f"score_threshold is {threshold!r}, expected a relevance, 0 to 1.")
    return {**options, "score_threshold": 2.0 * threshold - 1.0}


def mmr_options(
    k: int, fetch_k: int, lambda_mult: float, filter: models.Filter | None
) -> MmrOptions:
    """Return LangChain's options of a search by MMR as those of `Collection.mmr`.

    Raises:
        ConfigurationError: One of them is not a number that makes sense.
    """
    for name, count in (("k", k), ("fetch_k", fetch_k)):
        if not isinstance(count, int):
            raise ConfigurationError(f"{name} is {count!r}, expected a whole number from 1.")
    if not isinstance(lambda_mult, float | int) or not 0.0 <= lambda_mult <= 1.0:
        raise ConfigurationError(f"lambda_mult is {lambda_mult!r}, expected 0 to 1.")
    return {
        "limit": k,
        "candidates": max(fetch_k, k),
        "diversity": 1.0 - lambda_mult,
        "filter": filter,
    }
