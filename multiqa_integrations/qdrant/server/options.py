"""How a server is reached: its address, the key, and the options of a connection.

Nothing here connects, and nothing here imports a client.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from multiqa_integrations.arguments import check_path
from multiqa_integrations.errors import ConfigurationError

PORT = 6333
"""The port of REST where a URL names none, also of https: as in qdrant-client."""

GRPC_PORT = 6334

Consistency: TypeAlias = int | Literal["majority", "quorum", "all"]
Ordering: TypeAlias = Literal["weak", "medium", "strong"]


@dataclass(frozen=True, kw_only=True)
class ConnectionOptions:
    """How to speak to a server.

    Attributes:
        timeout: Seconds within which each request must be answered.
        wait: For how many seconds a request that fails for the time being is repeated; by default
            10 where a person waits, and 300 in jobs.
        prefer_grpc: Use gRPC where it can be used.
        grpc_port: Its port; 6334 by default, if the URL names none but 6333.
        headers: Sent with every request.
        verify: Whether to check the server's certificate; or the file of a private CA, or a
            directory of CAs.
        client_certificate: A file with a certificate and its key, or the two files.
        keepalive: Every so many seconds gRPC makes sure that a connection still is one.
        consistency: How many replicas a read must agree with.
        ordering: How writes of one point by several clients are ordered.

    Raises:
        ConfigurationError: One of them cannot be honoured.

    Examples:
        >>> ConnectionOptions(timeout=5.0).timeout
        5.0
    """

    timeout: float = 30.0
    wait: float | None = None
    prefer_grpc: bool = False
    grpc_port: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may be secrets
    verify: bool | str | os.PathLike[str] = True
    client_certificate: str | os.PathLike[str] | tuple[str, str] | None = None
    keepalive: float = 20.0
    consistency: Consistency | None = None
    ordering: Ordering | None = None

    def __post_init__(self) -> None:
        for name, least in (("timeout", 0.001), ("wait", 0.0), ("keepalive", 1.0)):
            value = getattr(self, name)
            if not (value is None and name == "wait") and not _is_number(value, least):
                raise ConfigurationError(
                    f"{name} is {value!r}, expected seconds, {least:g} or more."
                )
        if not isinstance(self.prefer_grpc, bool):
            raise ConfigurationError(f"prefer_grpc is {self.prefer_grpc!r}, expected a boolean.")
        if self.grpc_port is not None and not _is_integer(self.grpc_port, 1, 65_535):
            raise ConfigurationError(f"grpc_port is {self.grpc_port!r}, expected 1 to 65535.")
        if self.consistency not in _CONSISTENCIES and not _is_integer(self.consistency, 1, 1_000):
            raise ConfigurationError(
                f"consistency is {self.consistency!r}, expected a number of replicas, 'majority', "
                "'quorum' or 'all'."
            )
        if self.ordering not in (None, "weak", "medium", "strong"):
            raise ConfigurationError(
                f"ordering is {self.ordering!r}, expected 'weak', 'medium' or 'strong'."
            )
        _check_headers(self.headers)
        for name, file in self.files().items():
            if not check_path(name, file).exists():
                raise ConfigurationError(
                    f"{name} ({_IN_THE_SHELL[name]}) is {str(file)!r}, and there is no such file."
                )
        if self.verify is False and self.prefer_grpc:
            raise ConfigurationError(
                "verify=False (--no-verify) is not possible with gRPC. Give the file of the CA as "
                "verify= (--ca)."
            )

    def __reduce__(self) -> str | tuple[Any, ...]:
        if self.headers:
            raise TypeError(
                "options with headers cannot be pickled, for these may be secrets. Make them where "
                "they are needed."
            )
        return super().__reduce__()

    def files(self) -> dict[str, str | os.PathLike[str]]:
        """Return the files that are named, by the options that name them."""
        files: dict[str, str | os.PathLike[str]] = {}
        if not isinstance(self.verify, bool):
            files["verify"] = self.verify
        if isinstance(self.client_certificate, tuple):
            files["client_certificate"], files["client_certificate (key)"] = self.client_certificate
        elif self.client_certificate is not None:
            files["client_certificate"] = self.client_certificate
        return files


_IN_THE_SHELL = {
    "verify": "--ca",
    "client_certificate": "--client-cert",
    "client_certificate (key)": "--client-key",
}

CONNECTION_OPTIONS = frozenset(option.name for option in fields(ConnectionOptions))
"""Their names."""


def connection_options(options: Mapping[str, Any]) -> ConnectionOptions:
    """Return options by their names.

    Raises:
        ConfigurationError: There is no such option, or it cannot be honoured.
    """
    unknown = sorted(options.keys() - CONNECTION_OPTIONS)
    if unknown:
        raise ConfigurationError(
            f"{', '.join(unknown)}: a connection has no such option. It has "
            f"{', '.join(sorted(CONNECTION_OPTIONS))}; others go to a client of qdrant-client, "
            "given as client=."
        )
    return ConnectionOptions(**options)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is.

    Attributes:
        scheme: "http" or "https".
        host: Its name or number.
        port: The port of REST.
        prefix: A path before all others, for servers behind a proxy; "" is none.
        says_port: Whether the URL named the port.
    """

    scheme: str
    host: str
    port: int
    prefix: str = ""
    says_port: bool = True

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, which no packet leaves."""
        name = self.host.rstrip(".").lower()
        if name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            pass
        try:  # 127.1 and other short forms
            return re.fullmatch(r"[0-9.x]+", name) is not None and socket.inet_aton(name)[0] == 127
        except OSError:
            return False

    @property
    def url(self) -> str:
        """The URL for clients; of short forms of numbers, such as 127.1, gRPC knows none."""
        if re.fullmatch(r"[0-9]+(\.[0-9]+){0,2}", self.host):
            return str(replace(self, host=socket.inet_ntoa(socket.inet_aton(self.host))))
        return str(self)

    @property
    def is_open(self) -> bool:
        """Whether what is sent can be read on the way."""
        return self.scheme == "http" and not self.is_loopback


def proxy_of(address: Address) -> tuple[str, str] | None:
    """Return the variable of the environment that names the proxy to an address, and its value.

    What goes to this machine, or to a host that NO_PROXY names, goes through none.
    """
    if address.is_loopback or proxy_bypass(address.host):
        return None
    proxies = getproxies()
    found = next((name for name in (address.scheme, "all") if proxies.get(name)), None)
    return None if found is None else (f"{found.upper()}_PROXY", proxies[found])


def split_user(url: str) -> tuple[str, str | None]:
    """Return a URL without user and password, and the header "Authorization" that they make.

    Examples:
        >>> split_user("http://user:password@localhost:6333")
        ('http://localhost:6333', 'Basic dXNlcjpwYXNzd29yZA==')
    """
    match = re.fullmatch(r"(\s*[a-z]+://)([^/?#]*)@(.*)", url, re.DOTALL | re.IGNORECASE)
    if match is None:
        return url, None
    user = unquote(match[2]).encode()
    return match[1] + match[3], f"Basic {base64.b64encode(user).decode()}"


def parse_url(url: object) -> Address:
    """Return the address that a URL names.

    Raises:
        ConfigurationError: It is none, or names more than an address.

    Examples:
        >>> str(parse_url("https://db.example.org/qdrant/"))
        'https://db.example.org:6333/qdrant'
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"url is {type(url).__name__}, expected text such as {_SUCH_AS}.")
    text = url.strip()
    if re.fullmatch(r"localhost(:[0-9]+)?", text):
        text = f"http://{text}"
    if "@" in text:  # also where what is before it has no scheme, or a slash in the password
        raise ConfigurationError(
            "url has a user or a password before the host. Leave them out: give the API key as "
            "api_key= or in QDRANT_API_KEY, and what a proxy needs as headers=."
        )
    parsed = _split(text)
    if parsed is None:
        raise ConfigurationError(
            f"url is not an address: its host or its port cannot be read. Expected {_SUCH_AS}."
        )
    # No message shows the url: what is wrong in it may be a secret in the wrong place.
    parts, port = parsed
    if parts.scheme not in ("http", "https") or not parts.hostname or _WHITE.search(text):
        raise ConfigurationError(
            f"url is not an address: expected http:// or https:// and a host, such as {_SUCH_AS}."
        )
    if parts.query or parts.fragment or re.search("[;=&]|%3[bdf]|%26", parts.path, re.IGNORECASE):
        raise ConfigurationError(
            "url has a query, a fragment or parameters. Leave them out: give the API key as "
            "api_key= or in QDRANT_API_KEY."
        )
    return Address(
        parts.scheme, parts.hostname, port or PORT, parts.path.rstrip("/"), port is not None
    )


