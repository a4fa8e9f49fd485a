"""The options of how a server is reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from multiqa_integrations.errors import ConfigurationError

PANEL = "Connection to a server"


@dataclass(frozen=True)
class ConnectionFlags:
    """How a server is reached."""

    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Time limit of each request.",
            show_default="30",
            rich_help_panel=PANEL,
        ),
    ] = None
    wait: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="How long requests are retried after temporary failures.",
            show_default="10; jobs 300",
            rich_help_panel=PANEL,
        ),
    ] = None
    grpc: Annotated[bool, typer.Option("--grpc", help="Use gRPC.", rich_help_panel=PANEL)] = False
    grpc_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", help="Port of gRPC.", show_default="6334", rich_help_panel=PANEL
        ),
    ] = None
    ca: Annotated[
        Path | None,
        typer.Option(
            "--ca",
            metavar="FILE",
            help="Certificate of a private CA.",
            rich_help_panel=PANEL,
        ),
    ] = None
    no_verify: Annotated[
        bool,
        typer.Option(
            "--no-verify",
            help="Do not check the server's certificate; not by gRPC.",
            rich_help_panel=PANEL,
        ),
    ] = False
    client_cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Client certificate.", rich_help_panel=PANEL),
    ] = None
    client_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Its key.",
            show_default="in the file of the certificate",
            rich_help_panel=PANEL,
        ),
    ] = None
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Header to send with every request; may be repeated.",
            rich_help_panel=PANEL,
        ),
    ] = field(default=None, repr=False)  # it may be a secret
    keepalive: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="How often gRPC checks that a connection is alive.",
            show_default="20",
            rich_help_panel=PANEL,
        ),
    ] = None
    consistency: Annotated[
        str | None,
        typer.Option(
            metavar="N|majority|quorum|all",
            help="How many replicas reads must agree with.",
            rich_help_panel=PANEL,
        ),
    ] = None
    ordering: Annotated[
        Literal["weak", "medium", "strong"] | None,
        typer.Option(
            help="Order of writes of one point by several clients.", rich_help_panel=PANEL
        ),
    ] = None

    @property
    def connection(self) -> dict[str, Any]:
        """Return what was given, as options of a connection.

        Raises:
            ConfigurationError: Two of them exclude each other, or a header is none.
        """
        if self.ca is not None and self.no_verify:
            raise ConfigurationError("--ca and --no-verify exclude each other. Pass one of them.")
        if self.client_key is not None and self.client_cert is None:
            raise ConfigurationError("--client-key needs --client-cert, the certificate.")
        certificate: Any = self.client_cert
        if self.client_key is not None:
            certificate = (str(self.client_cert), str(self.client_key))
        consistency: Any = self.consistency
        if consistency is not None and consistency.isdecimal():
            consistency = int(consistency)
        given = {
            "timeout": self.timeout,
            "wait": self.wait,
            "prefer_grpc": self.grpc or None,
            "grpc_port": self.grpc_port,
            "verify": False if self.no_verify else self.ca,
            "client_certificate": certificate,
            "headers": _parse_headers(self.header) or None,
            "keepalive": self.keepalive,
            "consistency": consistency,
            "ordering": self.ordering,
        }
        return {name: value for name, value in given.items() if value is not None}


def _parse_headers(headers: list[str] | None) -> dict[str, str]:
    parsed = {}
    for header in headers or ():
        name, equals, value = header.partition("=")
        if not equals:
            raise ConfigurationError(
                "--header expects NAME=VALUE, and one has no equals sign. It is not shown, for it "
                "may be a secret."
            )
        parsed[name] = value
    return parsed
