"""Settings of collections and indexes, to and from those of Qdrant Edge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant.settings import CollectionSettings

SUPPORTED = frozenset(
    {
        *("on_disk", "on_disk_payload", "datatype", "hnsw_config", "quantization_config"),
        *("optimizers_config", "vector", "sparse_index"),
    }
)
"""The settings that an embedded collection can have."""

# One process has one shard of it, whatever a server would do.
_ONE = ("shard_number", "replication_factor", "write_consistency_factor")

_HNSW = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000}
_QUANTIZATION = {
    "scalar": "Scalar",
    "binary": "Binary",
    "product": "Product",
    "turbo": "TurboQuant",
}


@dataclass(slots=True)
class EngineOptions:
    """Options as the engine takes them: of the collection, its vector and its sparse vector."""

    collection: dict[str, Any] = field(default_factory=dict)
    vector: dict[str, Any] = field(default_factory=dict)
    sparse: dict[str, Any] = field(default_factory=dict)


def to_engine(options: Mapping[str, Any]) -> EngineOptions:
    """Return options as the engine takes them; those that are not JSON stay.

    Raises:
        ConfigurationError: An embedded collection cannot have one of them.
        AttributeError, KeyError, TypeError, ValueError: A value is wrong.
    """
    made = EngineOptions()
    for name, value in options.items():
        if name in _ONE:
            if value != 1:
                raise ConfigurationError(
                    f"{name} is {value}: an embedded collection is one shard in one process. "
                    "Leave it out, or use a server."
                )
        elif name in ("wal_config", "strict_mode_config", "read_fan_out_factor", "sharding_method"):
            raise ConfigurationError(
                f"{name}: an embedded collection has no such setting. Leave it out, or use a "
                "server."
            )
        elif name == "on_disk":
            made.vector["on_disk"] = value
        elif name == "datatype":
            made.vector["datatype"] = _datatype(value)
        elif name == "vector":
            made.vector |= {key: _parameter(key, inner) for key, inner in value.items()}
        elif name == "sparse_index":
            made.sparse |= {
                key: _datatype(inner) if key == "datatype" else inner
                for key, inner in value.items()
            }
        elif name == "optimizers_config":
            known = {key: inner for key, inner in value.items() if key in _OPTIMIZERS}
            made.collection["optimizers"] = edge.EdgeOptimizersConfig(**known)
        else:
            made.collection[name] = _parameter(name, value)
    return made


_OPTIMIZERS = frozenset(
    {
        *("deleted_threshold", "vacuum_min_vector_number", "default_segment_number"),
        *("max_segment_size", "indexing_threshold", "prevent_unoptimized"),
    }
)


def asked_for(options: Mapping[str, Any]) -> CollectionSettings:
    """Return the options that are JSON, as settings."""
    values: dict[str, Any] = {
        name: value
        for name, value in options.items()
        if name in SUPPORTED and isinstance(value, str | bool | Mapping)
    }
    return CollectionSettings(**values)


def _parameter(name: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    if name == "hnsw_config":
        return edge.HnswIndexConfig(**{**_HNSW, **value})
    if name == "quantization_config":
        if not value:
            return None
        ((kind, parameters),) = value.items()
        given = dict(parameters)
        if kind == "scalar":
            given["type"] = getattr(edge.ScalarType, str(given.get("type", "int8")).capitalize())
        if "bits" in given:
            given["bits"] = getattr(edge.TurboQuantBitSize, str(given["bits"]).capitalize())
        if "compression" in given:
            given["compression"] = getattr(edge.CompressionRatio, given["compression"].upper())
        return getattr(edge, f"{_QUANTIZATION[kind]}QuantizationConfig")(**given)
    return value


def _datatype(value: Any) -> Any:
    if isinstance(value, str):
        return getattr(edge.VectorStorageDatatype, value.capitalize())
    return value


def settings_of(shard: Path) -> CollectionSettings:
    """Return the settings that the engine keeps beside its files."""
    try:
        config = json.loads((shard / "edge_config.json").read_text(encoding="utf-8"))
        vector = next(iter(config["vectors"].values()))
    except (OSError, ValueError, KeyError, StopIteration):  # another version of the engine
        return CollectionSettings()
    found = {
        "on_disk": vector.get("on_disk"),
        "datatype": vector.get("datatype"),
        "on_disk_payload": config.get("on_disk_payload"),
        "hnsw_config": _without_none(config.get("hnsw_config")),
        "quantization_config": _without_none(config.get("quantization_config")),
        "optimizers_config": _without_none(config.get("optimizers")),
        "vector": _without_none(
            {name: vector.get(name) for name in ("hnsw_config", "quantization_config")}
        ),
    }
    return CollectionSettings(**{name: value for name, value in found.items() if value})


def _without_none(values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    return {name: _without_none(value) for name, value in values.items() if value is not None}


def index_parameters(kind: str, index: Any) -> dict[str, Any]:
    """Return the parameters of a payload index as JSON, but for those that only this engine has."""
    found: dict[str, Any] = {"type": kind}
    for name in dir(index):
        value = getattr(index, name)
        if name == "tokenizer" and value is not None:
            found[name] = repr(value).rsplit(".", 1)[-1].lower()
        elif isinstance(value, bool | int | str) and not name.startswith("_"):
            found[name] = value
    return found
