"""A weights file mapped into memory, so that all models made of it share one copy."""

from __future__ import annotations

import json
import mmap
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# How safetensors calls what numpy has: https://huggingface.co/docs/safetensors
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


class MappedTensors:
    """The tensors of a safetensors file, as views of the file.

    As everywhere where weights are mapped, the file may be replaced, but not written into, while
    it is in use.
    """

    def __init__(self, file: Path) -> None:
        """Map a file whose header safetensors has found to be right."""
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            self._header = json.loads(stream.read(length))
            # Of a copy on write: OpenVINO takes over no memory that is read-only.
            self._memory = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        self._start = 8 + length

    def read(self, name: str) -> NDArray[np.float32]:
        """Give a tensor; do not write into it.

        Raises:
            TypeError: It is of a type that numpy does not have, such as bfloat16.
        """
        tensor = self._header[name]
        if tensor["dtype"] not in _TYPES:
            raise TypeError(f"{name} is of type {tensor['dtype']}")
        begin, end = tensor["data_offsets"]
        kind = np.dtype(_TYPES[tensor["dtype"]])
        stored = np.frombuffer(
            self._memory, kind, (end - begin) // kind.itemsize, self._start + begin
        )
        values: NDArray[np.float32] = stored.astype(np.float32, copy=False)
        values.shape = tuple(tensor["shape"])
        return values

    def release(self) -> None:
        """Give back the memory of what has been read; it is read from the file again if need be."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._memory.madvise(mmap.MADV_DONTNEED)


def map_tensors(file: Path) -> MappedTensors:
    """Map a file; as long as it stays the same, all get the same memory."""
    stat = file.stat()
    return _map(file, (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=1)
def _map(file: Path, identity: tuple[int, ...]) -> MappedTensors:
    return MappedTensors(file)
