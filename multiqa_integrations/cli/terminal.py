"""Where text goes out: none of it is read as markup, and control characters are made visible."""

from __future__ import annotations

import json
import logging
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from traceback import format_exception
from types import TracebackType
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

_CONTROLS = ("Cc", "Cf", "Cs", "Zl", "Zp")
# Line ends, and the joiners without which Persian, Hindi and emoji are misspelt.
_HARMLESS = "\n\u200c\u200d"
_UNLIMITED = 10_000


def visible(text: str) -> str:
    r"""Return the text with its control and bidirectional characters as escapes.

    Examples:
        >>> print(visible("\x1b[2Jred \u202etxt.exe"))
        \x1b[2Jred \u202etxt.exe
    """
    return _escape(text, lambda character: character.encode("unicode_escape").decode())


def one_line(text: str) -> str:
    r"""Return the text with its line ends as escapes, for what must not begin a line of its own.

    Examples:
        >>> print(one_line("a.txt\nerror: all is lost"))
        a.txt\nerror: all is lost
    """
    return text.replace("\n", "\\n")


def to_json(value: object, *, indent: int | None = None) -> str:
    r"""Return JSON that is safe to show and reads back as the same value.

    Examples:
        >>> print(to_json({"text": "naïve \u202etxt.exe"}))
        {"text": "naïve \u202etxt.exe"}
    """
    return _escape(
        json.dumps(value, ensure_ascii=False, indent=indent),
        lambda character: json.dumps(character)[1:-1],
    )


def _escape(text: str, escape: Any) -> str:
    if text.isprintable():
        return text
    return "".join(
        escape(character)
        if unicodedata.category(character) in _CONTROLS and character not in _HARMLESS
        else character
        for character in text
    )


class Terminal(Console):
    """A console that reads nothing as markup and lets no control character through.

    Where it is piped, lines are as long as they need to be.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True)
        if not self.is_terminal:
            self.width = _UNLIMITED

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render text; everything that is shown comes through here."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(visible(text), style)

    def on_broken_pipe(self) -> None:
        """Let the reader of a pipe go: `run` ends without a message."""
        raise BrokenPipeError

    def prose(self, text: str, *, label: str = "", style: str = "") -> None:
        """Print sentences, after a label in its style.

        On a terminal they are wrapped between words; no path is ever broken. Further lines of what
        has a label are indented: none of them looks like another message.
        """
        if label:
            text = f"{label} {text}".replace("\n", "\n  ")
        if self.is_terminal:
            text = "\n".join(self._wrapped(line) for line in text.split("\n"))
        self.print(Text.assemble((text[: len(label)], style), text[len(label) :]))

    def _wrapped(self, line: str) -> str:
        indent = " " * (len(line) - len(line.lstrip(" ")))
        return textwrap.fill(
            line,
            self.width,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def pairs(self, rows: Sequence[tuple[str, str]], *, indent: str = "") -> None:
        """Print labels, each with its value."""
        width = max((len(label) for label, _ in rows), default=0)
        for label, value in rows:
            value = value.replace("\n", f"\n{indent}{'':{width}}  ")
            self.print(Text.assemble(indent, (f"{label:<{width}}", "bold"), "  ", value))

    def table(self, table: Table) -> None:
        """Print a table; if it is too wide, each row as a list, so that no figure is cut."""
        title, caption = table.title, table.caption
        table.title = table.caption = None
        if title:
            self.print(str(title), style="bold")
        options = self.options.update(max_width=_UNLIMITED)
        if self.measure(table, options=options).maximum <= self.width:
            self.print(table, soft_wrap=False)
        else:
            self._list(table)
        if caption:
            self.prose(str(caption))

    def _list(self, table: Table) -> None:
        _, *labels = (str(column.header) for column in table.columns)
        for first, *cells in zip(*(column.cells for column in table.columns), strict=True):
            self.print(str(first), style="bold")
            pairs = zip(labels, map(str, cells), strict=True)
            self.pairs([pair for pair in pairs if pair[1]], indent="  ")


quiet = False
"""Whether progress and warnings are left out."""


def shows_progress() -> bool:
    """Check whether somebody watches."""
    return sys.stderr.isatty() and not quiet


def stdout() -> Terminal:
    """Return a console for results."""
    return Terminal()


def stderr() -> Terminal:
    """Return a console for progress, warnings and errors."""
    return Terminal(stderr=True)


def echo(text: str) -> None:
    """Print a line of results."""
    stdout().prose(one_line(text))


def echo_json(value: object) -> None:
    """Print a value as one line of JSON."""
    stdout().print(to_json(value))


def echo_result(text: str, values: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what a command did: for people, or as one line of JSON."""
    if as_json:
        echo_json(values)
    else:
        stdout().prose(text)


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    Examples:
        >>> count(1, "point"), count(2_000, "point")
        ('1 point', '2,000 points')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def confirm(question: str) -> bool:
    """Ask for a yes; anything else, or the end of the input, is a no."""
    try:
        answer = stdout().input(Text(f"{question} [y/N] "))
    except EOFError:
        stdout().print()  # after the question
        return False
    return answer.strip().lower() in ("y", "yes")


def show_error(error: object) -> None:
    """Print an error as one message."""
    stderr().prose(str(error), label="error:", style="bold red")


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning as one message, if any are shown; stands in for `warnings.showwarning`."""
    if quiet:
        return
    stderr().prose(str(message), label="warning:", style="yellow")


def show_traceback(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Print the traceback of a bug; takes the place of `sys.excepthook`."""
    stderr().print("".join(format_exception(kind, error, traceback)), end="")


def show_usage_error(error: Any) -> None:
    """Print a usage error of click, below how the command is used."""
    console = stderr()
    if type(error).__name__ == "NoArgsIsHelpError":  # typer does not export it
        console.print(error.format_message())
        return
    if error.ctx is not None:
        console.print(error.ctx.get_usage())
        console.print(f"Try '{error.ctx.command_path} --help' for help.\n")
    show_error(error.format_message())


class LogHandler(logging.Handler):
    """Prints log records as lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        if record.levelno >= logging.ERROR:
            show_error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            show_warning(record.getMessage())
        else:
            stderr().prose(record.getMessage(), label=f"{record.name}:", style="dim")
