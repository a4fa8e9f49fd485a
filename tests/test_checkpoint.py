from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from multiqa_integrations.checkpoint import resolve
from multiqa_integrations.download import SOURCE, SUMS, download, verify
from multiqa_integrations.errors import (
    ConfigurationError,
    ModelContractError,
    ModelIntegrityError,
    ModelNotFoundError,
)
from multiqa_integrations.hub_errors import without_secrets
from multiqa_integrations.model import MULTI_QA
from multiqa_integrations.weights import Weights
from tests.support.hub_server import COMMIT, HubServer, checkpoint_files, serve, write_files

NAME = "some-team/some-model"
SIBLING_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
NEEDED = sorted(set(checkpoint_files()) - {"README.md"})


@pytest.fixture
def files() -> dict[str, bytes]:
    return checkpoint_files()


@pytest.fixture
def directory(tmp_path: Path, files: dict[str, bytes]) -> Path:
    return write_files(tmp_path / "checkpoint", files)


@pytest.fixture
def hub(files: dict[str, bytes]) -> Iterator[HubServer]:
    with serve({NAME: files}) as server:
        yield server


WORKER = """
import json, sys, warnings
from multiqa_integrations.checkpoint import resolve
from multiqa_integrations.download import download, verify
warnings.simplefilter("always")
for line in sys.stdin:
    try:
        value = eval(json.loads(line))
    except Exception as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    else:
        answer = {"value": str(value)}
    print(json.dumps(answer), flush=True)
"""


