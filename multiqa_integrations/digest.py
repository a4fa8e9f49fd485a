"""Digests of files."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path


def sha256(file: Path) -> str:
    """Digest a file by reading it."""
    return _digest(file, hashlib.sha256())


def known_sha256(file: Path) -> str:
    """Digest a file, at most once per process as long as its size and time stay the same."""
    status = file.stat()
    return _known_sha256(file.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _known_sha256(file: Path, size: int, mtime_ns: int) -> str:
    return sha256(file)


def git_blob_id(file: Path) -> str:
    """Digest a file as git does."""
    head = b"blob %d\0" % file.stat().st_size
    return _digest(file, hashlib.sha1(head, usedforsecurity=False))


def _digest(file: Path, digest: hashlib._Hash) -> str:
    # hashlib releases the GIL for updates beyond 2 kB.
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
