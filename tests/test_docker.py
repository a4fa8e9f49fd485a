"""The image and the compose files: what they say, and with -m docker, what they do."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).parent.parent
DOCKER = TOP / "docker"
COMPOSE_FILES = sorted(DOCKER.glob("*compose*.yaml"))


def parse(file: Path) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    parsed: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return parsed


@pytest.mark.parametrize("file", COMPOSE_FILES, ids=lambda file: file.name)
def test_a_compose_file_fits_the_specification(file: Path) -> None:
    schemas = pytest.importorskip("check_jsonschema.builtin_schemas")
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(parse(file), schemas.get_builtin_schema("vendor.compose-spec"))


@pytest.mark.parametrize("file", COMPOSE_FILES, ids=lambda file: file.name)
def test_a_container_is_not_root_and_open_to_this_machine_alone(file: Path) -> None:
    for service in parse(file)["services"].values():
        assert service["image"] == "multiqa" or service["image"].endswith("-unprivileged")
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_workers_of_pytest_have_servers_of_their_own() -> None:
    """A port of the host is anybody's; one that is fixed would be that of the first worker."""
    ports = parse(DOCKER / "docker-compose.test.yaml")["services"]["qdrant"]["ports"]
    assert [port.split(":")[1] for port in ports] == ["", ""]


# --- the image ----------------------------------------------------------------------------------


def pins(file: Path) -> dict[str, str]:
    """The versions in a file of requirements, those for the image's Python."""
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        match = re.match(r"([\w.-]+)==([\w.+]+)(?:; python_version (<|>=) .*)?", line)
        if match and match[3] != "<":
            found[match[1].lower().replace("_", "-")] = match[2]
    return found


def test_the_image_installs_the_versions_that_the_tests_run_with() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["cli"], *extras["etl"], *extras["qdrant"]]
    names = {re.split(r"[><=\[;]", line)[0] for line in wanted if "python_version <" not in line}
    installed, tested = pins(DOCKER / "requirements.txt"), pins(TOP / "constraints.txt")
    assert names - {"multiqa-integrations"} <= installed.keys(), "run make image-lock"
    both = installed.keys() & tested.keys()
    changed = {name for name in both if installed[name] != tested[name]}
    assert not changed, "run make image-lock"


# --- with an engine -----------------------------------------------------------------------------

MODEL = """
services:
  sync:
    command: [sync, /source/articles.jsonl, --collection=articles, --url=http://qdrant:6333,
              --model=/model, --dead-letter=/data/articles.dead-letters.jsonl, --json]
    volumes: ["{model}:/model:ro"]
"""


