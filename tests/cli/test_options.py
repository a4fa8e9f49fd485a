"""The decorator that spreads groups of options, and what every command's help has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from multiqa_integrations.cli import app
from multiqa_integrations.cli.options import options


@dataclass(frozen=True)
class Oven:
    heat: Annotated[int, typer.Option("--heat", "-t", help="In degrees.")] = 180
    fan: Annotated[bool, typer.Option("--fan", help="With the fan.")] = False


@dataclass(frozen=True)
class Dish:
    name: Annotated[str, typer.Option(help="What is baked.")]
    note: Annotated[str | None, typer.Option(help="Anything else.")] = None


def invoke(*arguments: str) -> tuple[Any, list[Any]]:
    calls: list[Any] = []

    @options
    def bake(
        place: Annotated[str, typer.Argument()], *, oven: Oven, minutes: int = 30, dish: Dish
    ) -> None:
        """Bake a dish."""
        calls.append((place, oven, minutes, dish))

    application = typer.Typer()
    application.command()(bake)
    return CliRunner().invoke(application, list(arguments)), calls


def test_a_command_gets_its_groups_filled() -> None:
    result, calls = invoke("home", "-t", "200", "--fan", "--name", "bread", "--note", "today")
    assert result.exit_code == 0
    assert calls == [("home", Oven(200, fan=True), 30, Dish("bread", "today"))]


def test_defaults_are_those_of_the_dataclass() -> None:
    _, calls = invoke("home", "--name", "bread")
    assert calls == [("home", Oven(), 30, Dish("bread"))]


def test_a_field_without_default_is_required() -> None:
    result, calls = invoke("home")
    assert (result.exit_code, calls) == (2, [])


def test_help_is_that_of_the_fields() -> None:
    result, _ = invoke("--help")
    for text in ("Bake a dish.", "--heat", "In degrees.", "180", "--minutes", "What is baked."):
        assert text in result.output


# --- every command --------------------------------------------------------------------------


def commands(command: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield names, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, *names, name)


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_every_option_of_every_command_has_a_help_text(names: tuple[str, ...]) -> None:
    for parameter in COMMANDS[names].params:
        assert parameter.help, parameter.name


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_help_is_never_cut(
    names: tuple[str, ...], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = CliRunner().invoke(app, [*names, "-h"]).output
    assert not re.search(r"[a-z.] ?(\.\.\.|…)", text), text  # what may be repeated is in capitals
    for parameter in COMMANDS[names].params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            assert option in text or (parameter.metavar or option.upper()) in text
        assert "".join(parameter.help.split()) in "".join(text.split())


def test_options_that_several_commands_have_are_the_same_everywhere() -> None:
    kinds: dict[str, set[tuple[str, ...]]] = {}
    for command in COMMANDS.values():
        for parameter in command.params:
            if "--model" in parameter.opts or "--url" in parameter.opts:
                kinds.setdefault(parameter.name, set()).add(tuple(parameter.opts))
    assert kinds == {"model": {("--model", "-m")}, "url": {("--url",)}}
