"""What `multiqa encode` reads: the lines of a text, or a field of records."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from multiqa_integrations.errors import ConfigurationError, SourceError
from multiqa_integrations.etl.open_source import FORMATS, open_source
from multiqa_integrations.etl.records import Record, Source

_LINES = ("", ".txt", ".text")


def read_texts(source: str, text_field: str | None) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield records, each with its text.

    Raises:
        ConfigurationError: The source does not exist, or is neither records nor lines.
        SourceError: A record has no text.
    """
    suffix = Path(source.lower().removesuffix(".gz")).suffix
    if source != "-" and not Path(source).exists():
        raise ConfigurationError(f"there is no file {source!r}.")
    if source != "-" and Path(source).is_dir():
        raise ConfigurationError(
            f"source is the folder {source!r}, expected a file. multiqa sync reads folders."
        )
    if source != "-" and suffix in FORMATS:
        return _fields(open_source(source), text_field or "text")
    if text_field is not None:
        return _fields(open_source(source, format="jsonl"), text_field)
    if source != "-" and suffix not in _LINES:
        raise ConfigurationError(
            f"source ends in {suffix!r}, expected lines (.txt), or records ({', '.join(FORMATS)}), "
            "also .gz. Read any other file by lines from standard input: "
            f"multiqa encode - < {source}"
        )
    return _lines(source)


def _fields(source: Source, field: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    for item in source:
        place = f"line {item.line:,} of {source.name}"
        if not isinstance(item, Record):
            raise SourceError(f"{place}: {item.reason}.", source=source.name, line=item.line)
        record = cast(Mapping[str, Any], item.value)  # documents come from folders alone
        text = record.get(field)
        if not isinstance(text, str):
            found = "no such field" if field not in record else f"{type(text).__name__}"
            raise SourceError(
                f"{place}: the text is expected in {field!r}, found {found}. The record has "
                f"{', '.join(map(str, record)) or 'no fields'}; name one with --text-field.",
                source=source.name,
                line=item.line,
            )
        yield record, text


def _lines(source: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    with _open(source) as lines:
        for number, raw in enumerate(lines, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise SourceError(
                    f"line {number:,} of {source} is not UTF-8 ({error}). Convert it first.",
                    source=source,
                    line=number,
                ) from error
            yield {"text": line}, line


@contextmanager
def _open(source: str) -> Iterator[IO[bytes]]:
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        with (
            gzip.open(source)
            if source.lower().endswith(".gz")
            else Path(source).open("rb") as lines
        ):
            yield lines  # type: ignore[misc]  # GzipFile reads like any binary file
    except (OSError, EOFError) as error:
        raise SourceError(f"{source} cannot be read ({error}).", source=source) from error