class Compose:
    """A project of `docker/compose.sync.yaml`, in a folder of its own."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.source = folder / "source"
        self.source.mkdir()
        self.project = f"multiqa-test-{os.getpid()}"
        for file in DOCKER.glob("compose*.yaml"):
            shutil.copy(file, folder)
        (folder / "model.yaml").write_text(MODEL.format(model=model), encoding="utf-8")

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        files = ["-f", "compose.sync.yaml", "-f", "model.yaml"]
        return run("docker", "compose", "-p", self.project, *files, *arguments, cwd=self.folder,
                   QDRANT_HTTP_PORT="0", QDRANT_GRPC_PORT="0", **environment)  # fmt: skip

    def make_key(self) -> None:
        (self.folder / ".env").write_text("QDRANT_API_KEY=topsecret\n", encoding="utf-8")


def run(*command: str, cwd: Path = TOP, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )


def inspect(container: str, template: str) -> str:
    return run("docker", "inspect", container, "--format", template).stdout.strip()


@pytest.fixture(scope="module")
def image() -> str:
    """The image, as it was built before, or now."""
    if shutil.which("docker") is None or run("docker", "compose", "version").returncode:
        pytest.skip("there is no docker with compose")
    if run("docker", "image", "inspect", "multiqa").returncode:
        built = run("docker", "build", "--file", "docker/Dockerfile", "--tag", "multiqa", ".")
        if built.returncode:
            pytest.skip(f"the image cannot be built: {built.stderr[-500:]}")
    return "multiqa"


@pytest.fixture
def compose(image: str, test_model: Path, tmp_path: Path) -> Iterator[Compose]:
    project = Compose(tmp_path, test_model)
    try:
        yield project
    finally:
        project("down", "--volumes", "--remove-orphans")
    assert project.project not in run("docker", "volume", "ls", "--quiet").stdout


def report(done: subprocess.CompletedProcess[str]) -> Mapping[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.docker
@pytest.mark.slow
def test_a_server_and_a_job(compose: Compose) -> None:
    rows = [{"id": number, "text": f"Number {number} is a number."} for number in range(2_000)]
    (compose.source / "articles.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
    )
    # Without a key nothing starts, and all else works.
    assert compose("up", "--detach", "--wait", "--wait-timeout", "20", "qdrant").returncode
    assert "make docker/.env" in compose("logs", "qdrant").stdout
    assert compose("ps").returncode == 0
    assert compose("down").returncode == 0

    compose.make_key()
    assert report(compose("run", "--rm", "sync"))["added"] == 2_000
    before = compose("ps", "--quiet", "qdrant").stdout
    assert inspect(before.strip(), "{{.Config.User}}") == "1000:1000"
    # The key of another shell is not the server's.
    up = compose("up", "--detach", "--wait", "qdrant", QDRANT_API_KEY="another")
    assert up.returncode == 0, up.stderr
    assert compose("ps", "--quiet", "qdrant").stdout == before
    assert report(compose("run", "--rm", "sync"))["unchanged"] == 2_000

    # A job that waits for its server is stopped.
    compose("pause", "qdrant")
    job = f"{compose.project}-job"
    assert compose("run", "--detach", "--no-deps", "--name", job, "sync").returncode == 0
    end = time.monotonic() + 120
    while "waiting" not in run("docker", "logs", job).stderr:
        assert time.monotonic() < end, run("docker", "logs", job).stderr
        time.sleep(0.2)
    run("docker", "stop", "--time", "30", job)
    assert inspect(job, "{{.State.ExitCode}}") == "143"
    assert "stopped by SIGTERM" in run("docker", "logs", job).stderr
    run("docker", "rm", job)

    compose("unpause", "qdrant")
    compose("stop", "qdrant")
    assert inspect(before.strip(), "{{.State.ExitCode}}") == "0"


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize("user", ["10001:0", "12345:0"])
def test_any_user_of_group_0_may_use_the_image(image: str, user: str) -> None:
    assert inspect(image, "{{.Config.User}} {{.Config.Volumes}}") == "10001:0 map[]"
    alone = ["docker", "run", "--rm", "--user", user, "--network", "none"]
    done = run(*alone, "--read-only", image, "doctor", "--offline")
    assert "Traceback" not in done.stderr
    wrote = run(*alone, "--entrypoint", "touch", image, "/data/new", "/models/new")
    assert wrote.returncode == 0, wrote.stderr


@pytest.mark.docker
@pytest.mark.slow
def test_every_kind_of_file_is_read_in_the_image(
    image: str, test_model: Path, tmp_path: Path
) -> None:
    """Nothing was left out of Arrow and OpenVINO that is used."""
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"id": [1, 2], "text": ["The red button stops it.", "Oil it yearly."]})
    pa.parquet = pytest.importorskip("pyarrow.parquet")
    pa.parquet.write_table(table, tmp_path / "rows.parquet", compression="zstd")
    with (
        pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table)
    (tmp_path / "rows.csv").write_text("id,text\n1,The red button\n2,Oil it\n", encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text('{"id": 1, "text": "one"}\n', encoding="utf-8")
    (tmp_path / "page.html").write_text("<p>One <b>page</b></p>", encoding="utf-8")
    tmp_path.chmod(0o755)
    mounts = ["--volume", f"{tmp_path}:/source:ro", "--volume", f"{test_model}:/model:ro"]
    alone = ["docker", "run", "--rm", "--network", "none", *mounts, image]
    for dtype in ("float32", "int8"):
        for source in ("rows.parquet", "rows.arrow", "rows.csv", "rows.jsonl", ""):
            where = ["-c", "rows", "--path", "/data/rows", "-m", "/model", "--dtype", dtype]
            options = ["--glob", "*.html"] if not source else []
            done = run(*alone, "sync", f"/source/{source}", *where, *options, "--json")
            assert report(done)["added"] >= 1
