"""`multiqa collection info`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.options import AsJson, CollectionName, StoreOptions, options
from multiqa_integrations.qdrant import CollectionInfo, CollectionSettings


@options
def info(name: CollectionName, store: StoreOptions, as_json: AsJson = False) -> None:
    """Show what a collection is."""
    with store.open() as opened:
        found = store.find(opened, name)
    if as_json:
        terminal.echo_json(dataclasses.asdict(found))
    else:
        terminal.stdout().pairs(_rows(found))


def _rows(info: CollectionInfo) -> list[tuple[str, str]]:
    rows = [("Collection", info.name), ("Points", f"{info.points:,}")]
    if info.indexed_vectors is not None:
        rows.append(("Indexed vectors", f"{info.indexed_vectors:,}"))
    for name, vector in info.vectors.items():
        many = ", many per point" if vector.multivector else ""
        rows.append(
            (
                f"Vector {name}" if name else "Vector (unnamed)",
                f"{vector.size} × {vector.datatype}, {vector.distance}{many}",
            )
        )
    for name, idf in info.sparse.items():
        rows.append((f"Sparse vector {name}", "with IDF" if idf else "without IDF"))
    rows += _settings_rows(info)
    rows.append(("Filled by", info.model or ("?" if info.fingerprints else "unknown")))
    rows += [("Fingerprint", fingerprint) for fingerprint in info.fingerprints]
    if info.payload_indexes is None:
        rows.append(("Payload indexes", "none in local mode"))
    rows += [
        ("Payload index", f"{key}: {kind}") for key, kind in (info.payload_indexes or {}).items()
    ]
    if info.broken is not None:
        rows.append(("Broken", info.broken))
    rows += [
        (key.replace("_", " ").capitalize(), str(value))
        for key, value in info.details.items()
        if key != "quantization"  # it is among the settings
    ]
    return rows


def _label(name: str) -> str:
    return "HNSW" if name == "hnsw" else name.replace("_", " ").capitalize()


def _settings_rows(info: CollectionInfo) -> list[tuple[str, str]]:
    if info.settings is None:
        return []
    given = info.settings.given()
    rows = [
        (label, str(given.pop(name)))
        for label, name in (
            ("Shards", "shard_number"),
            ("Replicas", "replication_factor"),
            ("Replicas that confirm", "write_consistency_factor"),
        )
        if name in given
    ]
    quantization = given.pop("quantization_config", None)
    rows.append(("Quantization", _shown(quantization) if quantization else "none"))
    others = CollectionSettings(**given).without_defaults().given()
    return rows + [
        (_label(name.removesuffix("_config")), _shown(value)) for name, value in others.items()
    ]


def _shown(value: Any) -> str:
    return json.dumps(value) if isinstance(value, Mapping) else str(value)
