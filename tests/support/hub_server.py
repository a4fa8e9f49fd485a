"""A stand-in of the hub's HTTP API on this machine, for tests: the true hub cannot be reached
from everywhere, and never fails on demand.

It answers what huggingface_hub asks: a repository's listing with digests, and its files, small
ones itself and large ones (LFS) by a redirect to another host name, as the hub does with its CDN.
`faults` makes it misbehave. Every request is written down in `requests`.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from safetensors.numpy import save

COMMIT = "c0ffee" + "0" * 34
"""The commit of every repository here, and where "main" points to."""


class HubServer:
    """A hub with the repositories given: name → path → bytes.

    Attributes:
        faults: Switches, all off at first. silent: accept and never answer. silent_files: answer
            the listing, but no file. silent_cdn: answer everything but large files. status: answer
            everything with that HTTP status. gated: refuse as for a gated repository. corrupt:
            flip a byte in the file of that path, for as many answers as `corrupt_times` says.
            cut: send half of the file of that path. no_digests: leave digests out of the listing.
        requests: Method and path of every request so far.
    """

    def __init__(self, repositories: dict[str, dict[str, bytes]]) -> None:
        self.repositories = repositories
        self.faults: dict[str, Any] = {}
        self.requests: list[str] = []
        self.stopping = threading.Event()
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT is to be set to."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serve(repositories: dict[str, dict[str, bytes]]) -> Iterator[HubServer]:
    """Run the server for the time of a `with` block."""
    hub = HubServer(repositories)
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        hub.stopping.set()
        hub.server.shutdown()
        hub.server.server_close()
        thread.join()


def checkpoint_files() -> dict[str, bytes]:
    """Make a small checkpoint: true file names and settings, weights of two tensors only."""
    tensors = {
        "embeddings.word_embeddings.weight": np.arange(64 * 384, dtype=np.float32).reshape(64, 384),
        "embeddings.LayerNorm.bias": np.zeros(384, dtype=np.float32),
    }
    settings: dict[str, Any] = {
        "config.json": {
            "architectures": ["BertModel"],
            "hidden_act": "gelu",
            "hidden_size": 384,
            "intermediate_size": 1536,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": 512,
            "model_type": "bert",
            "num_attention_heads": 12,
            "num_hidden_layers": 6,
            "position_embedding_type": "absolute",
            "vocab_size": 30522,
        },
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {
                "idx": 1,
                "name": "1",
                "path": "1_Pooling",
                "type": "sentence_transformers.models.Pooling",
            },
            {
                "idx": 2,
                "name": "2",
                "path": "2_Normalize",
                "type": "sentence_transformers.models.Normalize",
            },
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": 384,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
        "sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": False},
        "config_sentence_transformers.json": {"__version__": {"sentence_transformers": "2.0.0"}},
        "tokenizer.json": {"version": "1.0"},
        "tokenizer_config.json": {"model_max_length": 512, "tokenizer_class": "BertTokenizer"},
    }
    files = {path: json.dumps(value, indent=2).encode() for path, value in settings.items()}
    return {**files, "README.md": b"# Not needed\n", "model.safetensors": save(tensors)}


def write_files(directory: Path, files: dict[str, bytes]) -> Path:
    """Write files below a new directory."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


def is_large(path: str) -> bool:
    """Return whether the hub would keep a file in LFS."""
    return path.endswith((".safetensors", ".bin"))


def git_blob_id(content: bytes) -> str:
    """Name a file as git does."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass  # nothing on stderr: tests read it

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.requests.append(f"{self.command} /{path}")
        faults = self.hub.faults
        is_api, is_cdn = path.startswith("api/"), path.startswith("cdn/")
        if (
            faults.get("silent")
            or (faults.get("silent_files") and not is_api)
            or (faults.get("silent_cdn") and is_cdn)
        ):
            self.hub.stopping.wait(60)
            self.close_connection = True
        elif status := faults.get("status"):
            self._send(status, b'{"error": "as the test asked"}')
        elif faults.get("gated"):
            self._refuse(403, "GatedRepo")
        elif is_cdn:
            repository, _, name = path.removeprefix("cdn/").partition("//")
            self._file(name, self.hub.repositories[repository][name])
        elif is_api:
            repository, _, revision = path.removeprefix("api/models/").partition("/revision/")
            if self._check(repository, revision):
                self._listing(repository)
        else:
            repository, _, rest = path.partition("/resolve/")
            revision, _, name = rest.partition("/")
            if self._check(repository, revision):
                self._resolve(repository, name)

    def _check(self, repository: str, revision: str) -> bool:
        if repository not in self.hub.repositories:
            # The hub tells strangers 401, so that private repositories cannot be guessed.
            self._refuse(401, "RepoNotFound")
        elif revision not in ("main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        else:
            return True
        return False

    def _listing(self, repository: str) -> None:
        siblings = []
        for path, content in self.hub.repositories[repository].items():
            sibling: dict[str, Any] = {"rfilename": path, "size": len(content)}
            if not self.hub.faults.get("no_digests"):
                sibling["blobId"] = git_blob_id(content)
                if is_large(path):
                    digest = hashlib.sha256(content).hexdigest()
                    sibling["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
            siblings.append(sibling)
        info = {"_id": "0", "id": repository, "modelId": repository, "sha": COMMIT}
        self._send(200, json.dumps({**info, "siblings": siblings}).encode())

    def _resolve(self, repository: str, name: str) -> None:
        content = self.hub.repositories[repository].get(name)
        if content is None:
            self._refuse(404, "EntryNotFound")
        elif is_large(name):
            self._send(
                302,
                b"",
                {
                    "Location": f"http://localhost:{self.hub.port}/cdn/{repository}//{name}",
                    "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
                    "X-Linked-Size": str(len(content)),
                },
            )
        else:
            self._file(name, content)

    def _file(self, name: str, content: bytes) -> None:
        faults = self.hub.faults
        headers = {"ETag": f'"{git_blob_id(content)}"'}
        if faults.get("corrupt") == name and faults.get("corrupt_times", 99) > 0:
            if self.command == "GET":
                faults["corrupt_times"] = faults.get("corrupt_times", 99) - 1
            content = content[:-1] + bytes([content[-1] ^ 1])
        if faults.get("cut") == name and self.command == "GET":
            headers["Content-Length"] = str(len(content))
            content = content[: len(content) // 2]
            self.close_connection = True
        self._send(200, content, headers)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b'{"error": "refused"}', {"X-Error-Code": code})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        fields = {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **(headers or {})}
        for key, value in fields.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
