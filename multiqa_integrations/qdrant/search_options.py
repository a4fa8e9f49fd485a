"""How a collection is searched: the options of `search` and `mmr`, with their defaults."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypedDict

from multiqa_integrations.errors import ConfigurationError

if TYPE_CHECKING:
    from qdrant_client import models


class SearchOptions(TypedDict, total=False):
    """How `Collection.search` searches.

    Attributes:
        limit: How many hits are wanted; 10 by default.
        offset: How many of the best are skipped.
        filter: A condition on the payload: `qdrant_client.models.Filter`.
        score_threshold: The least similarity of a hit.
        with_vectors: Whether the hits bring their vectors.
        hybrid: Search by meaning and by words (BM25), and fuse the two lists by reciprocal
            ranks; the scores then are of ranks.
        candidates: How many hits each of the two lists brings; by default 50, and more where
            `offset` and `limit` reach further.
        exact: Compare with every document instead of following the HNSW graph.
        hnsw_ef: How widely that graph is followed: more is slower and finds more.
    """

    limit: int
    offset: int
    filter: models.Filter | None
    score_threshold: float | None
    with_vectors: bool
    hybrid: bool
    candidates: int | None
    exact: bool
    hnsw_ef: int | None


class MmrOptions(TypedDict, total=False):
    """How `Collection.mmr` searches.

    Attributes:
        limit: How many hits are wanted; 4 by default.
        candidates: From how many of the closest they are chosen; 20 by default.
        diversity: 0 is closeness only, 1 is difference only; 0.5 by default.
        filter: A condition on the payload.
        with_vectors: Whether the hits bring their vectors.
        k: LangChain's name for `limit`.
        fetch_k: LangChain's name for `candidates`.
    """

    limit: int
    candidates: int
    diversity: float
    filter: models.Filter | None
    with_vectors: bool
    k: int
    fetch_k: int


def check_options(given: Iterable[str], known: type) -> None:
    """Make sure that no option is misspelt.

    Raises:
        ConfigurationError: One is not known.
    """
    if unknown := sorted(set(given) - known.__annotations__.keys()):
        raise ConfigurationError(
            f"unknown options: {', '.join(unknown)}. Known are {', '.join(known.__annotations__)}."
        )


def mmr_options(
    *,
    limit: int | None = None,
    candidates: int | None = None,
    k: int | None = None,
    fetch_k: int | None = None,
    diversity: float = 0.5,
    filter: models.Filter | None = None,
    with_vectors: bool = False,
) -> dict[str, Any]:
    """Fill in the defaults of `MmrOptions`, and bring both names of an option to one.

    Raises:
        ConfigurationError: An option was given by both of its names.
    """
    for name, synonym in (("limit", k), ("candidates", fetch_k)):
        if synonym is not None and {"limit": limit, "candidates": candidates}[name] is not None:
            raise ConfigurationError(f"{name} was given twice, once by its other name.")
    limit = limit if limit is not None else k
    candidates = candidates if candidates is not None else fetch_k
    return {
        "limit": 4 if limit is None else limit,
        "candidates": 20 if candidates is None else candidates,
        "diversity": diversity,
        "filter": filter,
        "with_vectors": with_vectors,
    }
