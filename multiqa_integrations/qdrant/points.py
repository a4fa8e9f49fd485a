"""Points: what a collection holds, what is asked of it, and the rule of ids."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.errors import ConfigurationError, WriteRejectedError
from multiqa_integrations.texts import repair_surrogates, short
from multiqa_integrations.types import Vectors
from multiqa_integrations.values import MAX_DEPTH, json_fault

if TYPE_CHECKING:
    from qdrant_client import models

PointId: TypeAlias = int | str
"""What Qdrant takes: an unsigned integer, or a UUID in its usual form of 36 characters."""

# As JSON: a number of a dense vector, and a number with its index of a sparse one.
_BYTES_PER_NUMBER = 22
_BYTES_PER_ENTRY = 34

# Never change it: the points of every collection are found by it.
_NAMESPACE = uuid.UUID("2f7a1f9e-5c0c-5b53-9d0a-6f1c5d9a7b21")


@dataclass(frozen=True, slots=True, eq=False)
class SparseVector:
    """A vector that is zero but for some places.

    Attributes:
        indices: uint32 `(n,)`.
        values: float32 `(n,)`.
    """

    indices: NDArray[np.uint32]
    values: NDArray[np.float32]


Vector: TypeAlias = Vectors | SparseVector


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A point of a collection.

    Attributes:
        id: An unsigned integer or a UUID.
        vectors: By name; the unnamed vector has the name "". Empty where a point was read
            without its vectors.
        payload: JSON values.
    """

    id: PointId
    vectors: Mapping[str, Vector] = field(default_factory=dict)
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class ScoredPoint(Point):
    """A point that a query found.

    Attributes:
        score: The greater, the closer.
    """

    score: float = 0.0


