"""Open whatever a user has as a source of records."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

from multiqa_integrations._optional import require
from multiqa_integrations.errors import ConfigurationError, SourceError
from multiqa_integrations.etl import files
from multiqa_integrations.etl.delimited import Delimited
from multiqa_integrations.etl.folder import Folder
from multiqa_integrations.etl.objects import Objects, Table
from multiqa_integrations.etl.records import Format, Source

FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
"""The formats of files, by how their names end; `.gz` may follow."""


def open_source(source: object, *, format: Format | None = None, glob: str | None = None) -> Source:
    """Make a source of what a user has.

    Args:
        source: The path of a file (.jsonl, .ndjson, .csv, .tsv, also .gz; .parquet, .arrow,
            .feather) or of a folder of documents; "-" for standard input; or, in Python, an
            iterable of dicts, of `Document`s or of LangChain's documents, one of LangChain's
            loaders, a data set of Hugging Face, a table of pandas, Polars or Arrow, or any object
            with the members of `Source`.
        format: Says what a path is, where its name does not. Standard input is JSON lines.
        glob: Which files of a folder are read, such as "guides/**/*.md"; by default every .txt,
            .md, .html and .rst.

    Raises:
        SourceError: There is no such file.
        ConfigurationError: It is nothing of these, or an option does not go with it.
        MissingDependencyError: The extra `etl` is not installed.

    Examples:
        >>> [record.value["id"] for record in open_source([{"id": "a"}, {"id": "b"}])]
        ['a', 'b']
    """
    if format is not None and format not in get_args(Format):
        raise ConfigurationError(
            f"format is {format!r}, expected one of {', '.join(get_args(Format))}."
        )
    if isinstance(source, str | os.PathLike):
        return _open_path(os.fspath(source), format, glob)
    for name, value in (("format", format), ("glob", glob)):
        if value is not None:
            raise ConfigurationError(f"{name} goes with a path, not with {type(source).__name__}.")
    if isinstance(source, Source):
        return source
    # A column speaks Arrow's protocol since pandas 3 only; before, it is a mere iterable.
    if type(source).__module__.startswith("pandas") and not hasattr(source, "columns"):
        kind = type(source).__name__
        raise ConfigurationError(
            f"source is one column of pandas ({kind}), expected a table. Pass .to_frame()."
        )
    if hasattr(source, "__arrow_c_stream__") or hasattr(source, "__dataframe__"):
        return Table(source)
    if callable(load := getattr(source, "lazy_load", None)):
        return Objects(load(), type(source).__name__)
    if isinstance(source, Iterable) and not isinstance(source, bytes | bytearray | Mapping):
        return Objects(source, type(source).__name__)
    raise ConfigurationError(
        f"source is {type(source).__name__}, expected a path, an iterable of dicts or documents, "
        "a table, or a loader of LangChain."
    )


def _open_path(path: str, format: Format | None, glob: str | None) -> Source:
    if path == "-":
        stdin = sys.stdin.buffer
        if format in ("csv", "tsv"):
            return Delimited(stdin, "standard input", "\t" if format == "tsv" else ",")
        if format in (None, "jsonl"):
            return files.JsonLines(stdin, "standard input")
        raise ConfigurationError(
            f"standard input cannot be {format!r}, expected jsonl, csv or tsv. Give a file."
        )
    if not path:
        raise ConfigurationError("source is an empty path, expected a file, a folder or -.")
    if "://" in path:
        scheme = path.partition("://")[0]
        raise ConfigurationError(  # without the rest, which may have a password
            f"source is a URI ({scheme}://…), expected a file, a folder or - (standard input). "
            "Fetch it first, pipe it in, or let workers read it (--ray; distributed.sync)."
        )
    try:
        file = Path(path).expanduser()
        there = file.exists()
    except (OSError, RuntimeError) as error:  # no permission; "~" of nobody
        raise SourceError(f"{path!r} cannot be looked at ({error}).", source=path) from error
    if not there:
        raise SourceError(f"there is no file or folder {path!r}.", source=path)
    if format is not None and file.is_dir() != (format == "folder"):
        kind = "a folder" if file.is_dir() else "a file"
        raise ConfigurationError(f"{path!r} is {kind}, expected {format!r}.")
    if file.is_dir():
        return Folder(file, glob)
    if glob is not None:
        raise ConfigurationError(f"glob goes with a folder; {path!r} is a file.")
    known = format or format_of(path)
    if known in ("csv", "tsv"):
        return Delimited(file, path, "\t" if known == "tsv" else ",")
    if known == "jsonl":
        return files.JsonLines(file, path)
    require("pyarrow", purpose=f"reading {path}")
    return files.ArrowFile(file, path, known)


def format_of(name: str) -> Format:
    """Return the format of a file by its name.

    Raises:
        ConfigurationError: It ends in none that is known.
    """
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    try:
        return FORMATS[suffix]
    except KeyError:
        raise ConfigurationError(
            f"{name!r} ends in {suffix!r}, expected one of {', '.join(FORMATS)}. Say what "
            "it is with format (--format)."
        ) from None
