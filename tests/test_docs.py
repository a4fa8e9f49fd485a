"""The user's guides: their examples run, and they name every command."""

from __future__ import annotations

import doctest
import importlib
import re
import textwrap
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
    text = page.read_text(encoding="utf-8")
    # In a tab they are indented.
    blocks = [
        textwrap.dedent(block)
        for _, block in re.findall(r"^( *)```pycon\n(.*?)^\1```$", text, re.M | re.S)
    ]
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


PACKAGES = (
    "",
    ".qdrant",
    ".langchain",
    ".llama_index",
    ".etl",
    ".evaluation",
    ".training",
    ".distributed",
)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_in_the_reference(package: str) -> None:
    module = f"multiqa_integrations{package}"
    pages = "".join(
        page.read_text(encoding="utf-8") for page in (TOP / "docs" / "reference").glob("*.md")
    )
    shown = set(re.findall(rf"^::: {re.escape(module)}\.(\w+)$", pages, re.M))
    # `errors` and `testing` are shown as wholes, below the names of the package itself.
    assert shown - {"errors", "testing"} == set(importlib.import_module(module).__all__)


def test_every_page_is_found_from_the_navigation() -> None:
    configuration = (TOP / ".mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/]+\.(?:md|ipynb)$", configuration, re.M))
    docs = TOP / "docs"
    pages = [*docs.rglob("*.md"), *docs.rglob("*.ipynb")]
    assert named == {page.relative_to(docs).as_posix() for page in pages}


def test_what_is_copied_of_a_shell_session_is_its_commands() -> None:
    """The site copies what follows a prompt; a block of commands alone is of the kind `sh`."""
    for page in (TOP / "README.md", *(TOP / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^ *```console\n(.*)$", text, re.M):
            assert block.lstrip().startswith("$ "), f"{page.name}: {block}"


def test_the_links_of_the_readme_lead_somewhere() -> None:
    text = (TOP / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert links
    assert [link for link in links if not (TOP / link).exists()] == []
