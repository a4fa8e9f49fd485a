from __future__ import annotations

import re
from pathlib import Path

import pytest

from multiqa_integrations.benchmark.table import Column, Row, Table
from multiqa_integrations.cli.machine import describe_machine
from multiqa_integrations.errors import ConfigurationError
from tests.benchmark import page
from tests.benchmark.measures import MEASURES, Report
from tests.benchmark.settings import Settings

BENCHMARKS = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PAGE = """before
<!-- bench: encode, AVX2 -->
old
<!-- /bench -->
between
<!-- bench: encode, AMX -->
<!-- /bench -->
after
"""


def report(*tables: Table) -> Report:
    return Report(
        "2026-11-27T01:02:03", describe_machine(), {}, Settings(model="m"), [*tables], {}, False
    )


def encode(speed: float) -> Table:
    rows = [Row("multiqa | auto", {"texts/s": [speed]}), Row("a peer", note="not installed")]
    return Table("encode", "Encoding", [Column("texts/s", 1)], rows, ["A remark."])


def test_a_table_replaces_the_one_of_its_kind_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text(PAGE, encoding="utf-8")
    for speed in (1, 25):
        arguments = ["encode", "--texts", "/data/a.jsonl", "--python=onnx=/x/venv", "--json", "f"]
        page.write(file, report(encode(speed)), "AMX", arguments)
    text = file.read_text(encoding="utf-8")
    assert text.startswith(PAGE[: PAGE.index("<!-- bench: encode, AMX -->")])
    assert text.endswith("<!-- /bench -->\nafter\n")
    assert '`make bench ARGS="encode --texts a.jsonl --python=onnx=venv"`' in text
    assert "2026-11-27, " in text
    assert "|  | texts/s |  |\n| --- | --- | --- |\n| multiqa \\| auto | 25.0 |  |" in text
    assert "| a peer | – | not installed |\n\nA remark." in text
    assert "| 1.0 |" not in text


def test_a_page_without_a_place_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text(PAGE, encoding="utf-8")
    page.check(file, ["encode"], "AVX2")
    with pytest.raises(ConfigurationError, match=r"no place for search on AVX2. Put these two"):
        page.check(file, ["encode", "search"], "AVX2")
    with pytest.raises(ConfigurationError, match="is not a file"):
        page.check(tmp_path / "none.md", ["encode"], "AVX2")


def test_the_places_of_the_documentation_are_filled_by_their_commands() -> None:
    text = BENCHMARKS.read_text(encoding="utf-8")
    places = re.findall(
        r"<!-- bench: ([a-z-]+), [^>]+ -->\n(.*?)<!-- /bench -->", text, flags=re.DOTALL
    )
    assert len(places) == text.count("<!-- bench: ") == text.count("<!-- /bench -->") > 0
    for measure, block in places:
        assert measure in MEASURES
        assert re.search(
            rf'\n\d{{4}}-\d\d-\d\d, .*\n\n`make bench ARGS="{measure} ', f"\n{block}", re.DOTALL
        )
