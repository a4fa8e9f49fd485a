"""Points and vectors, to what qdrant-client takes and from what it gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from qdrant_client import models

from multiqa_integrations.qdrant.points import Point, SparseVector, Vector


def to_struct(point: Point) -> models.PointStruct:
    """Return a point as the client takes it."""
    vectors = {name: to_vector(vector) for name, vector in point.vectors.items()}
    return models.PointStruct(
        id=point.id,
        vector=vectors[""] if set(vectors) == {""} else vectors,
        payload=dict(point.payload),
    )


def to_vector(vector: Vector) -> Any:
    """Return a vector as the client takes it."""
    if isinstance(vector, SparseVector):
        return models.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())
    return vector.tolist()


def read_vectors(vector: Any) -> dict[str, Vector]:
    """Return the vectors that the client gives, by their names."""
    if vector is None:
        return {}
    named = vector if isinstance(vector, dict) else {"": vector}
    return {
        name: SparseVector(
            np.asarray(vector.indices, np.uint32), np.asarray(vector.values, np.float32)
        )
        if isinstance(vector, models.SparseVector)
        else np.asarray(vector, np.float32)
        for name, vector in named.items()
    }


def read_point(record: Any) -> Point:
    """Return a point that the client gives."""
    return Point(record.id, read_vectors(record.vector), record.payload or {})
