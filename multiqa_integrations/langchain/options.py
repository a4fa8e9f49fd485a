"""The options of each kind of search; any other is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant.collection import SearchOptions

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
