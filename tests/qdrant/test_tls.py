"""Encrypted connections to a server whose certificate a private CA has signed."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from multiqa_integrations.cli import app
from multiqa_integrations.errors import StoreUnavailableError
from multiqa_integrations.qdrant import open_store
from multiqa_integrations.qdrant.retry import retrying
from tests.support.loopback_qdrant import LoopbackQdrant

OPENSSL = shutil.which("openssl") or ""
pytestmark = pytest.mark.skipif(not OPENSSL, reason="openssl makes the certificates")

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, and certificates by it: of a server named localhost, and of a client."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run([OPENSSL, *arguments], cwd=folder, check=True, capture_output=True)

    # What Python 3.13 demands of authorities, and below of whom they sign.
    authority = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
    extensions = [word for extension in authority for word in ("-addext", extension)]
    openssl(
        *("req", "-x509", *KEY, "-keyout", "ca.key", "-out", "ca.pem"), "-subj=/CN=CA", *extensions
    )
    for name in ("server", "client"):
        (folder / "names").write_text(
            "subjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\n", encoding="ascii"
        )
        subject = f"-subj=/CN={name}"
        openssl("req", *KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", subject)
        signed = ("x509", "-req", "-in", f"{name}.csr", "-extfile", "names", "-out", f"{name}.pem")
        openssl(*signed, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
    (folder / "both.pem").write_bytes(
        (folder / "client.pem").read_bytes() + (folder / "client.key").read_bytes()
    )
    (folder / "authorities").mkdir()
    shutil.copy(folder / "ca.pem", folder / "authorities")
    openssl("rehash", "authorities")
    return folder


@pytest.fixture
def encrypted(loopback: LoopbackQdrant, files: Path) -> str:
    """The stand-in by https, for clients with a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files / "ca.pem")
    context.load_cert_chain(files / "server.pem", files / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 tells a missing certificate late
    loopback.server.socket = context.wrap_socket(loopback.server.socket, server_side=True)
    return f"https://localhost:{loopback.server.server_port}"


@pytest.mark.parametrize("verify", ["ca.pem", "authorities"])
@pytest.mark.parametrize("certificate", [("both.pem",), ("client.pem", "client.key")])
def test_certificates_of_a_private_authority(
    encrypted: str, files: Path, verify: str, certificate: tuple[str, ...]
) -> None:
    given = tuple(str(files / file) for file in certificate)
    options: dict[str, Any] = {"client_certificate": given if len(given) == 2 else given[0]}
    with open_store(url=encrypted, verify=files / verify, **options) as store:
        assert store.collections() == asyncio.run(store.acollections()) == []


def test_certificates_from_the_command_line(encrypted: str, files: Path) -> None:
    flags = ("--ca", "ca.pem"), ("--client-cert", "client.pem"), ("--client-key", "client.key")
    given = [part for flag, file in flags for part in (flag, str(files / file))]
    done = CliRunner().invoke(app, ["collection", "list", "--url", encrypted, *given, "--json"])
    assert json.loads(done.stdout)["collections"] == []


@pytest.mark.parametrize(
    ("url", "names", "message"),
    [
        ("https://localhost", {"client_certificate": "both.pem"}, "--ca FILE"),
        ("https://localhost", {"verify": "ca.pem"}, "--client-cert, --client-key"),
        (
            "https://127.1",
            {"verify": "ca.pem", "client_certificate": "both.pem"},
            "for other names",
        ),
        ("http://localhost", {}, "http or https"),
    ],
    ids=["authority", "client", "name", "scheme"],
)
def test_a_refused_connection_names_the_option(
    encrypted: str, files: Path, url: str, names: dict[str, str], message: str
) -> None:
    address = f"{url}:{encrypted.rpartition(':')[2]}"
    options: dict[str, Any] = {option: files / name for option, name in names.items()}
    with open_store(url=address, **options) as store, retrying(0):
        for ask in (store.collections, lambda: asyncio.run(store.acollections())):
            with pytest.raises(StoreUnavailableError, match=message):
                ask()


def test_https_where_http_is_spoken(loopback: LoopbackQdrant) -> None:
    with (
        open_store(url=loopback.url.replace("http:", "https:")) as store,
        retrying(0),
        pytest.raises(StoreUnavailableError, match="write http:// in the URL"),
    ):
        store.collections()
