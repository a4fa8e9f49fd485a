"""`multiqa encode`: lines or JSON lines in, vectors out."""

from __future__ import annotations

import contextlib
import gzip
import json
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any

import numpy as np
import typer

from multiqa_integrations.cli.options import EncoderOptions, options
from multiqa_integrations.errors import ConfigurationError, SourceError
from multiqa_integrations.types import OnTruncation

_Record = dict[str, Any]


@options
def encode(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A file of lines or .jsonl, also .gz, or - for standard input.",
        ),
    ],
    *,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .npy or .jsonl file, or - for JSON lines on standard output.",
        ),
    ] = "-",
    text_field: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="Field of each record that is encoded.",
            show_default="text for .jsonl; else every line is a text",
        ),
    ] = None,
    on_truncation: Annotated[
        OnTruncation, typer.Option(help="What to do about texts over the model's limit.")
    ] = "warn",
    encoder: EncoderOptions,
) -> None:
    """Encode texts as a stream: row i of the output is record i of the input."""
    if output != "-" and not output.endswith((".npy", ".jsonl")):
        raise ConfigurationError(f"--output is {output!r}, expected a .npy or .jsonl file, or -.")
    if text_field is None and source.removesuffix(".gz").endswith(".jsonl"):
        text_field = "text"
    made = encoder.encoder(on_truncation=on_truncation)
    waiting: deque[_Record] = deque()

    def texts() -> Iterator[str]:
        for record, text in _records(source, text_field):
            waiting.append(record)
            yield text

    vectors = made.encode_stream(texts(), show_progress=sys.stderr.isatty())
    with _writer(output, made.dimension) as write:
        for rows in vectors:
            write([waiting.popleft() for _ in rows], rows)


def _records(source: str, text_field: str | None) -> Iterator[tuple[_Record, str]]:
    with _open(source) as lines:
        for number, raw in enumerate(lines, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise SourceError(
                    f"line {number} of {source} is not UTF-8 ({error}). Convert it first.",
                    source=source,
                    line=number,
                ) from error
            if text_field is None:
                yield {"text": line}, line
                continue
            try:
                record = json.loads(line)
                text = record[text_field]
            except (ValueError, KeyError, TypeError) as error:
                raise SourceError(
                    f"line {number} of {source} is not a JSON object with the field "
                    f"{text_field!r} ({error!r}). Name the field with --text-field.",
                    source=source,
                    line=number,
                ) from error
            if not isinstance(text, str):
                raise SourceError(
                    f"{text_field!r} in line {number} of {source} is {text!r}, expected a string.",
                    source=source,
                    line=number,
                )
            yield record, text


@contextlib.contextmanager
def _open(source: str) -> Iterator[IO[bytes]]:
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        with gzip.open(source) if source.endswith(".gz") else Path(source).open("rb") as lines:
            yield lines  # type: ignore[misc]  # GzipFile reads like any binary file
    except (OSError, EOFError) as error:
        raise SourceError(f"{source} cannot be read ({error}).", source=source) from error


@contextlib.contextmanager
def _writer(output: str, dimension: int) -> Iterator[Any]:
    if output == "-":
        yield lambda records, rows: _write_json(sys.stdout, records, rows)
        sys.stdout.flush()
        return
    # Written beside its place and renamed when complete: no partial file is ever found there.
    partial = Path(f"{output}.partial")
    try:
        if output.endswith(".jsonl"):
            with partial.open("w", encoding="utf-8") as file:
                yield lambda records, rows: _write_json(file, records, rows)
        else:
            with partial.open("wb") as array:
                count = 0

                def write(records: list[_Record], rows: np.ndarray) -> None:
                    nonlocal count
                    count += len(rows)
                    array.write(np.ascontiguousarray(rows).data)

                _write_header(array, 0, dimension)
                yield write
                # The header leaves room for the count to grow, so that it stays as long.
                array.seek(0)
                _write_header(array, count, dimension)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


def _write_header(file: IO[bytes], count: int, dimension: int) -> None:
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f4", "fortran_order": False, "shape": (count, dimension)}
    )


def _write_json(file: IO[str], records: list[_Record], rows: np.ndarray) -> None:
    for record, row in zip(records, rows, strict=True):
        # The shortest decimals that give back the same float32.
        vector = [float(str(x)) for x in row]
        file.write(json.dumps({**record, "vector": vector}, ensure_ascii=False) + "\n")
