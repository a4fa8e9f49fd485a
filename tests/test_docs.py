"""The user's guides: their examples run, and they name every command."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

pytest.importorskip("typer")

import typer.main

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.cli import app

TOP = Path(__file__).parent.parent
GUIDES = sorted(
    page for page in (TOP / "docs").glob("*.md") if "```pycon" in page.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_examples_run(
    page: Path, test_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All examples of a page, one after the other, with the test model as the model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(MultiQAEncoder.__init__, "__defaults__", (str(test_model),))
    blocks = re.findall(r"^```pycon\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page.name, str(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    output: list[str] = []
    result = runner.run(test, out=output.append)
    assert result.attempted > 0
    assert result.failed == 0, "".join(output)


def test_every_command_is_documented() -> None:
    text = "".join(
        page.read_text(encoding="utf-8")
        for page in (TOP / "README.md", *(TOP / "docs").glob("*.md"))
    )
    commands = typer.main.get_command(app)
    missing = []
    for name, command in commands.commands.items():  # type: ignore[attr-defined]
        children = getattr(command, "commands", {None: None})
        for child in children:
            wanted = f"multiqa {name}" + (f" {child}" if child else "")
            if wanted not in text:
                missing.append(wanted)
    assert not missing
