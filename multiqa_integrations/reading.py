"""Read the files of a checkpoint that may come from anywhere.

Nothing in such a file, no size, number or nesting, may cost more than a look at it.
"""

from __future__ import annotations

import json
import stat
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

from multiqa_integrations.errors import ModelIntegrityError

SETTINGS_LIMIT = 1_000_000
"""Most bytes of a file of settings; those of a real checkpoint have some hundred."""


def open_file(file: Path, *, limit: int) -> BinaryIO:
    """Open a regular file of a bounded size, for reading.

    Raises:
        OSError: It cannot be opened.
        ModelIntegrityError: It is too large, or is not a regular file: opening a named pipe waits
            for ever.
    """
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ModelIntegrityError(f"{file} is not a regular file. Fetch the checkpoint again.")
    if status.st_size > limit:
        raise ModelIntegrityError(
            f"{file} has {status.st_size:,} bytes, expected at most {limit:,}. It is not that of "
            "a checkpoint that can be used here; fetch the checkpoint again."
        )
    return file.open("rb", buffering=0)


def read_json(file: Path, *, limit: int = SETTINGS_LIMIT) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: It is missing.
        ModelIntegrityError: It cannot be read, is not JSON, or is too large or nested too deep.
    """
    try:
        with open_file(file, limit=limit) as stream:
            return parse_json(stream.read(limit))
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (ValueError, OSError) as error:
        raise ModelIntegrityError(
            f"{file} cannot be read as JSON ({error}). Fetch the checkpoint again."
        ) from error


def parse_json(content: bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: It is not JSON, or nested too deep.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of JSON, as `object_pairs_hook`: JSON itself keeps the last of two values.

    Raises:
        ValueError: Two of its keys are the same.
    """
    result = dict(pairs)
    if len(result) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {twice!r} is there twice")
    return result


# Made once: `json.loads` makes one for each record, which takes as long as decoding a short one.
_decoder = json.JSONDecoder(object_pairs_hook=unique_keys)


def decode_record(text: str) -> Any:
    """Decode a record of JSON, in which no key may be there twice.

    Raises:
        json.JSONDecodeError: It is not JSON.
        ValueError: A key is there twice, or an integer has too many digits.
        RecursionError: It is nested too deep.

    Examples:
        >>> decode_record('{"text": "A door.", "text": ""}')
        Traceback (most recent call last):
        ...
        ValueError: the key 'text' is there twice
    """
    if text.startswith("\ufeff"):
        raise json.JSONDecodeError("it begins with a byte order mark", text, 0)
    return _decoder.decode(text)
