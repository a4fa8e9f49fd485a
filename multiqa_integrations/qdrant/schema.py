"""What a collection must be to hold the vectors of one encoder."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from multiqa_integrations.arguments import check_encoder, check_kind
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.types import Encoder
from multiqa_integrations.values import json_fault

Distance: TypeAlias = Literal["cosine", "dot"]

METADATA_KEY = "multiqa"
"""Where a collection's metadata says which model fills it."""

SPARSE_NAME = "bm25"
"""The sparse vector of hybrid search, unless another name is given."""

INDEX_KINDS = ("keyword", "integer", "float", "bool", "datetime", "text", "uuid", "geo")


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSchema:
    """What a collection must be to hold the vectors of one encoder.

    Attributes:
        fingerprint: Of the encoder's weights.
        model: The encoder's name: information, never compared.
        size: Length of a vector.
        distance: How a new collection compares. Unit vectors have the same scores by both, so
            that an existing one may have either.
        vector_name: "" is the unnamed vector.
        sparse_name: The sparse vector of hybrid search; None where there is none.
        sparse_idf: Whether that weighs by IDF: not in copies of other programs' collections.
        payload_indexes: Indexed payload fields and their kinds: one of `INDEX_KINDS`; an object of
            `qdrant_client.models` such as `KeywordIndexParams(is_tenant=True)`; or that as JSON,
            such as `{"type": "keyword", "is_tenant": True}`, which is taken exactly as it is.
    """

    fingerprint: str
    model: str | None = None
    size: int = 384
    distance: Distance = "cosine"
    vector_name: str = ""
    sparse_name: str | None = None
    sparse_idf: bool = True
    payload_indexes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.fingerprint, str) or not self.fingerprint:
            raise ConfigurationError(
                f"fingerprint is {self.fingerprint!r}, expected encoder.fingerprint."
            )
        if self.distance not in ("cosine", "dot"):
            raise ConfigurationError(f"distance is {self.distance!r}, expected 'cosine' or 'dot'.")
        check_kind("vector_name", self.vector_name, str, "a name, or '' for the unnamed vector")
        check_kind("payload_indexes", self.payload_indexes, Mapping, "a dict of kinds by fields")
        for key, kind in self.payload_indexes.items():
            index_kind(kind, key)

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        *,
        distance: Distance = "cosine",
        vector_name: str = "",
        sparse: bool | str | None = None,
        payload_indexes: Mapping[str, Any] | None = None,
    ) -> CollectionSchema:
        """Return what a collection must be to hold the vectors of an encoder.

        Args:
            encoder: The encoder.
            distance: How a new collection compares.
            vector_name: "" is the unnamed vector.
            sparse: Whether there is a sparse vector for hybrid search, or its name.
            payload_indexes: Indexed payload fields and their kinds.

        Raises:
            ConfigurationError: An argument is wrong.
        """
        check_encoder(encoder)
        return cls(
            fingerprint=encoder.fingerprint,
            model=model_name(encoder),
            size=encoder.dimension,
            distance=distance,
            vector_name=vector_name,
            sparse_name=sparse_name(sparse),
            payload_indexes=payload_indexes or {},
        )

    def metadata(self, identity: str | None = None) -> dict[str, Any]:
        """Return what a collection's metadata says, under the key "multiqa".

        Args:
            identity: The collection's, if it has one; by default a new one.
        """
        return {
            "fingerprint": self.fingerprint,
            "model": self.model,
            "format": 1,
            "identity": identity or uuid.uuid4().hex,
        }


def index_kind(kind: object, key: str) -> str:
    """Return the kind of a payload index.

    Raises:
        ConfigurationError: There is no such kind.
    """
    if isinstance(kind, Mapping):
        kind = kind.get("type")
    elif not isinstance(kind, str):  # KeywordIndexParams and its like, of either library
        kind = type(kind).__name__.removesuffix("IndexParams").lower()
    if kind not in INDEX_KINDS:
        raise ConfigurationError(
            f"the index of {key!r} is {kind!r}, expected one of {', '.join(INDEX_KINDS)}, or "
            "parameters of qdrant_client.models such as KeywordIndexParams(...)."
        )
    return str(kind)


def sparse_name(sparse: bool | str | None) -> str | None:
    """Return the name of the sparse vector of hybrid search; None where there is none.

    Raises:
        ConfigurationError: `sparse` is neither a boolean nor a name.
    """
    if sparse is None or isinstance(sparse, bool):
        return SPARSE_NAME if sparse else None
    if not isinstance(sparse, str) or not sparse:
        raise ConfigurationError(f"sparse is {sparse!r}, expected True, False or a name.")
    return sparse


def model_name(encoder: Encoder) -> str | None:
    """Return the name of an encoder's model; None if it does not say."""
    name = getattr(getattr(encoder, "spec", None), "name", None)
    return name if isinstance(name, str) else None


def check_metadata(key: str, value: Any) -> None:
    """Make sure that something may be written into a collection's metadata.

    Raises:
        ConfigurationError: The key is not text or this package's own, or the value is not JSON.
    """
    if not isinstance(key, str) or not key or key == METADATA_KEY:
        raise ConfigurationError(
            f"the key of the metadata is {key!r}, expected text other than {METADATA_KEY!r}."
        )
    if fault := json_fault(value, any_integer=True):
        raise ConfigurationError(f"the metadata {key!r} {fault}.")
