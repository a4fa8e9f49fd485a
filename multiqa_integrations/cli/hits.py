"""How hits are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.padding import Padding
from rich.text import Text

from multiqa_integrations.cli.terminal import Terminal, one_line, visible
from multiqa_integrations.types import Hit


def print_hits(hits: Sequence[Hit], console: Terminal, *, source: Callable[[Hit], str]) -> None:
    """Print scores, sources and the beginnings of the texts."""
    if not hits:
        console.print("  nothing found", style="dim")
    for hit in hits:
        score = f"  {hit.score:.3f}"
        console.print(Text.assemble((score, "green"), "  ", (one_line(source(hit)), "cyan")))
        # Escapes are wider than what they stand for: made before the layout, which cuts lines.
        text = Padding(visible(_excerpt(hit.text)), (0, 0, 0, 9), expand=False)
        console.print(text, soft_wrap=False)


def _excerpt(text: str, width: int = 240) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[:width].rsplit(" ", 1)[0] + " …"
