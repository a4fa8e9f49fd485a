"""`multiqa collection`: create, check, describe, list and drop collections."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from multiqa_integrations.checkpoint import resolve
from multiqa_integrations.cli.options import (
    CollectionName,
    Directory,
    Index,
    Model,
    Offline,
    Url,
    open_at,
    parse_indexes,
)
from multiqa_integrations.errors import StoreError
from multiqa_integrations.model import MULTI_QA
from multiqa_integrations.qdrant import (
    CollectionInfo,
    CollectionReport,
    check_collection,
    ensure_collection,
)

app = typer.Typer(
    name="collection",
    help="Create, check, describe, list and drop collections.",
    no_args_is_help=True,
)

_VectorName = Annotated[str, typer.Option(help="Name of the vector; it has none by default.")]
_Sparse = Annotated[bool, typer.Option("--sparse", help="With the sparse vector of hybrid search.")]


@app.command()
def create(
    name: CollectionName,
    url: Url = None,
    path: Directory = None,
    index: Index = None,
    sparse: _Sparse = False,
    distance: Annotated[str, typer.Option(help="cosine or dot.")] = "cosine",
    vector_name: _VectorName = "",
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt", help="Write the model into an existing collection that names none."
        ),
    ] = False,
    model: Model = None,
    offline: Offline = False,
) -> None:
    """Create a collection for the model, or make sure that the existing one fits."""
    checkpoint = resolve(model or MULTI_QA.name, local_files_only=offline)
    with open_at(url, path) as store:
        report = ensure_collection(  # type: ignore[call-overload]  # distance is checked there
            store,
            name,
            spec=checkpoint.spec,
            fingerprint=checkpoint.fingerprint,
            distance=distance,
            vector_name=vector_name,
            payload_indexes=parse_indexes(index),
            sparse=sparse,
            adopt=adopt,
        )
    typer.echo(f"{name}: {_done(report)}")


@app.command()
def check(
    name: CollectionName,
    url: Url = None,
    path: Directory = None,
    index: Index = None,
    sparse: _Sparse = False,
    vector_name: _VectorName = "",
    model: Model = None,
    offline: Offline = False,
) -> None:
    """Look whether a collection fits the model; exits with status 1 if it does not."""
    checkpoint = resolve(model or MULTI_QA.name, local_files_only=offline)
    with open_at(url, path) as store:
        report = check_collection(
            store,
            name,
            spec=checkpoint.spec,
            fingerprint=checkpoint.fingerprint,
            vector_name=vector_name,
            payload_indexes=parse_indexes(index),
            sparse=sparse,
        )
    known = "filled by this model" if report.fingerprint == "matches" else "of an unnamed model"
    typer.echo(f"{name}: fits; {report.info.points:,} points, {known}")


@app.command()
def info(name: CollectionName, url: Url = None, path: Directory = None) -> None:
    """Show what a collection is."""
    with open_at(url, path) as store:
        info = store.info(name)
    if info is None:
        raise StoreError(f"there is no collection {name!r}.")
    Console(highlight=False).print(_table(info))


@app.command("list")
def list_(url: Url = None, path: Directory = None) -> None:
    """Name the collections."""
    with open_at(url, path) as store:
        for name in store.collections():
            typer.echo(name)


@app.command()
def drop(
    name: CollectionName,
    url: Url = None,
    path: Directory = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a collection with all its points; asks first."""
    with open_at(url, path) as store:
        info = store.info(name)
        if info is None:
            raise StoreError(f"there is no collection {name!r}.")
        if not yes:
            typer.confirm(f"Delete {name} with its {info.points:,} points?", abort=True)
        store.drop(name)
    typer.echo(f"{name}: dropped")


def _done(report: CollectionReport) -> str:
    done = "created" if report.created else f"exists with {report.info.points:,} points, fits"
    if report.fingerprint == "adopted":
        done += "; adopted for this model"
    if report.created_indexes:
        done += f"; indexed {', '.join(report.created_indexes)}"
    return done


def _table(info: CollectionInfo) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Collection", escape(info.name))
    table.add_row("Points", f"{info.points:,}")
    if info.indexed_vectors is not None:
        table.add_row("Indexed vectors", f"{info.indexed_vectors:,}")
    for name, vector in info.vectors.items():
        table.add_row(
            f"Vector {name}" if name else "Vector (unnamed)",
            f"{vector.size} × {vector.datatype}, {vector.distance}"
            + (", many a point" if vector.multivector else ""),
        )
    for name, idf in info.sparse.items():
        table.add_row(f"Sparse vector {name}", "with IDF" if idf else "without IDF")
    table.add_row("Filled by", escape(info.model or ("?" if info.fingerprints else "not said")))
    for fingerprint in info.fingerprints:
        table.add_row("Fingerprint", fingerprint)
    if info.payload_indexes is None:
        table.add_row("Payload indexes", "local mode has none")
    for key, kind in (info.payload_indexes or {}).items():
        table.add_row("Payload index", f"{escape(key)}: {kind}")
    for key, value in info.details.items():
        table.add_row(key.capitalize(), escape(str(value)))
    return table
