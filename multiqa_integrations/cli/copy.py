"""`multiqa copy`: a collection with its vectors, to another store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from multiqa_integrations.cli import jobs, terminal
from multiqa_integrations.cli.connection_options import ConnectionFlags
from multiqa_integrations.cli.options import (
    AsJson,
    CollectionName,
    DryRun,
    options,
)
from multiqa_integrations.cli.progress import points_bar
from multiqa_integrations.cli.settings import SettingsOptions
from multiqa_integrations.cli.stores import find_collection, open_at
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant import MigrationReport, Store, open_store
from multiqa_integrations.qdrant import copy as copy_collection


@options
def copy(
    name: CollectionName,
    *,
    from_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Server to read from; its key from QDRANT_SOURCE_API_KEY, else QDRANT_API_KEY.",
        ),
    ] = None,
    from_path: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory to read from: embedded collections, or qdrant-client's local mode.",
        ),
    ] = None,
    to_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Server to write to; its key from QDRANT_API_KEY."),
    ] = None,
    to_path: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Directory of embedded collections to write to."),
    ] = None,
    to_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the copy.", show_default="the same"),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Delete what an existing copy has, and the source has not."),
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    kept: SettingsOptions,
    flags: ConnectionFlags,
) -> None:
    """Copy a collection with its vectors.

    Nothing is encoded again. It may be interrupted and started again: points that are there and
    equal are not written again. At the end the numbers of points and a sample are compared.

    Exit status: 0 done; otherwise as for multiqa sync.
    """
    settings = kept.made()
    for side, url, path in (("from", from_url, from_path), ("to", to_url, to_path)):
        if (url is None) == (path is None):
            raise ConfigurationError(f"give one of --{side}-url and --{side}-path.")
    if flags.connection and from_url is None and to_url is None:
        raise ConfigurationError("options of a connection go with --from-url or --to-url.")
    with (
        jobs.Signals() as signals,
        jobs.showing_report(show_done, as_json=as_json),
        _source(from_url, from_path, flags.connection) as source,
    ):
        info = find_collection(source, name, from_url or str(from_path))
        same = from_path is not None and to_path is not None and _same(from_path, to_path)
        with (
            source if same else _target(to_url, to_path, flags.connection) as target,
            points_bar(info.points) as progress,
        ):
            report = copy_collection(
                source,
                target,
                name,
                to=to_name,
                prune=prune,
                settings=settings,
                progress=progress,
                stop=signals.stop,
                dry_run=dry_run,
            )
    points = terminal.count(report.points, "point")
    if dry_run:
        text = (
            f"{name}: {points} would be copied to {report.target}, which has "
            f"{report.unchanged:,} of them. Nothing was written."
        )
    else:
        text = (
            f"{report.target}: {points}, as in {name}; {report.written:,} written, "
            f"{report.unchanged:,} existed"
        )
    terminal.echo_result(text, {**report.to_dict(), "dry_run": dry_run}, as_json=as_json)


def show_done(report: MigrationReport) -> None:
    """Print what a migration had done before an error ended it."""
    terminal.echo(
        f"{report.target}: {terminal.count(report.written, 'point')} written, "
        f"{report.unchanged:,} existed"
    )


def _same(path: Path, other: Path) -> bool:
    return path.expanduser().resolve() == other.expanduser().resolve()


def _source(url: str | None, path: Path | None, connection: Mapping[str, Any]) -> Store:
    if url is not None:
        # An empty value means no key; the target's key must not go to the source.
        key = os.environ.get("QDRANT_SOURCE_API_KEY")
        return open_store(url=url, api_key=key, **connection)
    if path is not None and (path / "meta.json").exists():
        from multiqa_integrations.qdrant.server.store import ServerStore

        return ServerStore.open_local(path)
    return open_at(None, path)


def _target(url: str | None, path: Path | None, connection: Mapping[str, Any]) -> Store:
    return open_at(url, path, creates=True, **(connection if url is not None else {}))
