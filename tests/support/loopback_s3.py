"""A stand-in for an object store that speaks S3, on this machine's loopback address.

What pyarrow asks for to read files, and answers that a test switches on in place of them. It proves
what is done about an answer; not what a real store does.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

REFUSED = (403, "AccessDenied")
SLOW_DOWN = (503, "SlowDown")

Answer = tuple[int, str]


class LoopbackS3:
    """The store; `objects` is what is in its one bucket, "corpus".

    Attributes:
        objects: Contents by key.
        answer: Returns what is answered to a request in place of what it asks for, or None.
        seen: The requests: method and path.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.answer: Callable[[str, str], Answer | None] = lambda method, path: None
        self.seen: list[tuple[str, str]] = []
        handler = type("Handler", (_Handler,), {"store": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True

    def __enter__(self) -> LoopbackS3:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def uri(self, path: str) -> str:
        port = self._server.server_port
        return f"s3://corpus/{path}?endpoint_override=127.0.0.1:{port}&scheme=http"


class _Handler(BaseHTTPRequestHandler):
    store: LoopbackS3
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), parse_qs(parts.query)
        self.store.seen.append((self.command, path))
        other = self.store.answer(self.command, path)
        bucket, _, key = path.strip("/").partition("/")
        if other is not None:
            self._refuse(*other)
        elif bucket != "corpus":
            self._refuse(404, "NoSuchBucket")
        elif not key:
            self._list(query.get("prefix", [""])[0], query.get("delimiter", [""])[0])
        elif key not in self.store.objects:
            self._refuse(404, "NoSuchKey")
        else:
            self._send_object(self.store.objects[key])

    do_HEAD = do_GET

    def _send_object(self, content: bytes) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        part = content if found is None else content[int(found[1]) : int(found[2]) + 1]
        self._send(200 if found is None else 206, part, "application/octet-stream")

    def _list(self, prefix: str, delimiter: str) -> None:
        keys = sorted(key for key in self.store.objects if key.startswith(prefix))
        folders = set()
        if delimiter:
            folders = {
                prefix + key[len(prefix) :].partition("/")[0] + "/"
                for key in keys
                if "/" in key[len(prefix) :]
            }
            keys = [key for key in keys if "/" not in key[len(prefix) :]]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.store.objects[key])}</Size>"
            "<LastModified>2026-11-01T00:00:00.000Z</LastModified></Contents>"
            for key in keys
        )
        prefixes = "".join(
            f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
            for folder in sorted(folders)
        )
        count = len(keys) + len(folders)
        self._send_xml(
            200,
            f"<ListBucketResult><Name>corpus</Name><KeyCount>{count}</KeyCount>"
            f"<IsTruncated>false</IsTruncated>{contents}{prefixes}</ListBucketResult>",
        )

    def _refuse(self, status: int, code: str) -> None:
        self._send_xml(status, f"<Error><Code>{code}</Code><Message>so it is</Message></Error>")

    def _send_xml(self, status: int, text: str) -> None:
        head = '<?xml version="1.0" encoding="UTF-8"?>'
        self._send(status, f"{head}{text}".encode(), "application/xml")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Sun, 01 Nov 2026 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            with suppress(ConnectionError):  # who asked may have been killed
                self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""
