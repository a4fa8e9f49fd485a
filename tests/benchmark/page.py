"""Tables of a run in a page of the documentation, so that its figures are those that were measured.

A place in the page is a pair of comments, one for each measure and kind of processor:

    <!-- bench: query-latency, AVX-512 with bfloat16 -->
    <!-- /bench -->
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from multiqa_integrations.backends.cpu import cpu_features
from multiqa_integrations.benchmark.table import Table
from multiqa_integrations.cli.machine import render_machine
from multiqa_integrations.errors import ConfigurationError
from tests.benchmark.measures import Report

# The first one whose instructions a processor has.
_KINDS = {
    "AMX": {"amx_bf16"},
    "AVX-512 with bfloat16 and AVX-VNNI": {"avx512_bf16", "avx_vnni"},
    "AVX-512 with bfloat16": {"avx512_bf16"},
    "AVX-512 with VNNI": {"avx512_vnni"},
    "AVX-512": {"avx512f"},
    "AVX2": {"avx2"},
}
_END = "<!-- /bench -->"
_LEFT_OUT = ("--json", "--chart", "--exports", "--docs")


def kind_of(device: str) -> str:
    """Name what decides the speed of matrix products on the processor, or another device."""
    if device != "cpu":
        from multiqa_integrations.backends.torch_device import device_name

        return device_name(device)
    return next((kind for kind, needed in _KINDS.items() if needed <= cpu_features()), "other")


def check(page: Path, measures: Iterable[str], kind: str) -> None:
    """Check that a page has a place for each measure.

    Raises:
        ConfigurationError: There is no such page, or a place is missing.
    """
    if not page.is_file():
        raise ConfigurationError(f"{page} is not a file. Pass --docs docs/benchmarks.md.")
    text = page.read_text(encoding="utf-8")
    for measure in measures:
        begin = _begin(measure, kind)
        if _END not in text.partition(begin)[2]:
            raise ConfigurationError(
                f"{page} has no place for {measure} on {kind}. Put these two lines where its "
                f"tables belong:\n{begin}\n{_END}"
            )


def write(page: Path, report: Report, kind: str, arguments: Sequence[str]) -> None:
    """Replace what stands in the places of a report's measures.

    Args:
        page: A page that `check` has accepted.
        report: What was measured.
        kind: The kind of this processor.
        arguments: Those of the command.
    """
    measures = list(dict.fromkeys(table.measure for table in report.tables))
    check(page, measures, kind)
    text = page.read_text(encoding="utf-8")
    for measure in measures:
        tables = [table for table in report.tables if table.measure == measure]
        begin = _begin(measure, kind)
        head = f"{report.date[:10]}, {render_machine(report.machine)}\n\n`{_command(arguments)}`"
        block = "\n\n".join([begin, head, *map(_to_markdown, tables), _END])
        before, _, rest = text.partition(begin)
        text = before + block + rest.partition(_END)[2]
    page.write_text(text, encoding="utf-8")


def _begin(measure: str, kind: str) -> str:
    return f"<!-- bench: {measure}, {kind} -->"


def _to_markdown(table: Table) -> str:
    header, *rows = table.cells()
    lines = [header, ["---"] * len(header), *rows]
    shown = "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )
    return "\n\n".join([f"{table.title}:", shown, " ".join(table.captions())]).strip()


def _command(arguments: Sequence[str]) -> str:
    """Spell the command without the folders of this machine."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in _LEFT_OUT:
            next(words, None)
        elif word.startswith(tuple(f"{option}=" for option in _LEFT_OUT)):
            continue
        else:
            name, equals, path = word.rpartition("=")
            kept.append(f"{name}{equals}{Path(path).name if os.sep in path else path}")
    return f'make bench ARGS="{" ".join(kept)}"'
