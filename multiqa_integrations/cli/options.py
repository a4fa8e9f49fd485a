"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

Model = Annotated[
    Optional[str],  # noqa: UP045  (typer evaluates this on Python 3.10 too)
    typer.Option("--model", "-m", help="Hub name or directory.", show_default="the true model"),
]
Backend = Annotated[str, typer.Option(help="auto, openvino or sentence-transformers.")]
DType = Annotated[str, typer.Option(help="auto, float32, bfloat16, float16 or int8.")]
Device = Annotated[str, typer.Option(help="auto, cpu, or a torch device such as cuda:0.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
