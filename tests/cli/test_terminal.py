"""What reaches a terminal: never control characters, never what was read as markup."""

from __future__ import annotations

import io
import json
import logging
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.hits import print_hits
from multiqa_integrations.types import Hit

EVIL = "a\x1b]52;c;b3du\x07\x1b[2J\x9b31m\u202eexe.gnp\u2066\u200f\ufeff\U000e0041\u2028b\rc\x7f"
ANY_TEXT = st.text(st.characters(), max_size=40)


def is_safe(text: str) -> bool:
    return all(
        character in "\n\u200c\u200d"
        or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        for character in text
    )


@given(ANY_TEXT)
def test_visible_text_has_no_control_characters(text: str) -> None:
    shown = terminal.visible(text)
    assert is_safe(shown)
    assert terminal.visible(shown) == shown


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert terminal.visible(text) == text


def test_joiners_stay() -> None:
    for text in ("می\u200cخواهم", "👩\u200d🚀"):  # Persian; an astronaut
        assert terminal.visible(text) == text


@given(st.dictionaries(ANY_TEXT, ANY_TEXT))
def test_json_is_safe_and_reads_back_the_same(value: dict[str, str]) -> None:
    line = terminal.to_json(value)
    assert is_safe(line)
    assert "\n" not in line
    assert json.loads(line) == value


def print_everything(console: terminal.Terminal) -> None:
    console.print(EVIL)
    console.print(EVIL, soft_wrap=False)
    console.print("[bold]x[/bold] [/nonsense] :smile: /tmp/[x]/y")
    console.print(Text(EVIL, style="bold"))
    console.pairs([(EVIL, EVIL)])
    table = Table(EVIL, title=EVIL)
    table.add_row(EVIL)
    console.print(table)
    with Progress(console=console) as progress:
        progress.add_task(EVIL, total=None)


@pytest.mark.parametrize("colours", [False, True])
def test_a_terminal_lets_nothing_through(colours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR" if colours else "NO_COLOR", "1")
    console = terminal.stdout()
    console.file = output = io.StringIO()
    print_everything(console)
    shown = output.getvalue()
    assert "[bold]x[/bold] [/nonsense] :smile: /tmp/[x]/y" in shown
    assert "\\x1b]52;c;b3du" in shown
    for sequence in ("\x1b]", "\x1b[2J", "\x9b", "\u202e", "\u2066", "\u200f", "\x07", "\x7f"):
        assert sequence not in shown
    if not colours:
        assert is_safe(shown)


def test_what_is_piped_is_never_broken() -> None:
    path = "/data/" + "x" * 300
    console = terminal.stdout()
    console.file = output = io.StringIO()
    console.pairs([("Files", path)])
    table = Table(box=None)
    table.add_row(path, path)
    console.print(table)
    assert output.getvalue().count(path) == 3


def test_sentences_wrap_between_words_and_paths_stay_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    console = terminal.stdout()
    console.file = output = io.StringIO()
    path = "/data/" + "x" * 60
    console.prose(f"the file {path} is not there, and these are some more words of a sentence.")
    lines = output.getvalue().splitlines()
    assert [line.strip() for line in lines] == [
        "the file",
        path,
        "is not there, and these are some more",
        "words of a sentence.",
    ]


@pytest.mark.parametrize(("columns", "as_list"), [(80, False), (40, True)])
def test_a_table_that_is_too_wide_is_a_list(
    columns: int, as_list: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    console = terminal.stdout()
    console.file = output = io.StringIO()
    table = Table("", "nDCG@10", "recall@100", "", title="How well")
    table.add_row(Text("int8, exact"), "0.123456789", "0.987654321", "")
    console.table(table)
    shown = re.sub("\x1b\\[[0-9;]*m", "", output.getvalue())
    for text in ("How well", "int8, exact", "0.123456789", "0.987654321", "recall@100"):
        assert text in shown
    lines = [line.split() for line in shown.splitlines()]
    assert (["nDCG@10", "0.123456789"] in lines) == as_list


def test_log_records_warnings_and_tracebacks_are_shown_visibly(
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler = terminal.LogHandler()
    for level in (logging.INFO, logging.WARNING):
        handler.handle(logging.LogRecord("http", level, "", 1, "got %s", (EVIL,), None))
    terminal.show_warning(EVIL)
    terminal.show_error(EVIL)
    terminal.show_traceback(ValueError, ValueError(EVIL), None)
    shown = capsys.readouterr().err
    assert is_safe(shown)
    starts = ("http: got a", "warning: got a", "warning: a", "error: a", "ValueError: a")
    for line, start in zip(shown.splitlines(), starts, strict=True):
        assert line.startswith(start)


def test_nothing_from_outside_begins_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A file name or an id, say, that holds what looks like a message of this program."""
    forged = "a.txt\nerror: all is lost"
    terminal.echo(f"  {forged}: it is empty")
    terminal.show_warning(forged)
    terminal.show_error(forged)
    hits = [Hit(id=forged, score=0.5, text=forged, metadata={})]
    print_hits(hits, terminal.stdout(), source=lambda hit: str(hit.id))
    shown = capsys.readouterr()
    lines = shown.out.splitlines() + shown.err.splitlines()
    assert [line for line in lines if line.startswith("error: all")] == []
    assert r"  a.txt\nerror: all is lost: it is empty" in lines
    assert shown.err.splitlines()[-2:] == ["error: a.txt", "  error: all is lost"]


def test_a_hit_with_escapes_is_shown_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    hits = [Hit(id="1", score=0.5, text="red \x1b[31m and \u202e to the end", metadata={})]
    print_hits(hits, terminal.stdout(), source=lambda hit: str(hit.id))
    assert r"red \x1b[31m and \u202e to the end" in capsys.readouterr().out


def test_quiet_leaves_out_warnings_and_keeps_errors(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "quiet", True)
    terminal.show_warning("a warning")
    terminal.LogHandler().handle(logging.LogRecord("x", logging.ERROR, "", 1, "bad", (), None))
    assert capsys.readouterr().err == "error: bad\n"


def test_counts_have_the_right_noun() -> None:
    assert [terminal.count(number, "point") for number in (0, 1, 2_000)] == [
        "0 points",
        "1 point",
        "2,000 points",
    ]
