"""Options of how a new collection is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant import CollectionSettings
from multiqa_integrations.qdrant.settings import Quantization, quantization_config

_PANEL = "Settings of a new collection"


@dataclass(frozen=True)
class SettingsOptions:
    """How a new collection is kept."""

    shards: Annotated[
        int | None,
        typer.Option(min=1, help="Number of shards.", show_default="1", rich_help_panel=_PANEL),
    ] = None
    replicas: Annotated[
        int | None,
        typer.Option(
            min=1, help="Replicas of each shard.", show_default="1", rich_help_panel=_PANEL
        ),
    ] = None
    on_disk: Annotated[
        bool | None,
        typer.Option(
            "--on-disk/--in-memory",
            help="Where the vectors are.",
            show_default="the engine's choice",
            rich_help_panel=_PANEL,
        ),
    ] = None
    quantization: Annotated[
        Quantization | None,
        typer.Option(
            help="Smaller vectors for the search graph.",
            show_default="the engine's choice",
            rich_help_panel=_PANEL,
        ),
    ] = None
    strict_mode: Annotated[
        bool | None,
        typer.Option(
            "--strict-mode/--no-strict-mode",
            help="Whether the server limits requests to the collection.",
            show_default="the server's choice",
            rich_help_panel=_PANEL,
        ),
    ] = None
    settings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON file of further settings, named as in Qdrant's REST API, such as "
            '{"hnsw_config": {"m": 24}}.',
            rich_help_panel=_PANEL,
        ),
    ] = None

    def made(self) -> CollectionSettings:
        """Return them.

        Raises:
            ConfigurationError: The file cannot be read, or has something else.
        """
        kind = self.quantization
        quantization = None if kind is None else quantization_config(kind)
        by_name = CollectionSettings(
            shard_number=self.shards,
            replication_factor=self.replicas,
            on_disk=self.on_disk,
            quantization_config=quantization,
            strict_mode_config=None if self.strict_mode is None else {"enabled": self.strict_mode},
        )
        if self.settings is None:
            return by_name
        try:
            values = json.loads(self.settings.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigurationError(
                f"--settings is {self.settings}, expected a file with JSON ({error})."
            ) from error
        written = CollectionSettings.from_dict(values)
        if twice := sorted(written.given().keys() & by_name.given().keys()):
            raise ConfigurationError(
                f"{', '.join(twice)}: given by an option and in {self.settings} too. Leave one out."
            )
        return written.updated(by_name)