class Machine:
    """Another interpreter with a hub cache of its own: huggingface_hub reads the environment
    once, when it is imported. Each set of further variables gets an interpreter, kept for the
    test."""

    def __init__(self, home: Path, endpoint: str) -> None:
        self.home = home
        self.home.mkdir()
        self.cache = home / "hub"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGINGFACE"))}
        self.environment = {**clean, "HF_HOME": str(home), "HF_ENDPOINT": endpoint}
        self.workers: dict[tuple[tuple[str, str], ...], subprocess.Popen[str]] = {}

    @property
    def stderr(self) -> str:
        """What all interpreters have printed there so far."""
        return (self.home / "stderr").read_text()

    def run(
        self, code: str, *, timeout: float = 60, environment: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Run an expression; return its value as text, or the error it raised."""
        further = environment or {}
        key = tuple(sorted(further.items()))
        if key not in self.workers:
            with (self.home / "stderr").open("a") as stderr:
                self.workers[key] = subprocess.Popen(
                    [sys.executable, "-c", WORKER],
                    env={**self.environment, **further},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                )
        worker = self.workers[key]
        assert worker.stdin is not None
        assert worker.stdout is not None
        limit = threading.Timer(timeout, worker.kill)
        limit.start()
        try:
            worker.stdin.write(json.dumps(code) + "\n")
            worker.stdin.flush()
            line = worker.stdout.readline()
        finally:
            limit.cancel()
        assert line, f"no answer within {timeout} s: {self.stderr}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        for worker in self.workers.values():
            worker.communicate(timeout=60)

    def fails(self, code: str, error: str, **options: Any) -> str:
        """Run an expression that must raise `error`; return its message."""
        answer = self.run(code, **options)
        assert answer.get("error") == error, answer
        message: str = answer["message"]
        return message


@pytest.fixture
def machine(tmp_path: Path, hub: HubServer) -> Iterator[Machine]:
    with closing(Machine(tmp_path / "home", hub.endpoint)) as machine:
        yield machine


def resolve_call(**options: Any) -> str:
    return f"resolve({NAME!r}, **{options!r}).directory"


# Files cannot grow beyond 20 kB from here on, as on a full disk.
LIMIT_FILES = (
    "__import__('resource').setrlimit(__import__('resource').RLIMIT_FSIZE, (20000, 20000))"
)


def assert_three_ways_out(message: str) -> None:
    for way in ("multiqa download", 'model="DIR"', "cache_folder", "HF_HOME"):
        assert way in message


# --- a directory ----------------------------------------------------------------------------


def test_a_directory(directory: Path, files: dict[str, bytes]) -> None:
    for model in (directory, str(directory)):
        checkpoint = resolve(model)
        assert checkpoint.directory == directory
        assert checkpoint.weights.read_bytes() == files["model.safetensors"]
        assert checkpoint.tokenizer_file.read_bytes() == files["tokenizer.json"]
        assert (checkpoint.spec.name, checkpoint.spec.revision) == (str(directory), None)
        assert checkpoint.spec.max_seq_length == MULTI_QA.max_seq_length


def test_a_relative_directory(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(directory.parent)
    assert resolve(directory.name).spec.dimension == 384
    assert resolve(f"./{directory.name}").spec.dimension == 384


def test_a_directory_in_the_home(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(directory.parent))
    monkeypatch.setenv("USERPROFILE", str(directory.parent))
    assert resolve(f"~/{directory.name}").directory == directory


def test_the_sibling(test_model: Path) -> None:
    checkpoint = resolve(test_model)
    assert checkpoint.fingerprint == f"sha256:{SIBLING_SHA256}/mean/l2"


def test_the_fingerprint_follows_the_file(directory: Path) -> None:
    checkpoint = resolve(directory)
    before = checkpoint.fingerprint
    digest = hashlib.sha256(checkpoint.weights.read_bytes()).hexdigest()
    assert before == f"sha256:{digest}/mean/l2"
    content = bytearray(checkpoint.weights.read_bytes())
    content[-1] ^= 1
    checkpoint.weights.write_bytes(content)
    os.utime(checkpoint.weights, ns=(1, 1))
    assert checkpoint.fingerprint != before


def test_a_moved_directory_has_the_same_fingerprint(directory: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(directory, tmp_path / "copy")
    assert resolve(copy).fingerprint == resolve(directory).fingerprint


def test_a_checkpoint_is_a_value(directory: Path) -> None:
    checkpoint = resolve(directory)
    again = pickle.loads(pickle.dumps(checkpoint))
    assert again == checkpoint
    assert again.fingerprint == checkpoint.fingerprint
    with pytest.raises(dataclasses.FrozenInstanceError):
        again.directory = Path()


def test_a_directory_does_not_need_the_hub_library(directory: Path) -> None:
    program = (
        "import sys; from multiqa_integrations.checkpoint import resolve; import "
        "multiqa_integrations.download; resolve(sys.argv[1]).fingerprint; "
        "print([m for m in ('huggingface_hub', 'openvino', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(directory)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_a_revision_of_a_directory_is_refused(directory: Path) -> None:
    with pytest.raises(ConfigurationError, match="no revisions"):
        resolve(directory, revision="main")


PATHS = ["./nowhere", "/nowhere/at/all", "~/nowhere", "no\\where", "a/b/c", Path("nowhere")]


@pytest.mark.parametrize("model", PATHS)
def test_a_path_that_is_not_there(model: str | Path) -> None:
    with pytest.raises(ModelNotFoundError, match="does not exist"):
        resolve(model)


def test_the_hub_is_not_asked_for_a_path(machine: Machine, hub: HubServer) -> None:
    for model in PATHS[:-1]:
        machine.fails(f"resolve({model!r})", "ModelNotFoundError")
    assert hub.requests == []


def test_a_file_is_no_directory(directory: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="is a file"):
        resolve(directory / "config.json")


@pytest.mark.parametrize("model", ["a b/c", "a--b/c", "team/model.git", "team/", "nul\0"])
def test_a_name_that_cannot_be(model: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        resolve(model)
    assert repr(model) in str(caught.value)


@pytest.mark.parametrize("model", ["", "  ", None, 3, b"bytes"])
def test_no_name_at_all(model: Any) -> None:
    with pytest.raises(ConfigurationError, match="model must be"):
        resolve(model)


@pytest.mark.parametrize(
    "file", ["config.json", "modules.json", "tokenizer.json", "1_Pooling/config.json"]
)
def test_a_missing_file_is_named(directory: Path, file: str) -> None:
    (directory / file).unlink()
    with pytest.raises(ModelNotFoundError, match=file):
        resolve(directory)


def test_pickled_weights_are_not_loaded(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(ModelNotFoundError, match="safetensors is needed"):
        resolve(directory)


def test_an_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"config.json, modules.json, tokenizer.json"):
        resolve(tmp_path)


def test_another_kind_of_model(directory: Path) -> None:
    (directory / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(ModelContractError, match="roberta"):
        resolve(directory)


# --- damaged weights ------------------------------------------------------------------------


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(start: int, end: int) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [end - start], "data_offsets": [start, end]}


DAMAGED = {
    "empty": b"",
    "shorter than the length": b"\x01\x02",
    "header cut": safetensors({"a": tensor(0, 4)}, b"1234")[:20],
    "data cut": safetensors({"a": tensor(0, 4)}, b"123"),
    "data too long": safetensors({"a": tensor(0, 4)}, b"12345"),
    "a gap": safetensors({"a": tensor(0, 2), "b": tensor(3, 4)}, b"1234"),
    "an overlap": safetensors({"a": tensor(0, 3), "b": tensor(2, 4)}, b"1234"),
    "backwards": safetensors({"a": tensor(0, 4), "b": tensor(4, 2)}, b"12"),
    "no tensors": safetensors({"__metadata__": {"format": "pt"}}),
    "no JSON": safetensors(b"garbage!", b"1234"),
    "not UTF-8": safetensors(b'{"\xff": 1}', b"1234"),
    "a list": safetensors([1, 2], b"1234"),
    "no offsets": safetensors({"a": {"dtype": "U8"}}, b"1234"),
    "odd offsets": safetensors({"a": {"data_offsets": [0]}}, b"1234"),
    "nested too deep": safetensors(b"[" * 200_000, b"1234"),
    "zeros": bytes(1000),
    "a pickle": pickle.dumps({"weights": [1.0] * 500}),
    "a huge length": b"\xff" * 5000,
    "an error page": b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>" * 9,
}


@pytest.mark.parametrize("content", list(DAMAGED.values()), ids=list(DAMAGED))
def test_damaged_weights_are_found(directory: Path, content: bytes) -> None:
    (directory / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelIntegrityError, match=r"model\.safetensors.*damaged"):
        resolve(directory)


def test_a_git_lfs_pointer_is_told(directory: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:53aa\nsize 90868376\n"
    (directory / "model.safetensors").write_bytes(pointer)
    with pytest.raises(ModelIntegrityError, match="git lfs pull"):
        resolve(directory)


@pytest.mark.parametrize("lost", [1, 4096, 90_000_000])
def test_the_siblings_weights_cut_short(test_model: Path, tmp_path: Path, lost: int) -> None:
    cut = tmp_path / "model.safetensors"
    shutil.copyfile(test_model / "model.safetensors", cut)
    Weights(cut)
    os.truncate(cut, cut.stat().st_size - lost)
    with pytest.raises(ModelIntegrityError, match="damaged"):
        Weights(cut)


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="missing"):
        Weights(tmp_path / "model.safetensors")


# --- the hub and its cache ------------------------------------------------------------------


def test_from_the_hub_and_then_from_the_cache(machine: Machine, hub: HubServer) -> None:
    first = machine.run(resolve_call(revision=COMMIT))["value"]
    found = sorted(str(p.relative_to(first)) for p in Path(first).rglob("*") if p.is_file())
    assert found == NEEDED
    assert resolve(first).fingerprint.startswith("sha256:")

    hub.requests.clear()
    again = f"resolve({NAME!r}, revision={COMMIT!r})"
    assert machine.run(f"{again}.directory")["value"] == first
    assert machine.run(f"{again}.spec.name, {again}.spec.revision")["value"] == str((NAME, COMMIT))
    assert hub.requests == []  # a commit does not move


@pytest.mark.parametrize(
    ("options", "environment"),
    [({"local_files_only": True}, {}), ({}, {"HF_HUB_OFFLINE": "1"})],
    ids=["local_files_only", "HF_HUB_OFFLINE"],
)
def test_offline(
    machine: Machine, hub: HubServer, options: dict[str, Any], environment: dict[str, str]
) -> None:
    message = machine.fails(resolve_call(**options), "ModelNotFoundError", environment=environment)
    assert "offline" in message
    assert_three_ways_out(message)
    assert hub.requests == []

    first = machine.run(resolve_call())["value"]  # "main", online
    hub.requests.clear()
    assert machine.run(resolve_call(**options), environment=environment)["value"] == first
    assert hub.requests == []

    (Path(first) / "tokenizer.json").unlink()
    message = machine.fails(resolve_call(**options), "ModelNotFoundError", environment=environment)
    assert "tokenizer.json missing" in message
    assert hub.requests == []


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 401}, None])
def test_no_secret_is_in_a_message(
    machine: Machine, hub: HubServer, fault: dict[str, Any] | None
) -> None:
    """A mirror is given with its password, and the user's token goes along with requests."""
    hub.faults = fault or {}
    address = hub.endpoint.replace("//", "//user:PASS-WORD@")
    if fault is None:  # nobody listens there
        address = "http://user:PASS-WORD@127.0.0.1:9/?key=PASS-WORD"
    secrets = {"HF_ENDPOINT": address, "HF_TOKEN": "hf_PASSWORDPASSWORDPASSWORD"}
    message = machine.fails(resolve_call(), "ModelNotFoundError", environment=secrets)
    assert "the hub at http://127.0.0.1:" in message
    assert "PASS-WORD" not in message
    assert "PASSWORD" not in message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pw@host/a?b=c: refused", "https://host/a?… refused"),
        ("GET https://cdn/x?Signature=abc&Key-Pair-Id=d (403)", "GET https://cdn/x?… (403)"),
        ("'http://h:1/?token=x' failed", "'http://h:1/?…' failed"),
        ("token hf_abcdefghijklmnopqrstuvwx is invalid", "token hf_… is invalid"),
        ("a path /home/me/model and 2 @ 3?", "a path /home/me/model and 2 @ 3?"),
    ],
)
def test_what_is_left_out_of_messages(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.slow
def test_download_offline(machine: Machine, hub: HubServer) -> None:
    call = f"download({NAME!r})"
    assert "offline" in machine.fails(
        call, "ModelNotFoundError", environment={"HF_HUB_OFFLINE": "1"}
    )
    assert hub.requests == []


def test_the_pinned_commit_is_the_default(machine: Machine, hub: HubServer) -> None:
    hub.repositories[MULTI_QA.name] = hub.repositories[NAME]
    message = machine.fails(f"resolve({MULTI_QA.name!r})", "ModelNotFoundError")
    assert f"no revision {MULTI_QA.revision!r}" in message
    assert f"GET /api/models/{MULTI_QA.name}/revision/{MULTI_QA.revision}" in hub.requests


@pytest.mark.slow
def test_other_revisions_in_the_cache_are_told(machine: Machine) -> None:
    machine.run(resolve_call())
    message = machine.fails(
        resolve_call(revision="v9", local_files_only=True), "ModelNotFoundError"
    )
    assert COMMIT in message


@pytest.mark.slow
def test_a_branch_is_taken_from_the_cache_with_a_warning_if_the_hub_is_away(
    machine: Machine, hub: HubServer
) -> None:
    first = machine.run(resolve_call())["value"]
    hub.faults = {"status": 503}
    assert machine.run(resolve_call())["value"] == first
    assert "UserWarning" in machine.stderr
    assert "HTTP 503" in machine.stderr


@pytest.mark.slow
def test_an_interrupted_fetch_is_completed(machine: Machine) -> None:
    first = Path(machine.run(resolve_call(revision=COMMIT))["value"])
    (first / "model.safetensors").resolve().unlink()
    (first / "1_Pooling" / "config.json").unlink()
    assert machine.run(resolve_call(revision=COMMIT))["value"] == str(first)
    Weights(first / "model.safetensors")


@pytest.mark.slow
def test_a_folder_of_another_name_for_the_pooling(machine: Machine, hub: HubServer) -> None:
    files = hub.repositories[NAME]
    files["1_MeanPooling/config.json"] = files.pop("1_Pooling/config.json")
    files["modules.json"] = files["modules.json"].replace(b"1_Pooling", b"1_MeanPooling")
    first = machine.run(resolve_call(revision=COMMIT))["value"]
    assert machine.run(resolve_call(local_files_only=True, revision=COMMIT))["value"] == first


@pytest.mark.slow
def test_cache_folder(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    first = machine.run(resolve_call(cache_folder=str(folder)))["value"]
    assert folder in Path(first).parents
    assert not machine.cache.exists()
    call = resolve_call(cache_folder=str(folder), local_files_only=True)
    assert machine.run(call)["value"] == first


@pytest.mark.slow
@pytest.mark.parametrize(
    ("faults", "name", "revision", "says"),
    [
        ({}, "some-team/unknown", "main", "HTTP 401: there is no such repository"),
        ({"status": 404}, NAME, "main", "HTTP 404"),
        ({}, NAME, "v9", "has the repository, but no revision 'v9'"),
        ({"gated": True}, NAME, "main", "gated"),
        ({"status": 403}, NAME, "main", "a proxy before it"),
        ({"status": 401}, NAME, "main", "HTTP 401"),
        ({"status": 429}, NAME, "main", "HTTP 429"),
        ({"status": 500}, NAME, "main", "HTTP 500"),
        ({"status": 200}, NAME, "main", "could not be reached"),  # a login page, not the hub
    ],
)
def test_the_hub_refuses(
    machine: Machine, hub: HubServer, faults: dict[str, Any], name: str, revision: str, says: str
) -> None:
    hub.faults = faults
    call = f"resolve({name!r}, revision={revision!r})"
    message = machine.fails(call, "ModelNotFoundError")
    assert says in message
    assert_three_ways_out(message)


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with closing(Machine(tmp_path / "home", f"http://127.0.0.1:{port}")) as machine:
        message = machine.fails(resolve_call(), "ModelNotFoundError")
    assert "could not be reached" in message
    assert_three_ways_out(message)


def test_no_such_host(tmp_path: Path) -> None:
    with closing(Machine(tmp_path / "home", "http://hub.invalid")) as machine:
        message = machine.fails(resolve_call(), "ModelNotFoundError")
    assert "http://hub.invalid could not be reached" in message


@pytest.mark.slow
def test_the_hub_swallows_everything(machine: Machine, hub: HubServer) -> None:
    hub.faults = {"silent": True}
    shorter = {"HF_HUB_ETAG_TIMEOUT": "2"}
    message = machine.fails(resolve_call(), "ModelNotFoundError", environment=shorter)
    assert "no answer within 2 s" in message
    assert_three_ways_out(message)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["silent_files", "silent_cdn"])
def test_files_do_not_come(machine: Machine, hub: HubServer, fault: str) -> None:
    hub.faults = {fault: True}
    shorter = {"HF_HUB_DOWNLOAD_TIMEOUT": "1"}
    message = machine.fails(resolve_call(), "ModelNotFoundError", environment=shorter)
    assert "fetching" in message
    assert "could not be reached" in message
    assert_three_ways_out(message)


@pytest.mark.slow
def test_a_repository_of_pickled_weights_only(machine: Machine, hub: HubServer) -> None:
    files = hub.repositories[NAME]
    files["pytorch_model.bin"] = files.pop("model.safetensors")
    message = machine.fails(resolve_call(), "ModelNotFoundError")
    assert "safetensors is needed" in message
    assert not any(".bin" in request for request in hub.requests)


@pytest.mark.slow
def test_a_repository_without_a_tokenizer(machine: Machine, hub: HubServer) -> None:
    del hub.repositories[NAME]["tokenizer.json"]
    assert "tokenizer.json missing" in machine.fails(resolve_call(), "ModelNotFoundError")


@pytest.mark.slow
def test_a_repository_without_pooling(machine: Machine, hub: HubServer) -> None:
    del hub.repositories[NAME]["1_Pooling/config.json"]
    message = machine.fails(resolve_call(), "ModelNotFoundError")
    assert "1_Pooling/config.json is missing" in message
    assert "could not be reached" not in message


@pytest.mark.slow
def test_another_kind_is_found_before_its_weights_are_fetched(
    machine: Machine, hub: HubServer
) -> None:
    hub.repositories[NAME]["config.json"] = b'{"model_type": "roberta"}'
    assert "roberta" in machine.fails(resolve_call(), "ModelContractError")
    assert not any("model.safetensors" in request for request in hub.requests)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_file_altered_on_the_way(machine: Machine, hub: HubServer, file: str) -> None:
    hub.faults = {"corrupt": file}
    assert file in machine.fails(resolve_call(), "ModelIntegrityError")
    # Nothing of it stays: the next try succeeds.
    hub.faults = {}
    assert machine.run(f"resolve({NAME!r}).fingerprint")["value"].startswith("sha256:")


@pytest.mark.slow
def test_a_file_altered_once_is_fetched_again(machine: Machine, hub: HubServer) -> None:
    hub.faults = {"corrupt": "model.safetensors", "corrupt_times": 1}
    assert "value" in machine.run(resolve_call())


@pytest.mark.slow
def test_a_connection_that_breaks(machine: Machine, hub: HubServer) -> None:
    hub.faults = {"cut": "model.safetensors"}
    message = machine.fails(resolve_call(), "ModelNotFoundError")
    assert "fetching model.safetensors" in message
    # The half file is not taken for the whole one.
    machine.fails(resolve_call(local_files_only=True, revision=COMMIT), "ModelNotFoundError")
    hub.faults = {}
    assert "value" in machine.run(resolve_call())


@pytest.mark.slow
def test_a_mirror_without_digests(machine: Machine, hub: HubServer) -> None:
    hub.faults = {"no_digests": True}
    assert "no digest" in machine.fails(resolve_call(), "ModelIntegrityError")


@pytest.mark.slow
def test_download_repairs_the_cache(machine: Machine) -> None:
    first = Path(machine.run(resolve_call(revision=COMMIT))["value"])
    blob = (first / "model.safetensors").resolve()
    os.truncate(blob, 1000)
    message = machine.fails(resolve_call(revision=COMMIT), "ModelIntegrityError")
    assert "multiqa download" in message
    assert machine.run(f"download({NAME!r}, show_progress=False)")["value"] == str(first)
    assert "value" in machine.run(resolve_call(revision=COMMIT, local_files_only=True))


# --- the disk -------------------------------------------------------------------------------


@pytest.mark.slow
def test_no_space_for_the_cache(machine: Machine) -> None:
    pytest.importorskip("resource")
    message = machine.fails(f"[{LIMIT_FILES}, {resolve_call()}]", "ModelError")
    assert str(machine.cache) in message
    assert "cache_folder" in message
    offline = {"HF_HUB_OFFLINE": "1"}  # another interpreter, without the limit
    machine.fails(resolve_call(revision=COMMIT), "ModelNotFoundError", environment=offline)


@pytest.mark.slow
@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_cache_folder_that_is_a_file(machine: Machine, tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    folder = str(file / below if below else file)
    message = machine.fails(resolve_call(cache_folder=folder), "ModelError")
    assert folder in message
    assert file.read_text() == "in the way"


# --- download -------------------------------------------------------------------------------


def download_call(to: Path, **options: Any) -> str:
    return f"download({NAME!r}, to={str(to)!r}, show_progress=False, **{options!r})"


def test_download_to_a_directory(machine: Machine, hub: HubServer, tmp_path: Path) -> None:
    to = tmp_path / "below" / "model"
    assert machine.run(download_call(to))["value"] == str(to)
    found = sorted(str(p.relative_to(to)) for p in to.rglob("*") if p.is_file())
    assert found == sorted([*NEEDED, SUMS, SOURCE])
    assert json.loads((to / SOURCE).read_text()) == {"model": NAME, "revision": COMMIT}
    assert not any(path.is_symlink() for path in to.rglob("*"))
    assert [path.name for path in to.parent.iterdir()] == ["model"]
    assert not machine.cache.exists()  # not twice on the disk
    assert verify(to) == []
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "-c", SUMS], cwd=to, check=True, capture_output=True)  # noqa: S607
    moved = shutil.copytree(to, tmp_path / "moved")
    assert resolve(moved).spec.max_seq_length == 512

    hub.requests.clear()
    assert machine.run(download_call(to, revision=COMMIT))["value"] == str(to)
    assert hub.requests == []  # complete and verified: nothing to ask
    assert machine.run(download_call(to))["value"] == str(to)
    assert not any("resolve" in request for request in hub.requests)


