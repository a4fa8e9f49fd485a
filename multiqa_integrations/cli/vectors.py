"""What `multiqa encode` writes: vectors, as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.outputs import check_file
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.private_files import replacing

Write: TypeAlias = Callable[[Sequence[Mapping[str, Any]], npt.NDArray[np.float32]], None]


@contextmanager
def open_output(output: str, dimension: int) -> Iterator[Write]:
    """Open a .npy or .jsonl file, or standard output ("-"), for rows of vectors.

    A file is written beside its place and renamed when complete: no partial file is ever found.
    A new one is its owner's alone, for it may have the texts beside the vectors.

    Raises:
        ConfigurationError: It is another kind of file, or cannot be written.
    """
    if output == "-":
        yield _json_lines(terminal.echo)
        return
    if not output.endswith((".npy", ".jsonl")):
        raise ConfigurationError(f"--output is {output!r}, expected a .npy or .jsonl file, or -.")
    check_file(Path(output), "--output")
    with replacing(output) as file:
        if output.endswith(".jsonl"):
            yield _json_lines(lambda line: file.write(line.encode() + b"\n"))
            return
        count = 0

        def write(_: object, rows: npt.NDArray[np.float32]) -> None:
            nonlocal count
            count += len(rows)
            file.write(np.ascontiguousarray(rows).data)

        _write_header(file, 0, dimension)
        yield write
        # The header leaves room for the count to grow, so that it stays as long.
        file.seek(0)
        _write_header(file, count, dimension)


def _write_header(file: IO[bytes], count: int, dimension: int) -> None:
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f4", "fortran_order": False, "shape": (count, dimension)}
    )


def _json_lines(write_line: Callable[[str], object]) -> Write:
    def write(records: Sequence[Mapping[str, Any]], rows: npt.NDArray[np.float32]) -> None:
        for record, row in zip(records, rows, strict=True):
            # The shortest decimals that give back the same float32.
            vector = [float(str(x)) for x in row]
            try:
                line = terminal.to_json({**record, "vector": vector})
            except TypeError as error:  # such as bytes of a Parquet file
                raise ConfigurationError(
                    f"a record cannot be written as JSON ({error}). Write a .npy file."
                ) from error
            write_line(line)

    return write
