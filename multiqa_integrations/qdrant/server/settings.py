"""Settings of collections and indexes, to and from the models of qdrant-client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from qdrant_client import models

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant.schema import index_kind
from multiqa_integrations.qdrant.settings import CollectionSettings

T = TypeVar("T")

# Newer clients have more of them.
_MODELS: Mapping[str, Any] = {
    "hnsw_config": models.HnswConfigDiff,
    "quantization_config": models.QuantizationConfig,
    "optimizers_config": models.OptimizersConfigDiff,
    "wal_config": models.WalConfigDiff,
    "strict_mode_config": models.StrictModeConfig,
    "payload": getattr(models, "PayloadStorageParams", None),
    "id_tracker": getattr(models, "IdTrackerParams", None),
    "sparse_index": models.SparseIndexParams,
    "datatype": models.Datatype,
    "sharding_method": models.ShardingMethod,
}

# What belongs to the collection's parameters, and is not taken when it is created.
LATER = ("read_fan_out_factor", "read_fan_out_delay_ms")


def to_models(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of a collection as the client takes them; those that are models stay.

    Raises:
        ConfigurationError: A value is not what Qdrant takes there.
    """
    made = {}
    for name, value in options.items():
        if name == "quantization_config" and value == {}:
            continue  # none
        if name == "vector" and isinstance(value, Mapping):
            made[name] = to_models(value)
        elif isinstance(value, Mapping | str) and _MODELS.get(name) is not None:
            made[name] = _validated(name, value)
        else:
            made[name] = value
    return made


def _validated(name: str, value: Any) -> Any:
    try:
        return TypeAdapter(_MODELS[name]).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigurationError(
            f"{name} is {value!r}, which Qdrant does not take ({where}: {first['msg']})."
        ) from error


def index_model(kind: Any, key: str) -> Any:
    """Return the parameters of a payload index as the client takes them.

    Raises:
        ConfigurationError: There is no such index, or it has no such parameter.
    """
    name = index_kind(kind, key)
    if isinstance(kind, Mapping):  # as a server describes one: exactly that
        if kind.keys() == {"type"}:
            return models.PayloadSchemaType(name)
        model = getattr(models, f"{name.capitalize()}IndexParams")
        try:
            return model.model_validate({**kind, "type": name})
        except ValidationError as error:
            raise ConfigurationError(f"the index of {key!r} is {kind!r} ({error}).") from error
    if name == "text":
        # Without positional data a phrase query silently matches nothing.
        return (
            models.TextIndexParams(type=models.TextIndexType.TEXT, phrase_matching=True)
            if isinstance(kind, str)
            else kind.model_copy(update={"phrase_matching": True})
        )
    return models.PayloadSchemaType(kind) if isinstance(kind, str) else kind


def settings_of(config: Any) -> CollectionSettings:
    """Return the settings that a server describes: of `get_collection`, its config."""
    params = config.params
    vectors = params.vectors or {}
    vector = next(iter(vectors.values()), None) if isinstance(vectors, dict) else vectors
    sparse = next(iter((params.sparse_vectors or {}).values()), None)
    values = {
        "hnsw_config": config.hnsw_config,
        "quantization_config": config.quantization_config,
        "optimizers_config": config.optimizer_config,
        "wal_config": config.wal_config,
        "strict_mode_config": getattr(config, "strict_mode_config", None),
        "vector": {
            name: getattr(vector, name, None)
            for name in ("hnsw_config", "quantization_config", "memory")
        },
        "sparse_index": getattr(sparse, "index", None),
        "on_disk": getattr(vector, "on_disk", None),
        "datatype": getattr(vector, "datatype", None),
        **{
            name: getattr(params, name, None)
            for name in (
                *("shard_number", "sharding_method", "replication_factor", "on_disk_payload"),
                *("write_consistency_factor", "payload", "id_tracker", *LATER),
            )
        },
    }
    described = {name: as_json(value) for name, value in values.items()}
    return CollectionSettings(**{name: value for name, value in described.items() if value != {}})


def asked_for(options: Mapping[str, Any]) -> CollectionSettings:
    """Return options of a collection as settings; those that are of no such type are left out."""
    values: dict[str, Any] = {name: as_json(value) for name, value in options.items()}
    memory = values.pop("memory", None)
    if memory is not None:
        values["vector"] = {**values.get("vector", {}), "memory": memory}
    plain: dict[str, Any] = {  # not a message of gRPC
        name: value for name, value in values.items() if isinstance(value, str | int | bool | dict)
    }
    return CollectionSettings(**plain)


def as_json(value: Any) -> Any:
    """Return a model as JSON values, without what is None."""
    if isinstance(value, dict):
        described = {name: as_json(inner) for name, inner in value.items()}
        return {name: inner for name, inner in described.items() if inner is not None}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    return getattr(value, "value", value)  # of an enumeration
