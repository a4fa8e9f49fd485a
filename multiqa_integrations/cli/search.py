"""`multiqa search`: query a collection."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from multiqa_integrations._optional import require
from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.hits import print_hits
from multiqa_integrations.cli.options import (
    CollectionName,
    EncoderOptions,
    StoreOptions,
    VectorName,
    options,
)
from multiqa_integrations.qdrant import Collection, Store, check_collection
from multiqa_integrations.types import Hit

if TYPE_CHECKING:
    from qdrant_client import models


@options
def search(
    name: CollectionName,
    queries: Annotated[list[str], typer.Argument(metavar="QUERY", help="One or more questions.")],
    *,
    store: StoreOptions,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Hits per query.")] = 5,
    filter: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="A filter in Qdrant's format, such as "
            '{"must": [{"key": "metadata.lang", "match": {"value": "en"}}]}',
        ),
    ] = None,
    score_threshold: Annotated[
        float | None, typer.Option(help="Lowest similarity of a hit.")
    ] = None,
    hybrid: Annotated[
        bool, typer.Option("--hybrid", help="Search by words as well (BM25).")
    ] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Compare with every point.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line per hit.")] = False,
    vector_name: VectorName = "",
    encoder: EncoderOptions,
) -> None:
    """Query a collection, best hits first."""
    made = encoder.encoder()
    condition = None if filter is None else _parse(filter)
    with store.open() as opened:
        # Opening creates a collection that does not exist.
        store.find(opened, name)
        check_collection(opened, name, encoder=made, vector_name=vector_name)
        collection = Collection.open(name, encoder=made, store=opened, vector_name=vector_name)
        answers = collection.search_batch(
            queries,
            limit=limit,
            filter=condition,
            score_threshold=score_threshold,
            hybrid=hybrid,
            exact=exact,
        )
        hint = None
        if filter is not None and not any(answers):
            hint = _filter_hint(filter, opened, name)
    if hint is not None:
        terminal.show_warning(hint)
    if as_json:
        for query, hits in zip(queries, answers, strict=True):
            for hit in hits:
                terminal.echo_json({"query": query, **_fields(hit)})
        return
    console = terminal.stdout()
    for number, (query, hits) in enumerate(zip(queries, answers, strict=True)):
        if number:
            console.print()
        console.print(terminal.one_line(query), style="bold")
        print_hits(hits, console, source=_name)


def _name(hit: Hit) -> str:
    """Return the id of a hit; for chunks that a job stored, of their document."""
    return str(hit.metadata.get("document_id", hit.id))


def _fields(hit: Hit) -> dict[str, Any]:
    return {
        "id": hit.id,
        "score": round(hit.score, 6),
        "text": hit.text,
        "metadata": hit.metadata,
    }


def _filter_hint(filter: str, store: Store, name: str) -> str | None:
    """Return how a filter that found nothing names the fields of metadata; None if it does."""
    points, _ = store.scroll(name, limit=1)
    metadata = points[0].payload.get("metadata") if points else None
    for key in re.findall(r'"key"\s*:\s*"([^"]+)"', filter):
        if isinstance(metadata, dict) and key in metadata and key not in points[0].payload:
            return f"the filter names {key!r}; stored is 'metadata.{key}'."
    return None


def _parse(text: str) -> models.Filter:
    require("qdrant_client", purpose="a filter")
    from multiqa_integrations.qdrant.server.conditions import parse_filter

    return parse_filter(text)
