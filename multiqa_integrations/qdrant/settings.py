"""How a collection is kept: shards, replicas, what is on disk, its graph, its quantization."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.values import json_fault

# What a server's collection is where nobody asked for anything else.
_DEFAULTS: Mapping[str, Any] = {
    "shard_number": 1,
    "replication_factor": 1,
    "write_consistency_factor": 1,
    "sharding_method": "auto",
    "on_disk": False,
    "on_disk_payload": True,
    "datatype": "float32",
    "hnsw_config": {
        "m": 16,
        "ef_construct": 100,
        "full_scan_threshold": 10_000,
        "max_indexing_threads": 0,
        "on_disk": False,
    },
    "optimizers_config": {
        "deleted_threshold": 0.2,
        "vacuum_min_vector_number": 1_000,
        "default_segment_number": 0,
        "indexing_threshold": 10_000,
        "flush_interval_sec": 5,
    },
    "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0, "wal_retain_closed": 1},
    "strict_mode_config": {"enabled": False},
}

_NUMBERS = (
    "shard_number",
    "replication_factor",
    "write_consistency_factor",
    "read_fan_out_factor",
    "read_fan_out_delay_ms",
)
_SWITCHES = ("on_disk", "on_disk_payload")
_NAMES = ("datatype", "sharding_method")


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSettings:
    """How a collection is kept. What is None is left to the engine.

    Names and values are those of Qdrant's REST API, which documents them:
    https://api.qdrant.tech/api-reference/collections/create-collection. They are settings of a new
    collection; where one exists already, a warning tells which of them it does not have.

    Attributes:
        shard_number: How many shards.
        replication_factor: How many replicas of each.
        write_consistency_factor: How many replicas must confirm a write.
        read_fan_out_factor: How many further replicas are asked at once.
        read_fan_out_delay_ms: After how many milliseconds a further replica is asked.
        sharding_method: "auto"; "custom" is not supported.
        on_disk: Whether the vectors are on disk, and not in memory.
        on_disk_payload: Whether the payload is.
        datatype: "float32" or "float16": the numbers of the vectors.
        hnsw_config: The graph, such as `{"m": 24, "payload_m": 8}`.
        quantization_config: Such as `{"scalar": {"type": "int8"}}`; `{}` is none.
        optimizers_config: When segments are merged and indexed.
        wal_config: The log of writes.
        strict_mode_config: Such as `{"enabled": True, "max_query_limit": 1000}`.
        payload: Where the payload is (servers from 1.20 on).
        id_tracker: Where ids are (servers from 1.20 on).
        vector: Further parameters of the vector: its own hnsw_config, quantization_config, memory.
        sparse_index: The index of the sparse vector: on_disk, datatype, full_scan_threshold.

    Raises:
        ConfigurationError: A value is not of the type that it must have.

    Example:
        >>> CollectionSettings(replication_factor=2, hnsw_config={"m": 24}).given()
        {'replication_factor': 2, 'hnsw_config': {'m': 24}}
    """

    shard_number: int | None = None
    replication_factor: int | None = None
    write_consistency_factor: int | None = None
    read_fan_out_factor: int | None = None
    read_fan_out_delay_ms: int | None = None
    sharding_method: str | None = None
    on_disk: bool | None = None
    on_disk_payload: bool | None = None
    datatype: str | None = None
    hnsw_config: Mapping[str, Any] | None = None
    quantization_config: Mapping[str, Any] | None = None
    optimizers_config: Mapping[str, Any] | None = None
    wal_config: Mapping[str, Any] | None = None
    strict_mode_config: Mapping[str, Any] | None = None
    payload: Mapping[str, Any] | None = None
    id_tracker: Mapping[str, Any] | None = None
    vector: Mapping[str, Any] | None = None
    sparse_index: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, value in self.given().items():
            if name in _NUMBERS:
                least = 0 if name.startswith("read") else 1
                right = type(value) is int and value >= least
                expected = f"a whole number from {least}"
            elif name in _SWITCHES:
                right, expected = isinstance(value, bool), "a boolean"
            elif name in _NAMES:
                right, expected = isinstance(value, str), "text"
            else:
                right = isinstance(value, Mapping) and json_fault(value) is None
                expected = "a dict of JSON values, as in Qdrant's REST API"
            if not right:
                raise ConfigurationError(f"{name} is {value!r}, expected {expected}.")

    @classmethod
    def from_dict(cls, values: object) -> CollectionSettings:
        """Read settings of a dict of JSON values.

        Raises:
            ConfigurationError: There is no such setting, or a value is of another type.
        """
        known = [field.name for field in fields(cls)]
        if not isinstance(values, Mapping) or (unknown := sorted(values.keys() - set(known))):
            what = ", ".join(unknown) if isinstance(values, Mapping) else type(values).__name__
            raise ConfigurationError(
                f"{what}: a collection has no such settings. It has {', '.join(known)}."
            )
        return cls(**values)

    def given(self) -> dict[str, Any]:
        """Return what is not left to the engine."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def updated(self, other: CollectionSettings | None) -> CollectionSettings:
        """Return the settings with those of others that are given."""
        return self if other is None else replace(self, **other.given())

    def only(self, names: frozenset[str]) -> tuple[CollectionSettings, list[str]]:
        """Return some of the settings, and a line for each other one that is not the default."""
        kept = {name: value for name, value in self.given().items() if name in names}
        return CollectionSettings(**kept), [
            f"{name} ({value})"
            for name, value in self.without_defaults().given().items()
            if name not in names
        ]

    def without_defaults(self) -> CollectionSettings:
        """Return those that are the defaults neither of servers nor of embedded collections."""
        embedded = not EMBEDDED.differences(self)
        chosen = {
            name: value
            for name, value in self.given().items()
            if not (embedded and name in EMBEDDED.given())
            and any(
                value is not None and default != value
                for value, default in _pairs(value, _DEFAULTS.get(name))
            )
        }
        return CollectionSettings(**chosen)

    def differences(self, actual: CollectionSettings) -> list[str]:
        """Return a line for each setting that a collection was asked for and does not have."""
        found = []
        for name, value in self.given().items():
            default = _DEFAULTS.get(name)
            other = getattr(actual, name)
            if value == {} and not other:
                continue
            for wanted, has in _pairs(value, default if other is None else other):
                if not _equal(wanted, has):
                    found.append(f"{name}: {value} was asked for, it has {other or default}")
                    break
        return found


