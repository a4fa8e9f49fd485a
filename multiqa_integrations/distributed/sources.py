"""Find the files of a source, here and in object stores; only their metadata is read."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from multiqa_integrations._optional import require
from multiqa_integrations.distributed.found import Found, FoundFile, StoredFolder
from multiqa_integrations.distributed.object_stores import access_error, is_missing, reason
from multiqa_integrations.distributed.uris import (
    escaped,
    escaped_name,
    has_wildcard,
    matches,
    split_pattern,
    with_option,
    without_secrets,
)
from multiqa_integrations.errors import ConfigurationError, SourceError
from multiqa_integrations.etl.folder import SUFFIXES, Folder
from multiqa_integrations.etl.open_source import format_of
from multiqa_integrations.etl.records import Format

# Google's SDK would repeat a request for a quarter of an hour without a word.
_GOOGLE_RETRY_SECONDS = 30


def find(source: object, *, format: Format | None = None, glob: str | None = None) -> list[Found]:
    """Find what a source names, in the order in which it is read.

    Args:
        source: A path, a pattern, a URI that pyarrow's file systems reach, or a list of these.
        format: What files are, where their names do not say.
        glob: Which files of a folder are read.

    Raises:
        ConfigurationError: It is nothing of these.
        SourceError: There is no such file.
        SourceUnavailableError: The store that has it is away.
        SourcePermissionError: The store refuses to show it.
    """
    named = [source] if isinstance(source, str | os.PathLike) else source
    if not isinstance(named, list | tuple) or not named:
        raise ConfigurationError(_NOT_CUT.format(type(source).__name__))
    found: dict[tuple[int, str], Found] = {}
    stores: list[Any] = []
    for one in named:
        if not isinstance(one, str | os.PathLike):
            raise ConfigurationError(_NOT_CUT.format(f"a list with {type(one).__name__}"))
        path = os.fspath(one)
        if not path or path == "-":
            raise ConfigurationError(
                "source is standard input, which cannot be read in parts by several workers. Give "
                "a file that all of them reach, or leave Ray out (without --ray; etl.sync)."
            )
        for item in _remote(path, format, glob) if "://" in path else _local(path, format, glob):
            found.setdefault(_identity(item, stores), item)
    items = list(found.values())
    if glob is not None and all(isinstance(item, FoundFile) for item in items):
        raise ConfigurationError("glob goes with a folder, and the source has none.")
    return items


def _identity(item: Found, stores: list[Any]) -> tuple[int, str]:
    """Return what two names of one file have in common: the number of its store, and its path.

    Args:
        item: The file or the folder.
        stores: Those that were seen so far.
    """
    path = item.name if isinstance(item, Folder) else item.path
    filesystem = None if isinstance(item, Folder) else item.filesystem
    if filesystem is None or filesystem.type_name == "local":
        return -1, os.path.realpath(path)
    if filesystem not in stores:
        stores.append(filesystem)
    return stores.index(filesystem), path


_NOT_CUT = (
    "source is {}, expected a path, a pattern, a URI such as s3://bucket/file.parquet, a list of "
    "these, or a ray.data.Dataset: what workers read must be reachable from each of them. For "
    "objects of this process take etl.sync, or ray.data.from_items()."
)


def _local(path: str, format: Format | None, pattern: str | None) -> Iterator[Found]:
    expanded = os.path.expanduser(path)  # noqa: PTH111  (of nobody's "~" it makes no error)
    try:
        names = [expanded]
        if not Path(expanded).exists() and has_wildcard(expanded):
            names = sorted(glob.glob(expanded, recursive=True))  # noqa: PTH207  (absolute ones too)
        if not names or not all(Path(name).exists() for name in names):
            raise SourceError(f"there is no file or folder {path!r}.", source=path)
        for name in names:
            file = Path(name)
            if file.is_dir():
                if name == expanded:
                    _check_is_folder(path, format)
                    yield _folder(file, name, pattern)
                continue  # of a pattern, files alone are meant
            status = file.stat()
            yield FoundFile(
                name,
                str(file.absolute()),
                _format(name, format),
                status.st_size,
                status.st_mtime_ns,
            )
    except OSError as error:
        raise SourceError(f"{path!r} cannot be looked at ({error}).", source=path) from error


def _folder(file: Path, name: str, pattern: str | None) -> Folder:
    folder = Folder(file.absolute(), pattern)
    folder.name = name
    if pattern is None and not len(folder):
        _check_no_data(name, [entry.name for entry in file.iterdir()])
    return folder


def _remote(uri: str, format: Format | None, pattern: str | None) -> Iterator[Found]:
    shown = without_secrets(uri)
    require("pyarrow", purpose=f"reading {shown}")
    import pyarrow
    from pyarrow import fs

    folder, wanted = split_pattern(uri)
    try:
        filesystem, path = _filesystem(escaped(folder))
        path = path.rstrip("/")
        if not path:
            raise ConfigurationError(
                f"source is {shown!r}, expected a bucket or a folder before any wildcard, such as "
                "s3://bucket/*.jsonl."
            )
        if wanted:
            selector = fs.FileSelector(path, recursive="**" in wanted or "/" in wanted)
            infos = sorted(filesystem.get_file_info(selector), key=lambda info: info.path)
            start = len(path) + 1
            infos = [i for i in infos if i.is_file and matches(i.path[start:], wanted)]
            names = [
                f"{without_secrets(folder)}{escaped_name(info.path[start:])}" for info in infos
            ]
        else:
            infos, names = [filesystem.get_file_info(path)], [shown]
        if not infos or infos[0].type == fs.FileType.NotFound:
            raise SourceError(f"there is no file or folder {shown!r}.", source=shown)
        if infos[0].type == fs.FileType.Directory:
            _check_is_folder(shown, format)
            yield _stored_folder(shown, path, filesystem, pattern)
            return
        for info, name in zip(infos, names, strict=True):
            yield FoundFile(
                name, info.path, _format(name, format), info.size, info.mtime_ns, filesystem
            )
    except (OSError, pyarrow.ArrowException) as error:
        hidden = [escaped(uri), uri, escaped(folder), folder]
        why = reason(error, hidden=hidden, shown=shown)
        if isinstance(error, pyarrow.ArrowInvalid):
            raise ConfigurationError(
                f"source is {shown!r}, expected a path, or a URI that pyarrow reads, such as "
                f"s3://, gs:// or file:// ({why})."
            ) from error
        if is_missing(error):
            raise SourceError(
                f"there is no file or folder {shown!r} ({why}).", source=shown
            ) from error
        failure = access_error(shown, error)
        if failure is None:
            failure = SourceError(f"{shown!r} cannot be looked at ({why}).", source=shown)
        raise failure from error


def _stored_folder(name: str, base: str, filesystem: Any, pattern: str | None) -> StoredFolder:
    from pyarrow import fs

    infos = filesystem.get_file_info(fs.FileSelector(base, recursive=True))
    start = len(base) + 1
    paths = sorted(
        (info.path[start:] for info in infos if info.is_file),
        key=lambda path: PurePosixPath(path).parts,  # as `Folder` does
    )
    visible = [path for path in paths if not any(p.startswith(".") for p in path.split("/"))]
    if pattern is None:
        documents = [path for path in visible if path.lower().endswith(SUFFIXES)]
        if not documents:
            _check_no_data(name, visible)
    else:
        documents = [path for path in visible if matches(path, pattern)]
        for path in documents:
            if not path.lower().endswith(SUFFIXES):
                raise ConfigurationError(
                    f"{pattern!r} selects {path} too, expected {', '.join(SUFFIXES)} only."
                )
    return StoredFolder(name, base, filesystem, documents)


@lru_cache(maxsize=64)
def _filesystem(uri: str) -> tuple[Any, str]:
    from pyarrow import fs

    if uri.startswith(("gs://", "gcs://")):
        uri = with_option(uri, "retry_limit_seconds", _GOOGLE_RETRY_SECONDS)
    filesystem, path = fs.FileSystem.from_uri(uri)
    return filesystem, path


def _check_is_folder(path: str, format: Format | None) -> None:
    if format not in (None, "folder"):
        raise ConfigurationError(f"{path!r} is a folder, expected {format!r}.")


def _check_no_data(folder: str, names: Sequence[str]) -> None:
    """Refuse a folder that has data files in place of documents.

    Raises:
        ConfigurationError: It has.
    """
    for name in names:
        try:
            format_of(name)
        except ConfigurationError:
            continue
        ending = name[name.index(".", name.rfind("/") + 1) :]
        below = "**/" if "/" in name else ""
        raise ConfigurationError(
            f"the folder {folder!r} has no documents ({', '.join(SUFFIXES)}), but files such as "
            f"{name}. Give them by a pattern: '{folder.rstrip('/')}/{below}*{ending}'."
        )


def _format(name: str, format: Format | None) -> Format:
    if format == "folder":
        raise ConfigurationError(f"{name!r} is a file, expected {format!r}.")
    return format or format_of(name)
