"""`multiqa collection check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from multiqa_integrations.cli import jobs, terminal
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
from multiqa_integrations.errors import CollectionMismatchError, MultiQAError
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

    Exit status: 0 if it does; 2 wrong usage; 3 there is no such collection; 4 it does not fit; 5
    the server or the model is not available; 6 the API key is not allowed to look, or the
    collection is broken.
    """
    with jobs.exit_statuses(), _as_json(name, as_json):
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
        _raise_on_other_models(name, models, checkpoint.fingerprint)
    known = "filled by this model" if report.fingerprint == "matches" else "of an unnamed model"
    points = terminal.count(report.info.points, "point")
    values = {
        "collection": name,
        "fits": True,
        "points": report.info.points,
        "fingerprint": report.fingerprint,
        "of_no_model": models.get(None, 0),
    }
    terminal.echo_result(f"{name}: fits; {points}, {known}", values, as_json=as_json)


def _raise_on_other_models(name: str, models: Mapping[str | None, int], fingerprint: str) -> None:
    others = {other: count for other, count in models.items() if other not in (None, fingerprint)}
    if others:
        raise CollectionMismatchError(
            f"{name} has {terminal.count(sum(others.values()), 'point')} of other models, which "
            "no search finds as it should: "
            + ", ".join(f"{count:,} of {other}" for other, count in others.items())
            + ". Encode them again: multiqa sync, or multiqa reembed with this model.",
            collection=name,
            expected={"fingerprints": [fingerprint]},
            actual={"fingerprints": dict(models)},
        )


@contextmanager
def _as_json(name: str, wanted: bool) -> Iterator[None]:
    """Print as JSON that a collection does not fit, or why that is not known; the error passes."""
    try:
        yield
    except MultiQAError as error:
        if wanted:
            found: dict[str, object] = {"collection": name, "fits": None}
            if isinstance(error, CollectionMismatchError):
                found |= {"fits": False, "expected": error.expected, "actual": error.actual}
            terminal.echo_json({**found, "error": str(error)})
        raise
