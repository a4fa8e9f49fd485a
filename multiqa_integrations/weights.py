"""The weights file of a checkpoint, opened once.

What was opened is what is read, digested and named from then on, also after another file has
taken its place: a deployment may replace the weights under a loaded model, and the vectors of
one encoder must not come from two models. Nothing is mapped into memory: whoever writes into a
mapped file changes the model that runs, and whoever truncates it ends the process.

Format: https://huggingface.co/docs/safetensors/index#format.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.errors import (
    ModelContractError,
    ModelIntegrityError,
    ModelNotFoundError,
)
from multiqa_integrations.reading import open_file, parse_json

_LARGEST_FILE = 512 << 20  # bytes; the model has 91 MB, in float64 and with 12 layers 270 MB
_LARGEST_HEADER = 1_000_000  # bytes; the model's has 11,000

# How safetensors names what numpy has.
_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies in the file.

    Attributes:
        dtype: As safetensors names it, such as "F32".
        shape: Its shape.
        start: Its first byte in the file.
        size: Its bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


class Weights:
    """A safetensors file that stays the one that was opened.

    Attributes:
        path: Where it was opened.
        tensors: Its tensors by name.
    """

    def __init__(self, path: Path) -> None:
        """Open a file and check its header: the tensors must fill the file without a gap.

        Raises:
            ModelContractError: It is larger than any checkpoint of this model.
            ModelIntegrityError: It is not a safetensors file, or truncated.
            ModelNotFoundError: It is missing.
        """
        self.path = path
        try:
            # A bare descriptor, left open at the end: a daemon thread may still read it then.
            with _open(path) as file:
                self._file = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._file).atexit = False
            self._opened = _identity(os.fstat(self._file))
            self._seek = threading.Lock()
            self.tensors = self._read_header()
        except FileNotFoundError as error:
            raise ModelNotFoundError(f"the weights {path} are missing.") from error
        except OSError as error:
            raise ModelIntegrityError(f"the weights {path} cannot be read: {error}.") from error
        self._read: weakref.WeakValueDictionary[str, NDArray[np.float32]]
        self._read = weakref.WeakValueDictionary()
        self._sha256: str | None = None

    @property
    def is_current(self) -> bool:
        """Whether `path` still is this very file, not replaced and not written into."""
        try:
            return _identity(self.path.stat()) == self._opened
        except OSError:
            return False

    def check_current(self) -> None:
        """Check that whoever opens `path` reads this file.

        Raises:
            ModelIntegrityError: It was replaced or written into.
        """
        if not self.is_current:
            raise self.changed_error("has been replaced or written into")

    def read(self, name: str) -> NDArray[np.float32]:
        """Read a tensor as float32; do not write into it.

        Models that are compiled from one file share the tensors that they keep.

        Raises:
            ModelIntegrityError: It cannot be read, holds NaN or infinity, or is of a type that
                numpy does not have; or the file was written into.
        """
        values = self._read.get(name)
        if values is None:
            values = self._read[name] = self._read_tensor(name)
        return values

    @property
    def sha256(self) -> str:
        """The digest of the file; computed once (0.1 s for 90 MB, without the GIL).

        Raises:
            ModelIntegrityError: The file was written into since it was opened.
        """
        if self._sha256 is None:
            digest = hashlib.sha256()
            block = memoryview(bytearray(1 << 20))
            size = self._opened[2]
            for start in range(0, size, len(block)):
                part = block[: min(len(block), size - start)]
                self._read_into(part, start)
                digest.update(part)
            self._check_unwritten()
            self._sha256 = digest.hexdigest()
        return self._sha256

    def _read_header(self) -> dict[str, Tensor]:
        size = self._opened[2]
        head = self._read_bytes(0, min(8, size))
        length = int.from_bytes(head, "little")
        if head == b"version ":
            raise self._damaged_error("it is a Git LFS pointer, not the file: run `git lfs pull`")
        if len(head) < 8 or length > min(size - 8, _LARGEST_HEADER):
            raise self._damaged_error(f"its {size:,} bytes do not hold the header they promise")
        start = 8 + length
        try:
            header = parse_json(self._read_bytes(8, length))
            tensors = {
                name: _tensor(entry, start)
                for name, entry in header.items()
                if name != "__metadata__"
            }
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise self._damaged_error("its header is not that of a safetensors file") from error
        position = start
        for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.size)):
            if tensor.start != position:
                raise self._damaged_error(
                    f"its tensors leave a gap or overlap at byte {position:,}"
                )
            position += tensor.size
        if not tensors or size != position:
            raise self._damaged_error(
                f"it has {size:,} bytes where its header promises {position:,}"
            )
        return tensors

    def _read_tensor(self, name: str) -> NDArray[np.float32]:
        tensor = self.tensors[name]
        if tensor.dtype not in _NUMPY:
            raise ModelIntegrityError(
                f"{name} in {self.path} is of type {tensor.dtype}, expected float32, float16 or "
                "float64. Save the weights in one of those first."
            )
        stored = np.empty(tensor.shape, _NUMPY[tensor.dtype])
        self._read_into(stored.reshape(-1).view(np.uint8).data, tensor.start)
        with np.errstate(over="ignore"):  # found below
            values: NDArray[np.float32] = stored.astype(np.float32, copy=False)
        # Both pass a NaN on, and need no array of their own, as isfinite does.
        if values.size and not np.isfinite((values.min(), values.max())).all():
            raise ModelIntegrityError(
                f"{name} in {self.path} holds NaN or infinity. Fetch the checkpoint again."
            )
        self._check_unwritten()
        return values

    def _read_bytes(self, start: int, size: int) -> bytes:
        content = bytearray(size)
        self._read_into(memoryview(content), start)
        return bytes(content)

    def _read_into(self, view: memoryview, start: int) -> None:
        """Fill a buffer from the file.

        Raises:
            ModelIntegrityError: The file ends before that.
        """
        while view:
            try:
                count = self._read_some(view, start)
            except OSError as error:
                raise ModelIntegrityError(
                    f"the weights {self.path} cannot be read: {error}."
                ) from error
            if not count:
                raise self.changed_error("has been truncated")
            view = view[count:]
            start += count

    def _read_some(self, view: memoryview, start: int) -> int:
        if hasattr(os, "preadv"):  # a forked child has its parent's position in the file
            return os.preadv(self._file, [view], start)
        with self._seek:
            os.lseek(self._file, start, os.SEEK_SET)
            content = os.read(self._file, len(view))
            view[: len(content)] = content
            return len(content)

    def _check_unwritten(self) -> None:
        if _identity(os.fstat(self._file)) != self._opened:
            raise self.changed_error("has been written into")

    def changed_error(self, event: str) -> ModelIntegrityError:
        """Return the error about a file that is not the one that was opened first."""
        return ModelIntegrityError(
            f"the weights file {self.path} {event} since it was opened, and the model cannot be "
            "loaded from two versions of it. Make a new encoder; to replace the weights of a "
            "running model, write a new file and rename it to this name."
        )

    def _damaged_error(self, problem: str) -> ModelIntegrityError:
        return ModelIntegrityError(
            f"the weights {self.path} are damaged: {problem}. Fetch them again: `multiqa download` "
            "repairs the hub cache, `multiqa download --to DIR` makes a new directory."
        )


_weights: weakref.WeakValueDictionary[tuple[int, ...], Weights] = weakref.WeakValueDictionary()


def open_weights(path: Path) -> Weights:
    """Open a weights file; all who use the same file at the same time share it."""
    weights = Weights(path)
    return _weights.setdefault(weights._opened, weights)


def _open(path: Path) -> BinaryIO:
    size = path.stat().st_size
    if size > _LARGEST_FILE:
        raise ModelContractError(
            f"the weights {path} have {size:,} bytes, which no checkpoint fine-tuned from this "
            f"model has; expected at most {_LARGEST_FILE:,}."
        )
    return open_file(path, limit=_LARGEST_FILE)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    """Return what tells versions of a file apart; renaming another file over it changes nothing."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _tensor(entry: dict[str, Any], offset: int) -> Tensor:
    """Read an entry of the header.

    Raises:
        ValueError: Its parts contradict each other.
    """
    dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (*shape, start, end)):
        raise ValueError("a negative number, or none")
    if not isinstance(dtype, str) or len(shape) > 8 or end < start:
        raise ValueError("not a tensor")
    items = math.prod(shape)
    if dtype in _NUMPY and end - start != items * np.dtype(_NUMPY[dtype]).itemsize:
        raise ValueError("its size does not fit its shape")
    return Tensor(dtype, tuple(shape), offset + start, end - start)