@pytest.mark.slow
def test_download_takes_files_from_the_cache(
    machine: Machine, hub: HubServer, tmp_path: Path
) -> None:
    machine.run(resolve_call())
    hub.requests.clear()
    machine.run(download_call(tmp_path / "model"))
    assert verify(tmp_path / "model") == []
    assert not any("resolve" in request for request in hub.requests)
    assert "value" in machine.run(resolve_call(local_files_only=True))  # the cache still has them


@pytest.mark.slow
def test_download_into_an_empty_directory(machine: Machine, tmp_path: Path) -> None:
    to = tmp_path / "model"
    to.mkdir()
    machine.run(download_call(to))
    assert resolve(to).directory == to


@pytest.mark.slow
def test_download_writes_over_nothing(machine: Machine, tmp_path: Path) -> None:
    to = write_files(tmp_path / "model", {"notes.txt": b"mine"})
    assert "not empty" in machine.fails(download_call(to), "ConfigurationError")
    assert [path.name for path in to.iterdir()] == ["notes.txt"]
    assert "is a file" in machine.fails(download_call(to / "notes.txt"), "ConfigurationError")


@pytest.mark.slow
def test_a_damaged_copy_is_told(machine: Machine, tmp_path: Path) -> None:
    to = tmp_path / "model"
    machine.run(download_call(to))
    (to / "tokenizer.json").write_text("{}")
    (to / "config.json").unlink()
    message = machine.fails(download_call(to), "ConfigurationError")
    assert "tokenizer.json" in message
    assert "config.json" in message
    problems = verify(to)
    assert [problem.partition(":")[0] for problem in problems] == ["config.json", "tokenizer.json"]


