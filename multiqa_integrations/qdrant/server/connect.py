"""Making clients of a server: TLS, proxies, keys, and the settings of both protocols."""

from __future__ import annotations

import os
import ssl
import warnings
from pathlib import Path
from typing import Any

import httpx
from qdrant_client import AsyncQdrantClient, QdrantClient

from multiqa_integrations.errors import ConfigurationError, InsecureConnectionWarning
from multiqa_integrations.qdrant.server.bounds import bound, bound_async
from multiqa_integrations.qdrant.server.connection import Connection, is_local
from multiqa_integrations.qdrant.server.options import (
    Address,
    ConnectionOptions,
    choose_grpc_port,
    proxy_of,
)

# A server closes connections that were idle for 5 s, so they are given up a little earlier.
_IDLE_SECONDS = 4.0


def connect(address: Address, key: str | None, options: ConnectionOptions) -> Connection:
    """Return the connection to a server; nothing is sent yet.

    Raises:
        ConfigurationError: An option cannot be honoured.
    """
    grpc_port = choose_grpc_port(address, options)
    # Plain http needs no certificates, which take a while to load.
    encrypted = address.scheme == "https"
    context = _tls(options) if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    proxy = proxy_of(address)
    if options.prefer_grpc and proxy is not None and not proxy[1].startswith("http://"):
        raise ConfigurationError(
            f"gRPC reaches {address} through a proxy of http:// alone, and {proxy[0]} names "
            "another kind. Use REST, or name the host in NO_PROXY."
        )
    grpc_options = _grpc_options(address, options, proxy) if options.prefer_grpc else {}
    _warn_of_open_key(address, key, proxy)

    def make(kind: type[Any]) -> Any:
        asynchronous = kind is AsyncQdrantClient
        bounded: Any = bound_async(options.timeout) if asynchronous else bound(options.timeout)
        with warnings.catch_warnings():  # the client warns of keys for loopback too
            warnings.simplefilter("ignore", UserWarning)
            return kind(
                url=address.url,
                api_key=key,
                timeout=options.timeout,
                check_compatibility=False,
                prefer_grpc=options.prefer_grpc,
                grpc_port=grpc_port,
                grpc_options=grpc_options,
                headers={name.lower(): value for name, value in options.headers.items()},
                metadata={"accept-encoding": "identity"},  # of REST: answers are bounded
                limits=httpx.Limits(max_connections=None, keepalive_expiry=_IDLE_SECONDS),
                event_hooks={"response": [bounded]},
                verify=context,
                # What goes to this machine goes through no proxy.
                trust_env=not address.is_loopback,
            )

    connection = Connection(
        make, str(address), proxy=proxy[0] if proxy else None, grpc=options.prefer_grpc
    )
    try:
        connection.client()
    except ImportError as error:
        raise ConfigurationError(
            f"no client for {address}: {error}. A SOCKS proxy (ALL_PROXY) needs the package "
            "socksio; without one, unset it or name the host in NO_PROXY."
        ) from error
    except (TypeError, ValueError, OSError) as error:
        raise ConfigurationError(f"no client for {connection.route}: {error}.") from error
    return connection


def connect_given(client: QdrantClient | AsyncQdrantClient) -> Connection:
    """Return the connection over a client of the user's, which stays open."""
    engine: Any = client._client

    def make(kind: type[Any]) -> Any:
        with warnings.catch_warnings():  # said once, when the first was made
            warnings.simplefilter("ignore", UserWarning)
            return kind(**{**client.init_options, "check_compatibility": False})

    where = "local mode" if is_local(client) else str(engine.rest_uri)
    return Connection(make, where, given=client, grpc=getattr(engine, "_prefer_grpc", False))


def _tls(options: ConnectionOptions) -> ssl.SSLContext:
    try:
        context = httpx.create_ssl_context()
        if options.verify is False:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        elif options.verify is not True:
            place = Path(options.verify)
            if place.is_dir():
                context = ssl.create_default_context(capath=place)
            else:
                context = ssl.create_default_context(cafile=place)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"verify (--ca) is {str(options.verify)!r}, which is not a file of certificates "
            f"({error})."
        ) from error
    certificate = options.client_certificate
    if certificate is not None:
        files = certificate if isinstance(certificate, tuple) else (certificate,)
        try:
            context.load_cert_chain(*files)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"client_certificate (--client-cert) is {', '.join(map(str, files))}, which is not "
                f"a certificate with its key ({error})."
            ) from error
    return context


def _grpc_options(
    address: Address, options: ConnectionOptions, proxy: tuple[str, str] | None
) -> dict[str, Any]:
    milliseconds = int(options.keepalive * 1000)
    made: dict[str, Any] = {
        # A connection that was dropped on the way is found out, also where nothing is asked.
        "grpc.keepalive_time_ms": milliseconds,
        "grpc.keepalive_timeout_ms": min(milliseconds, 10_000),
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.max_pings_without_data": 0,
    }
    # Its own choice would be another than that of REST.
    if proxy is not None:
        made["grpc.http_proxy"] = proxy[1]
    else:
        made["grpc.enable_http_proxy"] = 0
    if address.scheme == "https":
        files = options.files()
        if "verify" in files:
            made["root_certificates"] = _certificates(Path(files["verify"]))
        if "client_certificate" in files:
            key = files.get("client_certificate (key)", files["client_certificate"])
            made["certificate_chain"] = _read(files["client_certificate"])
            made["private_key"] = _read(key)
    return made


def _certificates(place: Path) -> bytes:
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    found = [_read(file) for file in files if file.is_file()]
    return b"\n".join(text for text in found if b"BEGIN CERTIFICATE" in text)


def _read(file: str | os.PathLike[str]) -> bytes:
    return Path(file).read_bytes()


def _warn_of_open_key(address: Address, key: str | None, proxy: tuple[str, str] | None) -> None:
    if key is None or not address.is_open:
        return
    through = f", and through the proxy of {proxy[0]}" if proxy else ""
    warnings.warn(
        f"the API key for {address.host} travels unencrypted over http{through}. Use an https URL.",
        InsecureConnectionWarning,
        stacklevel=5,
    )
