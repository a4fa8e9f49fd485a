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
from multiqa_integrations.errors import CollectionMismatchError
from multiqa_integrations.qdrant import check_collection, count_fingerprints
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
    """Check whether a collection fits the model, and all its points.

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
        models = count_fingerprints(opened, name)
    if report.info.broken is not None:
        raise CollectionBrokenError(f"{name} fits, but is broken: {report.info.broken}.")
    known = "filled by this model" if report.fingerprint == "matches" else "of an unnamed model"
    others = {
        fingerprint: count
        for fingerprint, count in models.items()
        if fingerprint not in (None, checkpoint.fingerprint)
    }
    if others:
        raise CollectionMismatchError(
            f"{name} has {terminal.count(sum(others.values()), 'point')} of other models, which "
            "no search finds as it should: "
            + ", ".join(f"{count:,} of {fingerprint}" for fingerprint, count in others.items())
            + ". Encode them again: multiqa sync, or multiqa reembed with this model.",
            collection=name,
            expected={"fingerprints": [checkpoint.fingerprint]},
            actual={"fingerprints": dict(models)},
        )
    points = terminal.count(report.info.points, "point")
    values = {
        "collection": name,
        "points": report.info.points,
        "fingerprint": report.fingerprint,
        "of_no_model": models.get(None, 0),
    }
    terminal.echo_result(f"{name}: fits; {points}, {known}", values, as_json=as_json)
