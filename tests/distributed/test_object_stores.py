"""What is done where an object store is away, refuses, or does not have what is asked for."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from pyarrow import fs
from typer.testing import CliRunner

from multiqa_integrations import distributed
from multiqa_integrations.cli import app
from multiqa_integrations.deadline import is_left_behind
from multiqa_integrations.distributed.found import FoundFile
from multiqa_integrations.distributed.object_stores import access_error, is_missing
from multiqa_integrations.distributed.sources import find
from multiqa_integrations.distributed.splits import cut
from multiqa_integrations.errors import (
    ConfigurationError,
    SourceError,
    SourcePermissionError,
    SourceUnavailableError,
    SyncIncompleteError,
)
from multiqa_integrations.testing import FakeEncoder
from tests.support.in_process_pool import InProcessPool
from tests.support.loopback_qdrant import LoopbackQdrant
from tests.support.loopback_s3 import REFUSED, SLOW_DOWN, LoopbackS3

pytest.importorskip("pyarrow._s3fs")

JOBS: list[Callable[..., Any]] = [distributed.plan, distributed.sync, distributed.verify]
NAMES = ["plan", "sync", "verify"]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackS3]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with LoopbackS3() as store:
        for name, numbers in (("a", range(40)), ("b", range(40, 60))):
            rows = [{"id": n, "text": f"Text number {n}."} for n in numbers]
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            store.objects[f"data/{name}.jsonl"] = lines.encode()
            store.objects[f"folder/{name}.txt"] = f"The text {name}.".encode()
            sink = pa.BufferOutputStream()
            pyarrow.parquet.write_table(pa.Table.from_pylist(rows), sink)
            store.objects[f"data/{name}.parquet"] = sink.getvalue().to_pybytes()
        yield store


def job_at(stand_in: LoopbackQdrant) -> dict[str, Any]:
    return {"url": stand_in.url, "encoder": FakeEncoder()}


@pytest.mark.parametrize("path", ["data/*.jsonl", "data/*.parquet", "folder"])
def test_a_store_is_a_source(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, s3: LoopbackS3, path: str
) -> None:
    job, uri = job_at(stand_in), s3.uri(path)
    count = 2 if path == "folder" else 60
    assert distributed.plan(uri, name, **job).added == count
    assert distributed.sync(uri, name, **job).added == count
    assert distributed.sync(uri, name, **job).unchanged == count
    assert distributed.verify(uri, name, **job).fits


# --- when the source is looked for ------------------------------------------------------------


@pytest.mark.parametrize("path", ["data/a.jsonl", "data/*.jsonl", "folder"])
@pytest.mark.parametrize("function", JOBS, ids=NAMES)
def test_a_refusal_says_of_what(
    stand_in: LoopbackQdrant,
    name: str,
    pool: InProcessPool,
    s3: LoopbackS3,
    path: str,
    function: Callable[..., Any],
) -> None:
    s3.answer = lambda method, path: REFUSED
    uri = s3.uri(path).replace("s3://", "s3://the-key:the-secret@")
    with pytest.raises(SourcePermissionError) as refused:
        function(uri, name, **job_at(stand_in))
    words = str(refused.value)
    assert words.startswith(f"access to 's3://corpus/{path}' was refused (")
    assert "ACCESS_DENIED" in words
    assert "AWS_ACCESS_KEY_ID" in words
    assert "the-key" not in words
    assert "the-secret" not in words
    assert refused.value.source == f"s3://corpus/{path}"
    assert type(pickle.loads(pickle.dumps(refused.value))) is SourcePermissionError


def test_a_store_that_nobody_reaches_may_pass(s3: LoopbackS3) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        uri = f"s3://corpus/data/a.jsonl?endpoint_override=127.0.0.1:{port}&scheme=http"
        with pytest.raises(
            SourceUnavailableError, match="the store of 's3://corpus/data/a"
        ) as away:
            find(uri)
    assert "Run again later" in str(away.value)


def test_a_store_that_is_busy_may_pass(s3: LoopbackS3) -> None:
    s3.answer = lambda method, path: SLOW_DOWN
    with pytest.raises(SourceUnavailableError, match="SLOW_DOWN"):
        find(s3.uri("data/*.jsonl"))


@pytest.mark.parametrize("path", ["data/no.jsonl", "data/no-*.jsonl", "no/*.jsonl"])
@pytest.mark.parametrize("bucket", ["corpus", "nobody"])
def test_what_is_not_there_is_no_matter_of_rights(s3: LoopbackS3, path: str, bucket: str) -> None:
    shown = f"s3://{bucket}/{path}"
    with pytest.raises(SourceError) as missing:
        find(s3.uri(path).replace("s3://corpus", f"s3://{bucket}"))
    assert type(missing.value) is SourceError
    assert str(missing.value).startswith(f"there is no file or folder {shown!r}")


@pytest.mark.parametrize("kind", ["plan", "sync"])
@pytest.mark.parametrize(("answer", "status"), [(REFUSED, 6), ((404, "NoSuchBucket"), 2)])
def test_exit_statuses(
    stand_in: LoopbackQdrant,
    pool: InProcessPool,
    s3: LoopbackS3,
    kind: str,
    answer: tuple[int, str],
    status: int,
    test_model: Path,
) -> None:
    s3.answer = lambda method, path: answer
    words = [kind, s3.uri("data/*.jsonl"), "-c", "docs", "--url", stand_in.url, "--ray", "local"]
    assert CliRunner().invoke(app, [*words, "--model", str(test_model)]).exit_code == status


ODD = ["a b", "p%20q", "h#1", "q?x=1", "ü", "plus+x", "am&p", "[x]", "star*", "at@x", "x:y", "100%"]


def test_names_of_objects_may_be_odd(s3: LoopbackS3) -> None:
    for number, name in enumerate(ODD):
        s3.objects[f"odd/{name}.jsonl"] = b'{"id": %d, "text": "One."}\n' % number
    s3.objects["odd/none.jsonl"] = s3.objects["odd/marker/"] = b""
    found = find(s3.uri("odd/*"))
    assert [item.path for item in found if isinstance(item, FoundFile)] == [
        f"corpus/odd/{name}.jsonl" for name in sorted([*ODD, "none"])
    ]
    assert sum(len(list(part.open(0))) for part in cut(found)) == len(ODD)
    # As messages show them, they can be given again.
    options = s3.uri("").partition("?")[2]
    again = find([f"{item.name}?{options}" for item in found])
    assert again == found
    for name in ("a b", "h#1", "ü", "100%"):
        (item,) = find(s3.uri(f"odd/{name}.jsonl"))
        assert isinstance(item, FoundFile)
        assert item.path == f"corpus/odd/{name}.jsonl"


def test_one_object_counts_once_whatever_it_is_called(s3: LoopbackS3) -> None:
    one = find(s3.uri("data/a.jsonl"))
    assert find([s3.uri(f"data/{name}.jsonl") for name in ("a", "a", "%61", "[a]*")]) == one
    assert len(find([s3.uri("folder"), s3.uri("folder/")])) == 1


def test_objects_of_two_stores_are_two_even_of_one_name(s3: LoopbackS3) -> None:
    with LoopbackS3() as other:
        other.objects.update(s3.objects)
        for path in ("data/a.jsonl", "data/a.*l", "folder"):
            assert len(find([s3.uri(path), other.uri(path)])) == 2


def test_a_file_counts_once_by_path_link_and_uri(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.txt").write_text("One.")
    file = folder / "a.jsonl"
    file.write_text("")
    monkeypatch.chdir(tmp_path)
    names = [str(file), "documents/a.jsonl", "documents/../documents/a*.jsonl", file.as_uri()]
    assert len(find(names)) == 1
    assert len(find([str(folder), "documents", "./documents/", folder.as_uri()])) == 1


@pytest.mark.parametrize(
    "uri", ["s3://", "s3://*/a.jsonl", "s3://corp*/a.jsonl", "file:///*.jsonl"]
)
def test_a_source_begins_with_a_bucket(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a bucket or a folder before"):
        find(uri)


def test_a_folder_of_data_says_by_which_pattern_it_is_read(s3: LoopbackS3) -> None:
    s3.objects = {"deep/er/a.jsonl": b'{"id": 1, "text": "One."}\n'}
    with pytest.raises(ConfigurationError) as refused:
        find(s3.uri("deep"))
    assert "'s3://corpus/deep/**/*.jsonl'" in str(refused.value)
    assert len(find(s3.uri("deep/**/*.jsonl"))) == 1


def test_a_message_that_is_cut_short_leaves_no_part_of_a_secret() -> None:
    with pytest.raises(ConfigurationError) as refused:
        find(f"s3://key:the/secret@corpus/{'x' * 380}.jsonl?scheme=http")
    assert "the/secret" not in str(refused.value)


@pytest.mark.parametrize("function", JOBS, ids=NAMES)
def test_an_interrupt_does_not_wait_for_the_store(
    stand_in: LoopbackQdrant,
    name: str,
    pool: InProcessPool,
    s3: LoopbackS3,
    function: Callable[..., Any],
) -> None:
    released = interrupt_when_asked(s3, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        function(s3.uri("data/*.jsonl"), name, **job_at(stand_in))
    assert is_left_behind()
    released.set()


def test_a_stop_does_not_wait_for_the_store(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, s3: LoopbackS3
) -> None:
    stop = threading.Event()
    released = interrupt_when_asked(s3, stop.set)
    with pytest.raises(SyncIncompleteError, match="while its source was looked for") as stopped:
        distributed.sync(s3.uri("data/*.jsonl"), name, stop=stop, **job_at(stand_in))
    assert (stopped.value.report.collection, stopped.value.report.records) == (name, 0)
    released.set()


def interrupt_when_asked(s3: LoopbackS3, interrupt: Callable[[], None]) -> threading.Event:
    """Let a store interrupt, once, who asks it, and answer only when what is returned is set."""
    released, asked = threading.Event(), threading.Event()

    def answer(method: str, path: str) -> None:
        if not asked.is_set():  # pyarrow repeats what is not answered
            asked.set()
            interrupt()
        assert released.wait(60)

    s3.answer = answer
    return released


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_command_ends_while_its_store_does_not_answer(
    stand_in: LoopbackQdrant, s3: LoopbackS3, test_model: Path, number: signal.Signals, status: int
) -> None:
    released = interrupt_when_asked(s3, lambda: process.send_signal(number))
    words = ["sync", s3.uri("data/*.jsonl"), "-c", "docs", "--url", stand_in.url, "--ray", "local"]
    command = [sys.executable, "-m", "multiqa_integrations", *words, "--model", str(test_model)]
    process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True)
    with process:
        output, _ = process.communicate(timeout=60)  # the store has not answered yet
    assert not released.is_set()
    released.set()
    assert process.returncode == status
    assert "looked for" in json.loads(output)["error"]


# --- while it is read -------------------------------------------------------------------------


def test_a_store_that_goes_away_ends_the_job(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, s3: LoopbackS3
) -> None:
    job, uri = job_at(stand_in), s3.uri("data/*.jsonl")
    stored = 0

    def leave(task: Any) -> None:
        nonlocal stored
        stored += task.method == "store"
        if stored == 4:
            s3.answer = lambda method, path: SLOW_DOWN

    pool.before = leave
    with pytest.raises(SourceUnavailableError, match="cannot be reached") as away:
        distributed.sync(uri, name, prune=True, **job)
    assert 0 < away.value.report.added < 60
    assert away.value.report.pruning == "left out"
    s3.answer, pool.before = lambda method, path: None, lambda task: None
    report = distributed.sync(uri, name, prune=True, **job)
    assert report.added + report.unchanged == 60
    assert report.unchanged == away.value.report.added


def test_an_object_that_is_overwritten_is_told_once(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, s3: LoopbackS3
) -> None:
    job, uri = job_at(stand_in), s3.uri("data/*.jsonl")

    def overwrite(task: Any) -> None:
        if task.method == "store":
            s3.objects["data/a.jsonl"] = b'{"id": 100, "text": "Another one."}\n'

    pool.before = overwrite
    with pytest.raises(SyncIncompleteError, match="now 36") as incomplete:
        distributed.sync(uri, name, prune=True, **job)
    report = incomplete.value.report
    assert len(report.unread) > 1
    assert str(incomplete.value).count("a.jsonl cannot be read") == 1
    assert (report.added, report.pruning) == (20, "left out")
    pool.before = lambda task: None
    report = distributed.sync(uri, name, prune=True, **job)
    assert (report.added, report.unchanged, report.deleted) == (1, 20, 0)


@pytest.mark.parametrize("path", ["data/*.jsonl", "data/*.parquet"])
def test_an_object_that_may_be_listed_but_not_read(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, s3: LoopbackS3, path: str
) -> None:
    s3.answer = lambda method, path: REFUSED if "/b." in path else None
    with pytest.raises(SourcePermissionError, match="access to 's3://corpus/data/b") as refused:
        distributed.sync(s3.uri(path), name, **job_at(stand_in))
    assert "ACCESS_DENIED" in str(refused.value)


def test_a_document_that_may_not_be_read_costs_itself(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, s3: LoopbackS3
) -> None:
    s3.answer = lambda method, path: REFUSED if path.endswith("/b.txt") else None
    report = distributed.sync(s3.uri("folder"), name, **job_at(stand_in))
    assert (report.added, report.rejected) == (1, 1)
    assert "b.txt cannot be read" in report.rejections[0].reason


def test_a_document_whose_name_cannot_be_opened_costs_itself(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, s3: LoopbackS3
) -> None:
    s3.objects["folder//c.txt"] = b"Two slashes."
    report = distributed.sync(s3.uri("folder"), name, **job_at(stand_in))
    assert (report.added, report.rejected) == (2, 1)
    assert "Empty path component" in report.rejections[0].reason


def test_a_folder_whose_store_is_away_is_not_a_folder_of_bad_documents(s3: LoopbackS3) -> None:
    (part,) = cut(find(s3.uri("folder")))
    s3.answer = lambda method, path: SLOW_DOWN
    with pytest.raises(SourceUnavailableError, match="corpus/folder/a.txt"):
        list(part.open(0))


# --- what the SDKs say ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("AWS Error ACCESS_DENIED during HeadObject operation: No response body.", "refused"),
        ("AWS Error INVALID_ACCESS_KEY_ID during ListObjectsV2 operation: …", "refused"),
        ("AWS Error SIGNATURE_DOES_NOT_MATCH during ListObjectsV2 operation: …", "refused"),
        ("AWS Error UNKNOWN (HTTP status 400): ExceptionName: ExpiredToken", "refused"),
        ("AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 7", "away"),
        ("AWS Error UNKNOWN (HTTP status 503) during HeadObject operation", "away"),
        ("AWS Error UNKNOWN (HTTP status 429) during HeadObject operation", "away"),
        ("AWS Error INTERNAL_FAILURE during ListObjectsV2 operation: …", "away"),
        ("AWS Error UNKNOWN (HTTP status 301) during HeadObject operation", None),
        ("AWS Error UNKNOWN (HTTP status 400) during HeadObject operation", None),
        ("google::cloud::Status(PERMISSION_DENIED: Permanent error, with a last", "refused"),
        ("google::cloud::Status(UNAVAILABLE: Retry policy exhausted, with a last message of Could "
         "not create a OAuth2 access token to authenticate the request.", "refused"),
        ("google::cloud::Status(UNAVAILABLE: Retry policy exhausted, with a last message of "
         "PerformWork() - CURL error [7]=Could not connect to server", "away"),
        ("google::cloud::Status(DEADLINE_EXCEEDED: Retry policy exhausted, with a last …", "away"),
        ("Azure Error: [AuthorizationPermissionMismatch] 403 It is not authorized", "refused"),
        ("GetProperties failed. Azure Error: [] Fail to get a new connection", "away"),
        ("Check for Hierarchical Namespace support on 'https://a.blob.core.windows.net/b' failed: "
         "N5Azure4Core11Credentials23AuthenticationExceptionE: Failed to get token", "refused"),
        ("Azure Error: [ServerBusy] 503 The server is busy.", "away"),
        ("Azure Error: [InvalidUri] 400 The requested URI is not valid.", None),
        ("it was written after it was found", None),
    ],
)  # fmt: skip
def test_the_words_of_the_sdks(words: str, kind: str | None) -> None:
    kinds = {"refused": SourcePermissionError, "away": SourceUnavailableError, None: type(None)}
    assert type(access_error("s3://b/a", OSError(words))) is kinds[kind]


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file"),
        OSError("AWS Error NO_SUCH_BUCKET during ListObjectsV2 operation: …"),
        OSError("google::cloud::Status(NOT_FOUND: Permanent error, with a last message of 404"),
    ],
)
def test_what_is_missing(error: OSError) -> None:
    assert is_missing(error)
    assert access_error("s3://b/a", error) is None


def test_a_message_has_neither_everything_twice_nor_an_id_of_a_request() -> None:
    error = access_error(
        "gs://b/a",
        OSError(
            "google::cloud::Status(UNAVAILABLE: Retry policy exhausted, with a last message of "
            "PerformWork() - CURL error [7]=Could not connect to server error_info={reason=, "
            "metadata={gcloud-cpp.retry.original-message=Could not connect to server}})"
        ),
    )
    assert "(UNAVAILABLE: PerformWork() - CURL error [7]=Could not connect to server)" in str(error)
    error = access_error("s3://b/a", OSError("AWS Error SLOW_DOWN: slower (Request ID: abc)"))
    assert "(AWS Error SLOW_DOWN: slower)" in str(error)


def test_google_is_not_waited_for_a_quarter_of_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class FileSystem:
        @staticmethod
        def from_uri(uri: str) -> tuple[fs.FileSystem, str]:
            asked.append(uri)
            return fs.LocalFileSystem(), "/nowhere/at/all"

    monkeypatch.setattr(fs, "FileSystem", FileSystem)
    for uri in ("gs://anonymous@b/one", "gs://anonymous@b/two?retry_limit_seconds=600"):
        with pytest.raises(SourceError, match="there is no file"):
            find(uri)
    assert asked == [
        "gs://anonymous@b/one?retry_limit_seconds=30",
        "gs://anonymous@b/two?retry_limit_seconds=600",
    ]
