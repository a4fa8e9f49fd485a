"""Whatever package of whatever extra is missing: one line that installs it."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.retrieval_set import write_set

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
NOT_FOR_USERS = ("all", "dev")

HIDE = """
import contextlib, io, json, sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

hidden = sys.argv[1].split(",")
sys.meta_path.insert(0, Hide())
from multiqa_integrations.__main__ import main

results = []
for door in json.loads(sys.stdin.read()):
    errors = io.StringIO()
    status = 0
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            if isinstance(door, str):
                exec(door, {})
            else:
                sys.argv = ["multiqa", *door]
                main()
        except SystemExit as end:
            status = end.code
        except ImportError as error:
            status = f"error: {type(error).__name__} {error}"
    status, text = (1, status) if isinstance(status, str) else (status, errors.getvalue())
    results.append((door, status, text, output.getvalue()))
print(json.dumps(results))
"""


def packages() -> list[tuple[str, str]]:
    """The packages of every extra, each with the extra that installs it first."""
    tomllib = pytest.importorskip("tomllib")
    extras = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    found: dict[str, str] = {}
    for extra in (name for name in extras if name not in NOT_FOR_USERS):
        for requirement in extras[extra]:
            distribution = re.split(r"[\[<>=!~; ]", requirement)[0]
            if distribution != "multiqa-integrations":
                found.setdefault(distribution, extra)
    return list(found.items())


EVALUATE = ["evaluate", "{set}", "--against", "dtype=int8"]
TRAIN = "from multiqa_integrations.training import train; train([], '{folder}/model')"
PAGE = ["evaluate", "{set}", "--html", "{folder}/page.html"]
# Commands, and statements of Python, that cannot do without the package.
DOORS: dict[str, list[str | list[str]]] = {
    "torch": [["doctor", "--backend", "sentence-transformers", "-m", "{folder}"]],
    "sentence-transformers": [["doctor", "--backend", "sentence-transformers", "-m", "{folder}"]],
    "qdrant-client": [["collection", "list", "--url", "http://127.0.0.1:9"]],
    "qdrant-edge-py": [["collection", "list", "--path", "{folder}"]],
    "langchain-core": ["from multiqa_integrations.langchain import MultiQAVectorStore"],
    "langchain-text-splitters": [
        "from multiqa_integrations.langchain import WordPieceTextSplitter"
    ],
    "llama-index-core": ["from multiqa_integrations.llama_index import MultiQAEmbedding"],
    "pyarrow": [
        ["encode", "{folder}/rows.parquet"],
        ["plan", "{folder}/rows.parquet", "-c", "docs", "--path", "{folder}"],
    ],
    "beautifulsoup4": [["plan", "{folder}", "-c", "docs", "--path", "{folder}"]],
    "ray": [
        ["sync", "{set}/corpus.jsonl", "-c", "docs", "--url", "http://127.0.0.1:9", "--ray"],
    ],
    "typer": [["--version"]],
    "rich": [["--version"]],
    "ir-measures": [EVALUATE],
    "pytrec-eval-terrier": [EVALUATE],
    "scipy": [EVALUATE],
    "jinja2": [PAGE],
    "matplotlib": [PAGE],
    "accelerate": [TRAIN],
    "datasets": [TRAIN],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doors")
    (folder / "page.html").write_text("<p>The red button stops it.</p>", encoding="utf-8")
    (folder / "rows.parquet").write_bytes(b"PAR1")
    write_set(folder / "set")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("distribution", "extra"), packages(), ids=lambda value: str(value))
def test_a_missing_package_is_one_line(distribution: str, extra: str, folder: Path) -> None:
    provided = importlib.metadata.packages_distributions()
    modules = [
        module
        for module, owners in provided.items()
        if distribution in (re.sub(r"[-_.]+", "-", owner).lower() for owner in owners)
    ]
    if not modules:
        pytest.skip(f"{distribution} is not installed")
    doors = json.dumps(DOORS[distribution])
    doors = doors.replace("{folder}", str(folder)).replace("{set}", str(folder / "set"))
    process = subprocess.run(
        [sys.executable, "-c", HIDE, ",".join(modules)],
        input=doors,
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    for door, status, error, output in json.loads(process.stdout):
        shown = error + output
        assert status in (1, 2, 5), (door, shown)
        assert "Traceback" not in shown, (door, shown)
        (line,) = [line for line in shown.splitlines() if "pip install" in line]
        assert f"'multiqa-integrations[{extra}]'" in line, (door, line)
