"""Jobs in a file: `multiqa sync --job nightly` takes from multiqa.toml what is not given.

[jobs.nightly]
source = "articles.jsonl"
collection = "articles"
url = "https://qdrant.example.org"
api-key-variable = "ARTICLES_KEY"
title-field = "headline"
prune = true
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from multiqa_integrations.errors import ConfigurationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT_FILE = "multiqa.toml"
COMMANDS = ("sync", "plan", "verify", "replay")
# What may be a secret does not belong in a file that is shared.
_SECRETS = {
    "api_key": "api-key-variable names the environment variable that has the key",
    "header": "set MULTIQA_HEADER in the environment, or pass --header",
}


def read_job(job: str) -> tuple[Path, dict[str, Any]]:
    """Read the settings of a job.

    Args:
        job: Its name in multiqa.toml, or `FILE:NAME`.

    Returns:
        The file, and what it says.

    Raises:
        ConfigurationError: There is no such file or job, or it is not TOML.
    """
    place, _, name = job.rpartition(":")
    file = Path(place or DEFAULT_FILE)
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"--job is {job!r}, and {file} cannot be read: {error.strerror or error}. "
            "--job FILE:NAME names another file."
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{file} is not TOML: {error}.") from error
    jobs = content.get("jobs")
    if not isinstance(jobs, Mapping) or not isinstance(jobs.get(name), Mapping):
        named = ", ".join(jobs) if isinstance(jobs, Mapping) and jobs else "none"
        raise ConfigurationError(f"{file} has no table [jobs.{name}]. Its jobs: {named}.")
    return file, dict(jobs[name])


def _use_job(context: typer.Context, job: str | None) -> str | None:
    """Make a job's settings the defaults of the command that is called."""
    if job is None or context.resilient_parsing:
        return job
    file, settings = read_job(job)
    commands: Mapping[str, Any] = context.find_root().command.commands  # type: ignore[attr-defined]
    options = {p.name: p for name in COMMANDS for p in commands[name].params if p.name != "job"}
    defaults = {}
    for key, value in settings.items():
        option = key.replace("-", "_")
        where = f"{file}, [jobs.{job.rpartition(':')[2]}]: {key}"
        if option in _SECRETS:
            raise ConfigurationError(f"{where} does not belong in a file: {_SECRETS[option]}.")
        if option not in options:
            similar = difflib.get_close_matches(option, options, n=1)
            hint = f" Did you mean {similar[0].replace('_', '-')}?" if similar else ""
            raise ConfigurationError(f"{where} is not an option of multiqa sync.{hint}")
        defaults[option] = _as_given(value, options[option], where)
    own = {parameter.name for parameter in context.command.params}
    context.default_map = {option: value for option, value in defaults.items() if option in own}
    return job


def _as_given(value: object, option: Any, where: str) -> Any:
    """Return a value as it would be given on the command line.

    Raises:
        ConfigurationError: It is of no type that the option takes.
    """
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value if _takes_several(option) else ",".join(value)
    flag = getattr(option, "is_flag", False)
    if flag != isinstance(value, bool) or not isinstance(value, str | int | float):
        expected = "true or false" if flag else "text or a number"
        raise ConfigurationError(f"{where} is {value!r}, expected {expected}.")
    return [value] if _takes_several(option) else value


def _takes_several(option: Any) -> bool:
    return bool(getattr(option, "multiple", False) or option.nargs == -1)


Job = Annotated[
    str | None,
    typer.Option(
        "--job",
        metavar="[FILE:]NAME",
        is_eager=True,
        callback=_use_job,
        help=f"Take what is not given from this job of {DEFAULT_FILE}, or of FILE.",
        show_default="no job",
    ),
]
