"""No packet leaves and no file appears in HOME unless the user asked for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.support.installed import needs_torch
from tests.support.listening_proxy import WatchedMachine
from tests.support.retrieval_set import MakeSet

ENCODE = (
    "import sys\n"
    "from multiqa_integrations import MultiQAEncoder\n"
    "encoder = MultiQAEncoder(sys.argv[1], backend=sys.argv[2], local_files_only=True)\n"
    "assert encoder.encode_query(['x']).shape == (1, 384)\n"
)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[WatchedMachine]:
    (tmp_path / "home").mkdir()
    machine = WatchedMachine(tmp_path / "home")
    yield machine
    machine.close()


def assert_quiet(machine: WatchedMachine, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert machine.calls == []
    assert machine.files_in_home() == []


def test_the_machine_notices(machine: WatchedMachine) -> None:
    """What the others assert could be true of a machine that notices nothing."""
    done = machine.run(
        sys.executable,
        "-c",
        "import pathlib, urllib.request\n"
        "pathlib.Path.home().joinpath('file').touch()\n"
        "try:\n"
        "    urllib.request.urlopen('https://example.org', timeout=9)\n"
        "except OSError:\n"
        "    pass\n",
    )
    assert done.returncode == 0, done.stderr
    assert [call.rpartition(" ")[0] for call in machine.calls] == ["CONNECT example.org:443"]
    assert [path.name for path in machine.files_in_home()] == ["file"]


@pytest.mark.parametrize("offline", [True, False])
def test_openvino(machine: WatchedMachine, test_model: Path, offline: bool) -> None:
    command = (sys.executable, "-c", ENCODE, str(test_model), "openvino")
    assert_quiet(machine, machine.run(*command, offline=offline))


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize(
    "backend", ["torch", pytest.param("sentence-transformers", marks=pytest.mark.soak)]
)
def test_torch(machine: WatchedMachine, test_model: Path, backend: str) -> None:
    command = (sys.executable, "-c", ENCODE, str(test_model), backend)
    assert_quiet(machine, machine.run(*command, offline=False))


def commands(test_model: Path, tmp_path: Path) -> Iterator[list[str]]:
    rows = [{"id": str(i), "text": f"Sentence {i} is about salt."} for i in range(3)]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    letters = tmp_path / "letters.jsonl"
    letters.write_text("", encoding="utf-8")
    store = ["--path", str(tmp_path / "store")]
    for arguments in (
        ["doctor"],
        ["encode", str(source), "-o", str(tmp_path / "vectors.npy")],
        ["sync", str(source), "--collection", "docs", *store],
        ["search", "docs", "salt", *store],
        ["plan", str(source), "--collection", "docs", *store],
        ["replay", str(letters), "--collection", "docs", *store],
        ["verify", str(source), "--collection", "docs", *store],
        ["demo", "--ask", "How do I exit?"],
        ["bench", "encode", "--samples", "20", "--rounds", "1"],
    ):
        yield [*arguments, "--model", str(test_model)]


@pytest.mark.slow
@pytest.mark.parametrize("count", [4, pytest.param(9, marks=pytest.mark.soak)])
def test_the_command_line(
    machine: WatchedMachine, test_model: Path, tmp_path: Path, count: int
) -> None:
    for arguments in islice(commands(test_model, tmp_path), count):
        assert_quiet(machine, machine.run(sys.executable, "-m", "multiqa_integrations", *arguments))


LLAMA_INDEX = (
    "import sys\n"
    "from llama_index.core import StorageContext, VectorStoreIndex\n"
    "from llama_index.core.schema import TextNode\n"
    "from multiqa_integrations.llama_index import MultiQAEmbedding, MultiQAVectorStore\n"
    "embedding = MultiQAEmbedding(model_name=sys.argv[1])\n"
    "with MultiQAVectorStore('docs', path=sys.argv[2], embedding=embedding) as vectors:\n"
    "    context = StorageContext.from_defaults(vector_store=vectors)\n"
    "    nodes = [TextNode(text='Salt is white.'), TextNode(text='Coal is black.')]\n"
    "    index = VectorStoreIndex(nodes, storage_context=context, embed_model=embedding)\n"
    "    (hit,) = index.as_retriever(similarity_top_k=1).retrieve('Which colour has salt?')\n"
    "    assert hit.text == 'Salt is white.'\n"
)


@pytest.mark.slow
def test_llama_index(machine: WatchedMachine, test_model: Path, tmp_path: Path) -> None:
    command = (sys.executable, "-c", LLAMA_INDEX, str(test_model), str(tmp_path / "store"))
    assert_quiet(machine, machine.run(*command, offline=False))


@pytest.mark.slow
def test_an_evaluation_with_plots(
    machine: WatchedMachine, test_model: Path, make_set: MakeSet, tmp_path: Path
) -> None:
    command = (sys.executable, "-m", "multiqa_integrations", "evaluate", str(make_set("first")))
    page = tmp_path / "report.html"
    assert_quiet(machine, machine.run(*command, "--model", str(test_model), "--html", str(page)))
    assert page.exists()


@pytest.mark.slow
def test_a_cluster_of_this_machine(machine: WatchedMachine) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    script = (
        "import sys\n"
        "from multiqa_integrations.distributed.ray import RayPool\n"
        "for _ in range(2):\n"
        "    with RayPool('local', workers=1):\n"
        "        import time; time.sleep(4)\n"  # until what Ray starts beside it has begun
    )
    assert_quiet(machine, machine.run(sys.executable, "-c", script, offline=False))


def test_telemetry_of_openvino_is_the_users_own_elsewhere(test_model: Path) -> None:
    """Hidden from our import alone: neither from others nor where OpenVINO was there before."""
    script = (
        "import sys\n"
        "from multiqa_integrations.backends import openvino_import\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
        "import openvino_telemetry\n"
        "assert openvino_import.ov.convert_model\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
