"""How hits are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from multiqa_integrations.types import Hit


def print_hits(hits: Sequence[Hit], console: Console, *, source: Callable[[Hit], str]) -> None:
    """Print scores, sources and the beginnings of the texts."""
    if not hits:
        console.print("  [dim]nothing found[/dim]")
    for hit in hits:
        console.print(f"  [green]{hit.score:.3f}[/green]  [cyan]{escape(source(hit))}[/cyan]")
        console.print(Padding(escape(_excerpt(hit.text)), (0, 0, 0, 9)))


def _excerpt(text: str, width: int = 240) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[:width].rsplit(" ", 1)[0] + " …"