_CANDIDATES = 50


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PointQuery:
    """What is asked of a collection.

    With `vector` alone the nearest points by it, with `sparse` alone those by it, with both the
    two lists fused by reciprocal ranks. `diversity` asks for maximal marginal relevance.

    Attributes:
        vector: Unit vector `(384,)`.
        vector_name: Which vector it is compared with; "" is the unnamed one.
        sparse: Sparse vector of the query.
        sparse_name: Which sparse vector it is compared with.
        limit: How many points are wanted.
        offset: How many of the best are skipped.
        filter: A condition on the payload.
        score_threshold: The least similarity; not with words, whose scores are none.
        candidates: How many points each list brings to fusion, or MMR chooses from: 50, if it is
            left out, and 4 times as many until they fill `offset` and `limit`.
        diversity: 0 is relevance only, 1 is diversity only; None leaves MMR out.
        exact: Compare with every point instead of following the HNSW graph.
        hnsw_ef: How widely the graph is followed; by default the engine's choice.
        rescore: Whether the hits of quantized vectors are scored again by the originals; by
            default the engine's choice.
        oversampling: How many times `limit` are taken from quantized vectors for that.
        with_payload: Whether the payload is wanted.
        with_vectors: Whether the vectors are wanted.
    """

    vector: Vectors | None = None
    vector_name: str = ""
    sparse: SparseVector | None = None
    sparse_name: str = ""
    limit: int = 10
    offset: int = 0
    filter: models.Filter | None = None
    score_threshold: float | None = None
    candidates: int | None = None
    diversity: float | None = None
    exact: bool = False
    hnsw_ef: int | None = None
    rescore: bool | None = None
    oversampling: float | None = None
    with_payload: bool = True
    with_vectors: bool = False

    def __post_init__(self) -> None:
        if self.vector is None and self.sparse is None:
            raise ConfigurationError("the query has neither a vector nor a sparse vector.")
        if self.vector is not None:
            _check_vector(self.vector)
        for name, least in (("limit", 1), ("offset", 0), ("candidates", 1), ("hnsw_ef", 1)):
            value = getattr(self, name)
            if value is None and name in ("candidates", "hnsw_ef"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigurationError(
                    f"{name} is {value!r}, expected a whole number from {least}."
                )
        for name in ("diversity", "score_threshold"):
            number = getattr(self, name)
            if number is not None and not isinstance(number, Real):
                raise ConfigurationError(f"{name} is {number!r}, expected a number.")
        if self.diversity is not None and not 0.0 <= self.diversity <= 1.0:
            raise ConfigurationError(f"diversity is {self.diversity!r}, expected 0 to 1.")
        if self.candidates is not None and not self.fused and self.diversity is None:
            raise ConfigurationError(
                "candidates is how many hits each list of a hybrid search brings, or MMR chooses "
                "from; this search is neither. Leave it out."
            )
        if self.diversity is not None and (self.vector is None or self.sparse is not None):
            raise ConfigurationError("diversity goes with a dense vector alone.")
        if self.score_threshold is not None:
            if not math.isfinite(self.score_threshold):
                raise ConfigurationError(f"score_threshold is {self.score_threshold!r}.")
            if self.sparse is not None:
                raise ConfigurationError(
                    "score_threshold is a similarity; the scores of a hybrid search come from "
                    "ranks, and those of a search by words are sums of weights. Leave it out, or "
                    "search by meaning alone."
                )

    @property
    def fused(self) -> bool:
        """Whether two lists are fused."""
        return self.vector is not None and self.sparse is not None

    @property
    def candidate_limit(self) -> int:
        """How many points each list brings to fusion, or MMR chooses from."""
        return self.candidate_limits[-1]

    @property
    def candidate_limits(self) -> list[int]:
        """That number for the first pages, for those that these leave wanting, and so on.

        It depends on the page in large steps alone: ranks of a fusion, and choices of MMR, change
        with how many they are from, and pages would repeat some points and miss others.
        """
        limits = [self.candidates or _CANDIDATES]
        while limits[-1] < self.offset + self.limit:
            limits.append(4 * limits[-1])
        return limits


def _check_vector(vector: object) -> None:
    if not isinstance(vector, np.ndarray) or vector.ndim != 1 or vector.dtype.kind not in "fiu":
        what = (
            f"an array of {vector.dtype}, shape {vector.shape}"
            if isinstance(vector, np.ndarray)
            else type(vector).__name__
        )
        raise ConfigurationError(
            f"the query's vector is {what}, expected a one-dimensional array of numbers, such as "
            "encode_query([text])[0]."
        )
    with np.errstate(over="ignore"):
        if not np.isfinite(vector.astype(np.float32)).all():
            raise ConfigurationError("the query's vector has NaN or infinite numbers.")


def payload_keys(with_payload: bool | Sequence[str]) -> bool | list[str]:
    """Return which keys of payloads are wanted, as engines take it: all, none, or a list."""
    return with_payload if isinstance(with_payload, bool) else list(with_payload)


def point_id(document_id: str | None) -> PointId:
    """Return the point id of a document.

    An id that parses as a UUID is it; any other string maps to a UUID of version 5; None, a
    document without an id, gets a random one.

    Examples:
        >>> point_id("5C1C6D8E-2F7A-4B7E-9C53-0D1A2B3C4D5E")
        '5c1c6d8e-2f7a-4b7e-9c53-0d1a2b3c4d5e'
        >>> point_id("manual.pdf#3") == point_id("manual.pdf#3")
        True
    """
    if document_id is None:
        return str(uuid.uuid4())
    if not isinstance(document_id, str):
        raise ConfigurationError(
            f"a document's id is {short(document_id)}, expected a string. Pass str(id)."
        )
    try:
        return str(uuid.UUID(document_id))
    except ValueError:
        return str(uuid.uuid5(_NAMESPACE, repair_surrogates(document_id)))


def lookup_ids(document_ids: Iterable[str]) -> list[PointId]:
    """Return the point ids a document id may be stored under.

    One, or two if it looks like an integer: points of other programs have numbers as ids, and
    their hits show them as strings.
    """
    if isinstance(document_ids, str):
        raise ConfigurationError(
            f"expected a list of ids, got the single string {document_ids!r}. Pass [id]."
        )
    if not isinstance(document_ids, Iterable):
        raise ConfigurationError(f"expected a list of ids, got {short(document_ids)}.")
    ids: list[PointId] = []
    for document_id in document_ids:
        if document_id is None:
            raise ConfigurationError("an id is None, expected a string.")
        ids.append(point_id(document_id))
        if (number := number_of(document_id)) is not None:
            ids.append(number)
    return ids


def number_of(document_id: str) -> int | None:
    """Return the number that is written as this id; None for "007" and "²", which none is."""
    if not (document_id.isascii() and document_id.isdigit() and len(document_id) <= 20):
        return None
    number = int(document_id)
    return number if str(number) == document_id and number < 1 << 64 else None


def request_bytes(point: Point) -> int:
    """Return about how many bytes a point has in a request; never too few."""
    numbers = sum(
        _BYTES_PER_ENTRY * len(vector.indices)
        if isinstance(vector, SparseVector)
        else _BYTES_PER_NUMBER * len(vector)
        for vector in point.vectors.values()
    )
    return numbers + len(json.dumps(dict(point.payload))) + 100


def check_points(points: Sequence[Point], sizes: Mapping[str, int], sparse: Iterable[str]) -> None:
    """Check points before any of them is written: the embedded engine applies half a batch.

    Args:
        points: What is to be written.
        sizes: The collection's dense vectors: names and lengths.
        sparse: The names of its sparse vectors.

    Raises:
        WriteRejectedError: Some do not fit; `.ids` names them. Nothing was written.
    """
    sparse = frozenset(sparse)
    faults: dict[PointId, str] = {}
    rows: dict[str, list[tuple[PointId, Vectors]]] = {name: [] for name in sizes}
    for point in points:
        if not is_point_id(point.id):
            faults[point.id] = "the id is neither an unsigned integer nor a UUID"
        if not point.vectors:
            faults[point.id] = "it has no vector"
        if fault := json_fault(point.payload, depth=MAX_DEPTH + 1):
            faults[point.id] = f"its payload {fault}"
        for name, vector in point.vectors.items():
            if isinstance(vector, SparseVector):
                if name not in sparse:
                    faults[point.id] = f"the collection has no sparse vector {name!r}"
                elif fault := _sparse_fault(vector):
                    faults[point.id] = fault
            elif name not in sizes:
                faults[point.id] = f"the collection has no vector {name!r}, but {list(sizes)}"
            elif np.shape(vector) != (sizes[name],):
                faults[point.id] = f"shape {np.shape(vector)}, expected ({sizes[name]},)"
            else:
                rows[name].append((point.id, vector))
    for named in rows.values():
        if named:
            with np.errstate(over="ignore", invalid="ignore"):
                norms = np.linalg.norm(np.stack([vector for _, vector in named]), axis=1)
            for row in np.flatnonzero(~(np.abs(norms - 1.0) <= 1e-2)):
                faults[named[row][0]] = f"a vector of length {norms[row]:.4g}, expected 1"
    if faults:
        first = next(iter(faults))
        raise WriteRejectedError(
            f"{len(faults):,} of {len(points):,} points do not fit the collection; none was "
            f"written. The first is {first!r}: {faults[first]}. Vectors come from "
            "encode_document(), with an encoder of the collection's model.",
            reasons={str(id): fault for id, fault in faults.items()},
        )


def is_point_id(value: object) -> bool:
    """Check whether a value is an unsigned integer of 64 bits or a UUID."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return 0 <= value < 1 << 64
    if not isinstance(value, str):
        return False
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True


def _sparse_fault(vector: SparseVector) -> str | None:
    if vector.indices.shape != vector.values.shape:
        return "the sparse vector has another number of indices than of values"
    if len(np.unique(vector.indices)) != len(vector.indices):
        return "the sparse vector names a place twice"
    if not np.isfinite(vector.values).all():
        return "the sparse vector has NaN or infinite numbers"
    return None
