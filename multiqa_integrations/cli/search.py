"""`multiqa search`: ask a collection."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console
from rich.markup import escape

from multiqa_integrations._optional import require
from multiqa_integrations.cli.hits import print_hits
from multiqa_integrations.cli.options import (
    Backend,
    CollectionName,
    Device,
    Directory,
    DType,
    Model,
    Offline,
    Url,
    open_at,
)
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.model import MULTI_QA
from multiqa_integrations.qdrant import Collection, check_collection
from multiqa_integrations.types import Hit

if TYPE_CHECKING:
    from qdrant_client import models


def search(
    name: CollectionName,
    queries: Annotated[list[str], typer.Argument(metavar="QUERY...", help="Questions.")],
    url: Url = None,
    path: Directory = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Hits to a question.")] = 5,
    filter: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="JSON",
            help="A filter as Qdrant writes it, such as "
            '{"must": [{"key": "metadata.lang", "match": {"value": "en"}}]}',
        ),
    ] = None,
    score_threshold: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="The least similarity of a hit."),
    ] = None,
    hybrid: Annotated[bool, typer.Option("--hybrid", help="Search by words too (BM25).")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Compare with every point.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line a hit.")] = False,
    vector_name: Annotated[str, typer.Option(help="Name of the vector, if it has one.")] = "",
    model: Model = None,
    backend: Backend = "auto",
    dtype: DType = "auto",
    device: Device = "auto",
    offline: Offline = False,
) -> None:
    """Find the documents of a collection that answer questions, best first."""
    encoder = MultiQAEncoder(
        model or MULTI_QA.name,
        backend=backend,  # type: ignore[arg-type]  # checked by the encoder, here and below
        dtype=dtype,  # type: ignore[arg-type]
        device=device,
        local_files_only=offline,
    )
    condition = None if filter is None else _parse(filter)
    with open_at(url, path) as store:
        # Looked at first, since opening creates what is not there.
        check_collection(store, name, fingerprint=encoder.fingerprint, vector_name=vector_name)
        collection = Collection.open(name, encoder=encoder, store=store, vector_name=vector_name)
        answers = collection.search(
            queries,
            limit=limit,
            filter=condition,
            score_threshold=score_threshold,
            hybrid=hybrid,
            exact=exact,
        )
    if as_json:
        for query, hits in zip(queries, answers, strict=True):
            for hit in hits:
                typer.echo(json.dumps({"query": query, **_fields(hit)}, ensure_ascii=False))
        return
    console = Console(highlight=False)
    for number, (query, hits) in enumerate(zip(queries, answers, strict=True)):
        console.print("\n" * bool(number) + f"[bold]{escape(query)}[/bold]")
        print_hits(hits, console, source=_name)


def _name(hit: Hit) -> str:
    """Name a hit; passages that a job stored, by their document."""
    return str(hit.metadata.get("document_id", hit.id))


def _fields(hit: Hit) -> dict[str, Any]:
    return {
        "id": hit.id,
        "score": round(hit.score, 6),
        "text": hit.text,
        "metadata": hit.metadata,
    }


def _parse(text: str) -> models.Filter:
    require("qdrant_client", purpose="a filter")
    from multiqa_integrations.qdrant.server.conditions import parse_filter

    return parse_filter(text)
