"""`multiqa encode`: texts in, vectors out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.options import AsJson, EncoderOptions, options
from multiqa_integrations.cli.texts import read_texts
from multiqa_integrations.cli.vectors import open_output
from multiqa_integrations.types import OnTruncation


@options
def encode(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Lines (.txt), or records (.jsonl, .csv, .tsv, .parquet, .arrow), also .gz; "
            "- for lines of standard input, or its JSON lines if --text-field is given.",
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
            show_default="text for records",
        ),
    ] = None,
    on_truncation: Annotated[
        OnTruncation, typer.Option(help="What to do about texts over the model's limit.")
    ] = "warn",
    as_json: AsJson = False,
    encoder: EncoderOptions,
) -> None:
    """Encode texts into vectors.

    Row i of the output is text i. Memory stays the same however many there are.
    """
    texts = read_texts(source, text_field)
    made = encoder.encoder(on_truncation=on_truncation)
    waiting: deque[Mapping[str, Any]] = deque()
    count, start = 0, time.perf_counter()

    def remembered() -> Iterator[str]:
        for record, text in texts:
            waiting.append(record)
            yield text

    with open_output(output, made.dimension) as write:
        for rows in made.encode_stream(remembered(), show_progress=terminal.shows_progress()):
            write([waiting.popleft() for _ in rows], rows)
            count += len(rows)
    summary = {
        "output": output,
        "vectors": count,
        "dimension": made.dimension,
        "model": made.spec.name,
        "fingerprint": made.fingerprint,
        "seconds": round(time.perf_counter() - start, 3),
    }
    place = terminal.stderr() if output == "-" else terminal.stdout()
    if as_json:
        place.print(terminal.to_json(summary))
    else:
        name = "standard output" if output == "-" else output
        place.print(
            f"{name}: {terminal.count(count, 'vector')} of {made.dimension} numbers, by "
            f"{made.spec.name}, in {summary['seconds']:,.1f} s"
        )
