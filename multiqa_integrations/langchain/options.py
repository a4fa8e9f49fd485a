"""The options of each kind of search; any other is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant.search_options import SearchOptions

# `k` is LangChain's limit, and its documents have no room for vectors.
SIMILARITY = frozenset(SearchOptions.__annotations__) - {"limit", "with_vectors"}
RELEVANCE = SIMILARITY - {"hybrid", "candidates"}
MMR = frozenset({"filter"})

_NAMED = {
    "similarity": SIMILARITY | {"k"},
    "similarity_score_threshold": RELEVANCE | {"k"},
    "mmr": MMR | {"k", "fetch_k", "lambda_mult"},
}


def check_options(given: Iterable[str], allowed: Iterable[str], what: str) -> None:
    """Refuse options that would be ignored: a filter that is not applied shows too much.

    Raises:
        ConfigurationError: Some of those given are not allowed.
    """
    allowed = sorted(allowed)
    if unknown := sorted(set(given).difference(allowed)):
        expected = f"expected some of {', '.join(allowed)}" if allowed else "it takes none"
        raise ConfigurationError(f"{what} has no option {', '.join(unknown)}: {expected}.")


def check_search(search_type: str, options: Mapping[str, object]) -> None:
    """Refuse options that a retriever's search does not have.

    Raises:
        ConfigurationError: There are such; `search_type` itself is checked by LangChain.
    """
    if (allowed := _NAMED.get(search_type)) is not None:
        check_options(options, allowed, f"a search of type {search_type!r}")


def check_write(options: Mapping[str, object]) -> None:
    """Refuse options of writing, but the one that LangChain's `index()` gives.

    Raises:
        ConfigurationError: There are others.
    """
    # A batch size; requests are bounded here by themselves.
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