def _split(url: str) -> tuple[SplitResult, int | None] | None:
    """Return the parts of a URL and its port; None if it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # shows the part that is wrong: it must not be the context of an error
        return None
    # No host has the sign, but a number with a zone has it: [fe80::1%eth0].
    is_escaped = "%" in parts.netloc and "[" not in parts.netloc
    return None if is_escaped else (parts, port)


_CONSISTENCIES = (None, "majority", "quorum", "all")
_LONGEST_SECONDS = 1e6
_SUCH_AS = "http://localhost:6333"
_WHITE = re.compile(r"[\s\x00-\x20\x7f]")


def clean_key(key: object) -> str | None:
    """Return an API key without white space around it; None where nothing is left of it.

    Raises:
        ConfigurationError: It cannot be sent as a header. The message does not show it.
    """
    if key is None:
        return None
    if not isinstance(key, str):
        raise ConfigurationError(f"api_key is {type(key).__name__}, expected text.")
    text = key.strip()
    if not re.fullmatch(r"[\x21-\x7e]*", text):
        raise ConfigurationError(
            "the API key (api_key= or QDRANT_API_KEY) has white space, control characters or "
            "letters that are not ASCII inside. Is it one key, and nothing else?"
        )
    return text or None


def choose_grpc_port(address: Address, options: ConnectionOptions) -> int:
    """Return the port of gRPC.

    Raises:
        ConfigurationError: It is not known.
    """
    if options.grpc_port is not None:
        return options.grpc_port
    if options.prefer_grpc and address.port != PORT:
        raise ConfigurationError(
            f"prefer_grpc needs grpc_port= (--grpc-port): {address} names another port of REST "
            f"than {PORT}, so that of gRPC may be another than {GRPC_PORT} too."
        )
    return GRPC_PORT


def _check_headers(headers: object) -> None:
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"headers is {type(headers).__name__}, expected a dict of text.")
    for name, value in headers.items():
        if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ConfigurationError(
                "headers has a name that is not a valid header name. It is not shown, for it may "
                "be a secret: expected {name: value}."
            )
        if not isinstance(value, str) or not re.fullmatch(
            r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?|", value
        ):
            raise ConfigurationError(
                f"headers[{name!r}] has line ends, white space around it, or letters that are not "
                "ASCII. Its value is not shown, for it may be a secret."
            )


def _is_number(value: object, least: float) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and least <= value < _LONGEST_SECONDS
    )


def _is_integer(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
