"""`multiqa doctor`: what is installed, what is chosen, and whether it works."""

from __future__ import annotations

import os
import time
from typing import Annotated

import numpy as np
import typer

from multiqa_integrations.backends import Compute, choose
from multiqa_integrations.backends.cpu import fastest_dtype, has_native_bfloat16
from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.job_file import read_job
from multiqa_integrations.cli.machine import describe_machine, render_processor
from multiqa_integrations.cli.options import AsJson, EncoderOptions, options
from multiqa_integrations.cli.variables import set_variables, without_user
from multiqa_integrations.errors import MultiQAError


@options
def doctor(
    *,
    job: Annotated[
        str | None,
        typer.Option(
            "--job", metavar="[FILE:]NAME", help="Show what this job of multiqa.toml says, too."
        ),
    ] = None,
    as_json: AsJson = False,
    encoder: EncoderOptions,
) -> None:
    """Show what is installed and what is set, and test it.

    Versions, the processor, the backend and why, environment variables, the model's files; encodes
    one text.

    Exits with status 1 if something that is needed does not work.
    """
    failed = False
    machine = describe_machine()
    rows = [
        ("Python", f"{machine['python']} on {machine['system']}"),
        *machine["versions"].items(),
        ("Processor", render_processor(machine)),
    ]
    try:
        compute = choose(encoder.backend, encoder.dtype, encoder.device)
        rows.append(("Computes with", f"{compute.backend}, {compute.dtype}, {compute.device}"))
        rows.append(("because", compute.reason))
        if compute.backend == "openvino":
            rows.append(("Fastest dtype", _fastest(compute)))
    except MultiQAError as error:
        failed = True
        rows.append(("Computes with", f"nothing: {error}"))
    rows.append(("Network", _network(encoder.offline)))
    rows += set_variables()
    if job is not None:
        file, settings = read_job(job)
        rows += [(f"{file}: {key}", without_user(str(value))) for key, value in settings.items()]
    try:
        checkpoint = encoder.checkpoint()
        rows += [
            ("Model", encoder.name),
            ("Files", str(checkpoint.directory)),
            ("Fingerprint", checkpoint.fingerprint),
            ("Limit", f"{checkpoint.spec.max_seq_length} word pieces"),
        ]
        if not failed:
            rows.append(("Works", _try(encoder)))
    except MultiQAError as error:
        failed = True
        rows.append(("Model", str(error)))
    if as_json:
        terminal.echo_json({"works": not failed, **dict(rows)})
    else:
        terminal.stdout().pairs(rows)
    if failed:
        raise typer.Exit(1)


def _fastest(compute: Compute) -> str:
    fastest = fastest_dtype()
    if fastest == compute.dtype:
        return f"{fastest}, this one"
    if fastest != "int8":
        return fastest
    in_bulk = "; in bulk about as fast as bfloat16" if has_native_bfloat16() else ""
    return f"int8, a little less exact{in_bulk} (see `multiqa bench encode`)"


def _network(offline: bool) -> str:
    if offline:
        return "off: --offline"
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE"):
            return f"off: {name} is set"
    endpoint = os.environ.get("HF_ENDPOINT")
    return f"on, hub at {endpoint}" if endpoint else "on"


def _try(options: EncoderOptions) -> str:
    encoder = options.encoder()
    start = time.perf_counter()
    encoder.load()
    loaded = time.perf_counter()
    vector = encoder.encode_query(["How many people live in London?"])[0]
    encoded = time.perf_counter()
    return (
        f"loaded in {loaded - start:.2f} s, a query in {(encoded - loaded) * 1000:.1f} ms, "
        f"vector of {len(vector)} numbers and length {np.linalg.norm(vector):.6f}"
    )
