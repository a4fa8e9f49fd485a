"""`multiqa collection check`."""

from __future__ import annotations

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
from multiqa_integrations.qdrant import check_collection
from multiqa_integrations.qdrant.failures import CollectionBrokenError


@options
def check(
    name: CollectionName,
    *,
    store: StoreOptions,
    index: Index = None,
    sparse: Sparse = False,
    vector_name: VectorName = "",
    as_json: AsJson = False,
    model: ModelOptions,
) -> None:
    """Check whether a collection fits the model.

    Exit status: 0 if it does, 1 if not, or if the server says that it is broken.
    """
    indexes = parse_indexes(index)
    checkpoint = model.checkpoint()
    with store.open() as opened:
        store.find(opened, name)
        report = check_collection(
            opened,
            name,
            spec=checkpoint.spec,
            fingerprint=checkpoint.fingerprint,
            vector_name=vector_name,
            payload_indexes=indexes,
            sparse=sparse,
        )
    if report.info.broken is not None:
        raise CollectionBrokenError(f"{name} fits, but is broken: {report.info.broken}.")
    known = "filled by this model" if report.fingerprint == "matches" else "of an unnamed model"
    points = terminal.count(report.info.points, "point")
    values = {
        "collection": name,
        "points": report.info.points,
        "fingerprint": report.fingerprint,
    }
    terminal.echo_result(f"{name}: fits; {points}, {known}", values, as_json=as_json)
