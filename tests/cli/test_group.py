"""Commands are imported when they are called, and `--help` says what their docstrings say."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("typer")

import typer.main

from multiqa_integrations.cli import app


def groups() -> list[Any]:
    whole: Any = typer.main.get_command(app)
    return [whole, whole.commands["collection"]]


@pytest.mark.parametrize("group", groups(), ids=lambda group: group.name)
def test_a_summary_is_the_first_line_of_the_command_s_help(group: Any) -> None:
    assert group.summaries == {
        name: command.help.partition("\n")[0] for name, command in group.commands.items()
    }


def test_every_command_is_called_by_the_name_that_it_is_listed_with() -> None:
    for group in groups():
        for name, command in group.commands.items():
            assert command.name == name


@pytest.mark.parametrize("arguments", ["--help", "--version", "collection --help", "serch"])
def test_no_command_is_imported_for_a_list_of_commands(arguments: str) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['multiqa', *{arguments.split()!r}]\n"
        "from multiqa_integrations.cli import run\n"
        "try:\n"
        "    run()\n"
        "finally:\n"
        "    print(sorted(name for name in sys.modules if name in {\n"
        "        'numpy', 'rich.progress', 'multiqa_integrations.encoder',\n"
        "        'multiqa_integrations.cli.options', 'multiqa_integrations.qdrant.collection'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("[]\n"), done.stdout + done.stderr
    assert ("Did you mean 'search'" in done.stderr) == (arguments == "serch")
