"""Groups of commands whose modules are imported when they are used.

All commands together take most of a second to import, and whoever calls one needs one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import typer
import typer.core
import typer.main

NO_ADDRESS = "auto"
"""What --ray stands for where no address follows it."""


class Group(typer.core.TyperGroup):
    """A group with one module for each of its commands, named as the command is.

    The module has the command as a function of that name (with an underscore after it where Python
    has the name), or is the package of a group, with its `app`.

    Attributes:
        package: The package of the modules.
        summaries: What `--help` says of each command: the first line of its docstring.
    """

    package: ClassVar[str]
    summaries: ClassVar[dict[str, str]]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = _Commands(self.package, list(self.summaries))

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return list(self.summaries)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands, of which none is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries.items()))


class _Commands(Mapping[str, Any]):
    """The commands by name, each imported when it is looked up."""

    def __init__(self, package: str, names: list[str]) -> None:
        self._package = package
        self._commands: dict[str, Any] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> Any:
        if self._commands[name] is None:
            self._commands[name] = _load(self._package, name)
        return self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)


def _load(package: str, name: str) -> Any:
    module = importlib.import_module(f"{package}.{name}")
    app = getattr(module, "app", None)
    if app is None:
        function: Callable[..., None] = getattr(module, name, None) or getattr(module, f"{name}_")
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, cls=Command)(function)
    command = typer.main.get_command(app)
    command.name = name
    return command


class Command(typer.core.TyperCommand):
    """A command whose option --ray may be given without a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the value in where it is left out."""
        if any("--ray" in parameter.opts for parameter in self.params):
            args = [part for n, arg in enumerate(args) for part in _with_value(arg, args[n + 1 :])]
        return super().parse_args(ctx, args)


def _with_value(arg: str, following: list[str]) -> list[str]:
    lacks = arg == "--ray" and (not following or following[0].startswith("-"))
    return [arg, NO_ADDRESS] if lacks else [arg]
