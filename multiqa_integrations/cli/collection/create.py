"""`multiqa collection create`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.options import (
    AsJson,
    CollectionName,
    Index,
    ModelOptions,
    Sparse,
    StoreOptions,
    VectorName,
    options,
    parse_indexes,
)
from multiqa_integrations.cli.settings import SettingsOptions
from multiqa_integrations.qdrant import CollectionReport, ensure_collection


@options
def create(
    name: CollectionName,
    *,
    store: StoreOptions,
    index: Index = None,
    sparse: Sparse = False,
    distance: Annotated[
        Literal["cosine", "dot"], typer.Option(help="How vectors are compared.")
    ] = "cosine",
    vector_name: VectorName = "",
    adopt: Annotated[
        bool,
        typer.Option("--adopt", help="Record the model in an existing collection that names none."),
    ] = False,
    as_json: AsJson = False,
    kept: SettingsOptions,
    model: ModelOptions,
) -> None:
    """Create a collection for the model.

    If it exists, make sure that it fits; settings that differ are reported.
    """
    settings = kept.made()
    indexes = parse_indexes(index)
    checkpoint = model.checkpoint()
    with store.open(creates=True) as opened:
        report = ensure_collection(
            opened,
            name,
            spec=checkpoint.spec,
            fingerprint=checkpoint.fingerprint,
            distance=distance,
            vector_name=vector_name,
            payload_indexes=indexes,
            sparse=sparse,
            adopt=adopt,
            settings=settings,
        )
    values = {
        "collection": name,
        "created": report.created,
        "points": report.info.points,
        "fingerprint": report.fingerprint,
        "created_indexes": report.created_indexes,
    }
    terminal.echo_result(f"{name}: {_outcome(report)}", values, as_json=as_json)


def _outcome(report: CollectionReport) -> str:
    points = terminal.count(report.info.points, "point")
    outcome = "created" if report.created else f"exists with {points}, fits"
    if report.fingerprint == "adopted":
        outcome += "; adopted for this model"
    if report.created_indexes:
        outcome += f"; indexed {', '.join(report.created_indexes)}"
    return outcome