@pytest.mark.slow
def test_another_model_there_is_told(machine: Machine, hub: HubServer, tmp_path: Path) -> None:
    hub.repositories["other/model"] = hub.repositories[NAME]
    to = tmp_path / "model"
    machine.run(download_call(to))
    call = f"download('other/model', to={str(to)!r})"
    assert f"it holds {NAME} at commit" in machine.fails(call, "ConfigurationError")


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ({"corrupt": "model.safetensors"}, "ModelIntegrityError"),
        ({"corrupt": "vocab.txt"}, None),  # there is none in this repository
        ({"status": 500}, "ModelNotFoundError"),
    ],
)
def test_a_failed_download_leaves_nothing(
    machine: Machine, hub: HubServer, tmp_path: Path, faults: dict[str, Any], error: str | None
) -> None:
    hub.faults = faults
    to = tmp_path / "models" / "model"
    to.parent.mkdir()
    answer = machine.run(download_call(to))
    assert answer.get("error") == error
    assert list(to.parent.iterdir()) == ([to] if error is None else [])


@pytest.mark.slow
def test_no_space_for_the_directory(machine: Machine, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    machine.run(resolve_call())  # so that it is the copying that fails
    to = tmp_path / "models" / "model"
    message = machine.fails(f"[{LIMIT_FILES}, {download_call(to)}]", "ModelError")
    assert str(to) in message
    assert list(to.parent.iterdir()) == []


def test_a_directory_cannot_be_downloaded(directory: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a directory here"):
        download(str(directory))


@pytest.mark.slow
def test_progress_bars_can_be_turned_off(machine: Machine, tmp_path: Path) -> None:
    shown = {"TQDM_POSITION": "-1"}  # the hub library's way to show bars without a terminal
    machine.run(download_call(tmp_path / "quiet"), environment=shown)
    assert "%" not in machine.stderr
    machine.run(download_call(tmp_path / "loud").replace("False", "True"), environment=shown)
    assert "%" in machine.stderr


def test_verify_without_sums_and_with_senseless_ones(directory: Path) -> None:
    assert verify(directory) == []
    (directory / SUMS).write_text("no digest here\n")
    assert verify(directory) == [f"{SUMS}, line 1: not a digest and a file name"]


def test_sums_that_cost_more_than_a_look(directory: Path) -> None:
    with (directory / SUMS).open("wb") as file:
        file.truncate(10**12)  # a hole
    with pytest.raises(ModelIntegrityError, match="expected at most"):
        verify(directory)
    (directory / SUMS).write_text(f"{'0' * 64}  /dev/zero\n{'0' * 64}  gone\n")
    assert verify(directory) == [
        "/dev/zero: missing, or not a regular file",
        "gone: missing, or not a regular file",
    ]


# --- the command line -----------------------------------------------------------------------


@pytest.mark.slow
def test_the_command(machine: Machine, tmp_path: Path) -> None:
    pytest.importorskip("typer")
    to = tmp_path / "a directory with a name long enough to be wrapped by a terminal" / "model"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "multiqa_integrations",
            "download",
            NAME,
            "--to",
            str(to),
            "--revision",
            COMMIT,
        ],
        env=machine.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    digest = hashlib.sha256((to / "model.safetensors").read_bytes()).hexdigest()
    assert str(to) in done.stdout.split("\n")[1]
    assert f"sha256:{digest}" in done.stdout
    assert f"MultiQAEncoder({str(to)!r})" in done.stdout


# --- the true hub ---------------------------------------------------------------------------


@pytest.mark.network
def test_the_true_hub(tmp_path: Path) -> None:
    try:
        socket.create_connection(("huggingface.co", 443), timeout=5).close()
    except OSError as error:
        pytest.skip(f"the hub cannot be reached: {error}")
    to = tmp_path / "model"
    with closing(Machine(tmp_path / "home", "https://huggingface.co")) as machine:
        call = f"download(to={str(to)!r}, show_progress=False)"
        assert machine.run(call, timeout=280).get("value") == str(to)
    assert verify(to) == []
    spec = resolve(to).spec
    assert dataclasses.replace(spec, name=MULTI_QA.name, revision=MULTI_QA.revision) == MULTI_QA
