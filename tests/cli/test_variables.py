"""Options that are not given: from environment variables, then from a job's file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("typer")

import typer.main
from typer.testing import CliRunner, Result

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.cli import app, terminal
from multiqa_integrations.cli.variables import variable_of
from multiqa_integrations.errors import MultiQAError
from multiqa_integrations.langchain import MultiQAEmbeddings
from multiqa_integrations.llama_index import MultiQAEmbedding
from multiqa_integrations.model import MULTI_QA

JOB = """
[jobs.nightly]
source = "articles.jsonl"
collection = "articles"
path = "./collections"
title-field = "headline"
metadata = ["lang", "year"]
max-errors = 5
prune = true
"""


def invoke(*arguments: str, **variables: str) -> Result:
    return CliRunner(env={**variables}).invoke(app, list(arguments))


def error_of(result: Result) -> str:
    assert isinstance(result.exception, MultiQAError), result.output
    return str(result.exception)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": n, "text": f"Text {n}", "headline": "News", "lang": "en", "year": 2020, "rest": 1}
        for n in range(3)
    ]
    Path("articles.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    Path("multiqa.toml").write_text(JOB)
    return tmp_path


def test_a_job_says_what_is_not_given(folder: Path, test_model: Path) -> None:
    done = invoke("sync", "--job", "nightly", "--json", MULTIQA_MODEL=str(test_model))
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["collection"], report["added"]) == ("articles", 3)
    planned = invoke("plan", "--job", "nightly", "--json", MULTIQA_MODEL=str(test_model))
    assert json.loads(planned.stdout)["unchanged"] == 3
    found = invoke("search", "articles", "Text 1", "--json", MULTIQA_PATH="collections",
                   MULTIQA_MODEL=str(test_model))  # fmt: skip
    hit = json.loads(found.stdout.splitlines()[0])
    assert {"lang": "en", "year": 2020}.items() <= hit["metadata"].items()
    assert "rest" not in hit["metadata"]
    assert hit["text"].startswith("News")


def test_what_is_given_counts_before_variables_and_these_before_the_file(
    folder: Path, test_model: Path
) -> None:
    model = {"MULTIQA_MODEL": str(test_model)}
    done = invoke("sync", "--job", "nightly", MULTIQA_PATH="from_variable", **model)
    assert done.exit_code == 0, done.output
    assert Path("from_variable/articles").is_dir()
    given = ("--path", "given", "-c", "other")
    # A URL in the environment does not stand against a folder on the command line.
    done = invoke("sync", "--job", "nightly", *given, MULTIQA_URL="http://127.0.0.1:1", **model)
    assert done.exit_code == 0, done.output
    assert Path("given/other").is_dir()
    assert not Path("collections").exists()


def test_a_model_that_is_not_there_is_the_one_that_was_set(folder: Path) -> None:
    done = invoke("plan", "--job", "nightly", MULTIQA_MODEL="./nowhere")
    assert "nowhere" in done.output or "nowhere" in str(done.exception)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "multiqa.toml cannot be read: No such file"),
        ("[jobs", "multiqa.toml is not TOML"),
        ("[jobs.weekly]", r"has no table \[jobs.nightly\]. Its jobs: weekly"),
        (
            JOB.replace("prune", "prnue"),
            "prnue is not an option of multiqa sync. Did you mean prune",
        ),
        (JOB + 'api-key = "secret"', "api-key-variable names the environment variable"),
        (JOB + 'header = ["a=secret"]', "MULTIQA_HEADER"),
        (JOB.replace("true", '"yes"'), "prune is 'yes', expected true or false"),
        (JOB.replace("= 5", "= true"), "max-errors is True, expected text or a number"),
        (JOB.replace("= 5", "= {}"), "expected text or a number"),
    ],
)
def test_a_job_that_cannot_be_used(folder: Path, content: str | None, says: str) -> None:
    if content is None:
        Path("multiqa.toml").unlink()
    else:
        Path("multiqa.toml").write_text(content)
    with pytest.raises(MultiQAError, match=says) as caught:
        raise invoke("sync", "--job", "nightly").exception or AssertionError("it was used")
    assert "secret" not in str(caught.value)


def test_a_job_of_another_file(folder: Path, test_model: Path) -> None:
    Path("jobs").mkdir()
    Path("multiqa.toml").rename("jobs/all.toml")
    done = invoke("sync", "--job", "jobs/all.toml:nightly", MULTIQA_MODEL=str(test_model))
    assert done.exit_code == 0, done.output


def test_the_key_comes_from_the_variable_that_is_named(folder: Path) -> None:
    server = ("collection", "list", "--url", "http://127.0.0.1:1", "--api-key-variable")
    assert "'NO_KEY', and that environment variable is not set" in error_of(
        invoke(*server, "NO_KEY")
    )
    refused = error_of(invoke(*server, "MY_KEY", MY_KEY="topsecret", MULTIQA_WAIT="0.1"))
    assert "http://127.0.0.1:1" in refused
    assert "topsecret" not in refused


def test_what_is_set_for_servers_leaves_folders_alone(folder: Path, test_model: Path) -> None:
    everywhere = {"MULTIQA_TIMEOUT": "5", "MULTIQA_GRPC": "1", "MULTIQA_API_KEY_VARIABLE": "NO_KEY"}
    model = {"MULTIQA_MODEL": str(test_model)}
    done = invoke("sync", "--job", "nightly", **everywhere, **model)
    assert done.exit_code == 0, done.output
    here = ("collection", "list", "--path", "collections")
    assert invoke(*here, **everywhere).exit_code == 0
    assert "go with url" in error_of(invoke(*here, "--timeout", "5"))
    copied = ("copy", "articles", "--from-path", "collections", "--to-path", "other")
    assert invoke(*copied, **everywhere).exit_code == 0


def test_a_misspelt_variable_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "quiet", False)  # as it is afterwards
    done = invoke("collection", "list", "--path", ".", MULTIQA_MODLE="x")
    assert "MULTIQA_MODLE is set, and no command reads it. Did you mean MULTIQA_MODEL?" in " ".join(
        done.stderr.split()
    )
    quiet = invoke("--quiet", "collection", "list", "--path", ".", MULTIQA_MODLE="x")
    assert (quiet.exit_code, quiet.stderr) == (0, "")


def test_every_command_reads_the_variables_of_the_model() -> None:
    """Above all MULTIQA_OFFLINE: whoever sets it counts on no command using the network."""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for option in command.params:
            if option.name in ("model", "offline", "backend", "dtype"):
                assert option.envvar == variable_of(option.name) or name == "download", name


def test_doctor_shows_what_comes_from_where(folder: Path, test_model: Path) -> None:
    variables = {
        "MULTIQA_MODEL": str(test_model),
        "MULTIQA_URL": "https://user:pw@example.org",
        "QDRANT_API_KEY": "topsecret",
    }
    done = invoke("doctor", "--offline", "--json", "--job", "nightly", **variables)
    shown = json.loads(done.stdout)
    assert shown["MULTIQA_MODEL"] == shown["Model"] == str(test_model)
    assert shown["MULTIQA_URL"] == "https://example.org"
    assert shown["QDRANT_API_KEY"] == "(set)"
    assert shown["multiqa.toml: title-field"] == "headline"


def test_the_classes_of_python_take_the_same_model(
    test_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MultiQAEncoder().settings["model"] == MULTI_QA.name
    monkeypatch.setenv("MULTIQA_MODEL", str(test_model))
    assert MultiQAEncoder().settings["model"] == str(test_model)
    assert MultiQAEmbeddings().model == str(test_model)
    assert MultiQAEmbedding().model_name == str(test_model)
    assert MultiQAEmbedding(model_name="given").model_name == "given"
