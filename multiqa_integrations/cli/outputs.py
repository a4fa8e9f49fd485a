"""Make sure that what a command writes can be written, before it begins to work."""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path

from multiqa_integrations.errors import ConfigurationError


def check_file(file: Path, option: str, *, creates_folder: bool = False) -> None:
    """Make sure that a file can be written or replaced.

    Args:
        file: The file; it need not exist.
        option: What named it, for the message.
        creates_folder: Whether the command creates the folder that the file is in.

    Raises:
        ConfigurationError: It cannot.
    """
    file = file.expanduser()
    if _is_dir(file):
        raise ConfigurationError(f"{option} is the folder {str(file)!r}, expected a file.")
    if file.exists() and not os.access(file, os.W_OK):
        raise ConfigurationError(f"{option}: {str(file)!r} is not writable.")
    _check_parent(file, option, creates_folder)


def check_folder(folder: Path, option: str) -> None:
    """Make sure that files can be written into a folder, or that it can be created.

    Raises:
        ConfigurationError: They cannot.
    """
    folder = folder.expanduser()
    if _is_dir(folder):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigurationError(f"{option}: the folder {str(folder)!r} is not writable.")
    elif folder.exists():
        raise ConfigurationError(f"{option} is the file {str(folder)!r}, expected a folder.")
    else:
        _check_parent(folder, option, creates_folder=True)


def keep_fonts_out_of_home() -> None:
    """Let matplotlib keep its list of fonts in a temporary folder instead, while this process runs.

    One that the user names for it (MPLCONFIGDIR) is used. To be called before it is imported.
    """
    if "MPLCONFIGDIR" not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="multiqa-fonts-", ignore_cleanup_errors=True)
        atexit.register(folder.cleanup)
        os.environ["MPLCONFIGDIR"] = folder.name


def _check_parent(path: Path, option: str, creates_folder: bool) -> None:
    parent = path.absolute().parent
    while creates_folder and not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.exists():
        raise ConfigurationError(
            f"{option}: {str(path)!r} cannot be written, there is no folder {str(parent)!r}. "
            "Create it first."
        )
    if not _is_dir(parent):
        raise ConfigurationError(
            f"{option}: {str(path)!r} cannot be written, {str(parent)!r} is not a folder."
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"{option}: {str(path)!r} cannot be written, the folder {str(parent)!r} is not "
            "writable. Name a file elsewhere, or let this user write there."
        )


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:  # such as a name that is too long
        raise ConfigurationError(
            f"{str(path)!r} cannot be looked at ({error.strerror}). Name a place elsewhere."
        ) from error
