"""`multiqa doctor`: what is installed, what is chosen, and whether it works."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from multiqa_integrations import __version__
from multiqa_integrations.backends import choose
from multiqa_integrations.backends.cpu import available_cpus, cpu_features
from multiqa_integrations.checkpoint import resolve
from multiqa_integrations.cli.options import Backend, Device, DType, Model, Offline
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import MultiQAError
from multiqa_integrations.model import MULTI_QA

_PACKAGES = (
    "numpy",
    "tokenizers",
    "safetensors",
    "huggingface-hub",
    "openvino",
    "sentence-transformers",
    "torch",
    "qdrant-edge-py",
    "qdrant-client",
)
_TELLING_FEATURES = "avx2 avx512f avx512_bf16 avx512_vnni avx_vnni amx_bf16 amx_int8".split()


def doctor(
    model: Model = None,
    backend: Backend = "auto",
    dtype: DType = "auto",
    device: Device = "auto",
    offline: Offline = False,
) -> None:
    """Show versions, the processor, the backend and why, the model's files; encode one text.

    Exits with status 1 if something that is needed does not work.
    """
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    failed = False
    table.add_row("multiqa-integrations", __version__)
    table.add_row("Python", f"{platform.python_version()} on {platform.platform()}")
    for package in _PACKAGES:
        table.add_row(package, _version(package))
    features = [name for name in _TELLING_FEATURES if name in cpu_features()]
    table.add_row(
        "Processor",
        f"{available_cpus()} usable; {', '.join(features) or 'instruction sets unknown'}",
    )
    try:
        compute = choose(backend, dtype, device)  # type: ignore[arg-type]  # checked by choose()
        table.add_row("Computes with", f"{compute.backend}, {compute.dtype}, {compute.device}")
        table.add_row("because", compute.reason)
    except MultiQAError as error:
        failed = True
        table.add_row("Computes with", f"[red]nothing:[/red] {error}")
    table.add_row("Network", _network(offline))
    name = model or MULTI_QA.name
    try:
        checkpoint = resolve(name, local_files_only=offline)
        table.add_row("Model", name)
        table.add_row("Files", str(checkpoint.directory))
        table.add_row("Fingerprint", checkpoint.fingerprint)
        table.add_row("Limit", f"{checkpoint.spec.max_seq_length} word pieces")
        if not failed:
            table.add_row("Works", _try(name, backend, dtype, device, offline))
    except MultiQAError as error:
        failed = True
        table.add_row("Model", f"[red]{name}:[/red] {error}")
    Console(highlight=False).print(table)
    if failed:
        raise typer.Exit(1)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "[dim]not installed[/dim]"


def _network(offline: bool) -> str:
    if offline:
        return "off: --offline"
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE"):
            return f"off: {name} is set"
    endpoint = os.environ.get("HF_ENDPOINT")
    return f"on, hub at {endpoint}" if endpoint else "on"


def _try(name: str, backend: str, dtype: str, device: str, offline: bool) -> str:
    encoder = MultiQAEncoder(
        name,
        backend=backend,  # type: ignore[arg-type]  # checked by the encoder
        dtype=dtype,  # type: ignore[arg-type]
        device=device,
        local_files_only=offline,
    )
    start = time.perf_counter()
    encoder.load()
    loaded = time.perf_counter()
    vector = encoder.encode_query(["How many people live in London?"])[0]
    encoded = time.perf_counter()
    return (
        f"loaded in {loaded - start:.2f} s, a query in {(encoded - loaded) * 1000:.1f} ms, "
        f"vector of {len(vector)} numbers and length {np.linalg.norm(vector):.6f}"
    )