Quantization: TypeAlias = Literal[
    "none", "int8", "binary", "turbo1", "turbo1.5", "turbo2", "turbo4"
]
"""The vectors that the graph is searched with; TurboQuant by its bits for each dimension."""


def quantization_config(kind: Quantization) -> dict[str, Any]:
    """Return the setting of a kind of quantization.

    Examples:
        >>> quantization_config("turbo1.5")
        {'turbo': {'bits': 'bits1_5'}}
    """
    named: dict[str, dict[str, Any]] = {
        "none": {},
        "int8": {"scalar": {"type": "int8"}},
        "binary": {"binary": {}},
    }
    if kind in named:
        return named[kind]
    return {"turbo": {"bits": f"bits{kind.removeprefix('turbo').replace('.', '_')}"}}


EMBEDDED = CollectionSettings(
    hnsw_config={"m": 32, "ef_construct": 256, "full_scan_threshold": 10_000},
    quantization_config=quantization_config("int8"),
    # One graph: each segment is searched by itself, which takes its time.
    optimizers_config={"default_segment_number": 1},
)
"""What an embedded collection has where nobody asked for anything else.

With 8-bit vectors in the graph and the hits scored again by the originals it is twice as fast as
the engine's own defaults, and finds more: docs/benchmarks.md has the measurements.
"""


def _equal(value: Any, other: Any) -> bool:
    if isinstance(value, float) and isinstance(other, float | int):
        return math.isclose(value, other, rel_tol=1e-6)  # gRPC has some with 32 bits
    return bool(value == other)


def _pairs(value: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each value of nested dicts with the one in the same place of others."""
    if not isinstance(value, Mapping):
        yield value, other
        return
    for key, inner in value.items():
        yield from _pairs(inner, other.get(key) if isinstance(other, Mapping) else None)
    if not value:  # {"binary": {}} is not nothing
        yield value, other
