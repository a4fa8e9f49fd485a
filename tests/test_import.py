"""What an import costs, and which library is loaded by what. Each in a process of its own."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import multiqa_integrations
from multiqa_integrations import langchain, llama_index

HEAVY = {
    "huggingface_hub",
    "langchain_core",
    "llama_index",
    "numpy",
    "openvino",
    "qdrant_client",
    "qdrant_edge",
    "safetensors",
    "sentence_transformers",
    "tokenizers",
    "torch",
    "tqdm",
    "transformers",
}


def loaded_by(script: str, **values: str) -> set[str]:
    """Run a script, and return the packages of `HEAVY` that it has loaded."""
    lines = [
        "import os, sys",
        "environment = dict(os.environ)",
        *(f"{name} = {value!r}" for name, value in values.items()),
        script,
        "assert environment == dict(os.environ), 'the environment was changed'",
        "print(sorted({name.partition('.')[0] for name in sys.modules}))",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return HEAVY & set(ast.literal_eval(done.stdout.splitlines()[-1]))


def test_the_package_alone_loads_nothing() -> None:
    assert loaded_by("import multiqa_integrations, multiqa_integrations.errors") == set()


def test_making_an_encoder_loads_no_model_library() -> None:
    loaded = loaded_by("from multiqa_integrations import MultiQAEncoder; MultiQAEncoder()")
    assert loaded <= {"numpy", "tokenizers"}


def test_openvino_needs_no_torch_and_a_directory_no_hub(test_model: Path) -> None:
    loaded = loaded_by(
        "from multiqa_integrations import MultiQAEncoder\n"
        "encoder = MultiQAEncoder(directory, backend='openvino')\n"
        "assert encoder.encode(['a']).shape == (1, 384)\n"
        "assert encoder.fingerprint",
        directory=str(test_model),
    )
    assert loaded == {"numpy", "openvino", "tokenizers"}


def test_auto_loads_no_torch_where_there_is_no_accelerator(test_model: Path) -> None:
    loaded = loaded_by(
        "os.environ['CUDA_VISIBLE_DEVICES'] = environment['CUDA_VISIBLE_DEVICES'] = ''\n"
        "from multiqa_integrations import MultiQAEncoder, backends\n"
        "backends._has_amd_gpu = backends._is_apple_silicon = lambda: False\n"
        "encoder = MultiQAEncoder(directory).load()\n"
        "assert encoder.compute.backend == 'openvino'",
        directory=str(test_model),
    )
    assert "openvino" in loaded
    assert not loaded & {"torch", "sentence_transformers", "transformers"}


def test_a_sync_into_an_embedded_collection_needs_no_client(tmp_path: Path) -> None:
    loaded = loaded_by(
        "from multiqa_integrations.etl import sync\n"
        "from multiqa_integrations.testing import FakeEncoder\n"
        "rows = [{'id': '1', 'text': 'Salt is made of sea water.'}]\n"
        "for added in (1, 0):\n"
        "    report = sync(rows, 'docs', path=directory, encoder=FakeEncoder(), prune=True)\n"
        "    assert (report.added, report.unchanged) == (added, 1 - added)",
        directory=str(tmp_path / "store"),
    )
    assert "qdrant_edge" in loaded
    assert "qdrant_client" not in loaded


PACKAGES = [multiqa_integrations, langchain, llama_index]
MISSING = [
    # Name, the package that is not installed, the extra that the error names.
    ("langchain.MultiQAEmbeddings", "langchain_core", "langchain"),
    ("langchain.MultiQAVectorStore", "langchain_core", "langchain"),
    ("langchain.WordPieceTextSplitter", "langchain_text_splitters", "langchain"),
    ("llama_index.MultiQAEmbedding", "llama_index.core", "llama-index"),
    ("llama_index.MultiQAVectorStore", "llama_index.core", "llama-index"),
]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_is_there(package: ModuleType) -> None:
    for name in package.__all__:
        value = getattr(package, name)
        assert value is not None
        assert getattr(package, name) is value
        assert name in dir(package)
        if isinstance(value, type):
            assert pickle.loads(pickle.dumps(value)) is value
    assert dir(package) == sorted(set(dir(package)))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_type_checkers_see_the_public_names(package: ModuleType) -> None:
    source = ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8"))
    seen = [
        alias.asname
        for statement in ast.walk(source)
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
        if alias.name == alias.asname
    ]
    assert sorted(seen) == package.__all__


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_an_unknown_name(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"'{package.__name__}' has no attribute 'MultiQAx'"):
        getattr(package, "MultiQAx")  # noqa: B009  (mypy knows that there is none)


@pytest.mark.parametrize(("name", "package", "extra"), MISSING)
def test_a_missing_package_is_named_with_its_extra(name: str, package: str, extra: str) -> None:
    script = (
        "import sys\n"
        f"sys.modules[{package!r}] = None  # as if it were not installed\n"
        "from multiqa_integrations import errors, langchain, llama_index\n"
        "try:\n"
        f"    {name}\n"
        "except errors.MissingDependencyError as error:\n"
        "    print(error.package, error.extra, error, sep='|')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (
        f"{package}|{extra}|multiqa_integrations.{name} needs the package {package!r}, which is "
        f"not installed. Install it with: pip install 'multiqa-integrations[{extra}]'"
    )
