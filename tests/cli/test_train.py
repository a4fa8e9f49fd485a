"""`multiqa train`, run as a person runs it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("accelerate")
pytest.importorskip("datasets")
pytest.importorskip("sentence_transformers")

from multiqa_integrations.cli import app, jobs
from multiqa_integrations.cli.train import _parse_set
from multiqa_integrations.digest import sha256
from multiqa_integrations.errors import CollectionMismatchError, MultiQAError
from multiqa_integrations.training import PairSet
from tests.support.pairs import glossary, rows, write_lines
from tests.support.retrieval_set import write_set

ENVIRONMENT = {**os.environ, "COLUMNS": "200", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
COMMAND = [sys.executable, "-m", "multiqa_integrations"]
QUICK = ["--batch-size", "8", "--max-length", "16", "--threads", "1", "--blend", "1"]


def multiqa(*arguments: object) -> Result:
    """Run a command in this process, which has torch loaded."""
    return CliRunner().invoke(app, list(map(str, arguments)), env={"HF_HUB_OFFLINE": "1"})


def refused(*arguments: object) -> tuple[int, str]:
    """Return the exit status and the message of a command that ends before it trains."""
    result = CliRunner().invoke(app, ["train", *map(str, arguments)], env={"HF_HUB_OFFLINE": "1"})
    if isinstance(result.exception, MultiQAError):  # `run` shows it, and exits so
        return jobs.status(result.exception), str(result.exception)
    return result.exit_code, result.output.replace("\n", " ")


def test_weights_stand_behind_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a:2").write_text("", encoding="utf-8")
    assert _parse_set("faq.jsonl") == PairSet("faq.jsonl")
    assert _parse_set("faq.jsonl:2.5") == PairSet("faq.jsonl", 2.5)
    assert _parse_set("C:\\faq.jsonl") == PairSet("C:\\faq.jsonl")
    assert _parse_set("a:2") == PairSet("a:2")  # there is such a file


def test_what_is_refused(test_model: Path, tmp_path: Path) -> None:
    pairs = write_lines(tmp_path / "pairs.jsonl", rows(200))
    out, base = tmp_path / "model", ["--base", test_model]
    for arguments, status, message in [
        (["--out", out], 2, "no pairs were given. Name a file, or pass --data-config"),
        ([pairs, "--out", out, "--blend", "half"], 2, "--blend is 'half', expected auto or a sh"),
        ([f"{pairs}:0", "--out", out], 2, "the weight of a set is 0.0, expected more than 0"),
        ([pairs, "--out", out, *base, "--test-model"], 2, "--test-model and --base exclude each"),
        ([pairs, "--out", pairs, *base], 2, "--out is the file"),
        ([pairs, "--out", tmp_path, *base], 2, "exists already. Name another directory"),
        ([pairs, "--out", out, *base, "--resume"], 2, "Leave resume (--resume) out to begin one"),
        ([pairs, "--out", out, "--base", tmp_path / "no"], 5, "does not exist"),
        ([pairs, "--out", out, "--base", "a/b", "--offline"], 5, "a/b"),
        ([tmp_path / "no.jsonl", "--out", out, *base], 2, "there is no file or folder"),
        ([pairs, "--out", out, *base, "--query-field", "q"], 2, "pairs to learn from: 0, where"),
        ([pairs, "--out", out, *base, "--keep-general", tmp_path], 2, "corpus.jsonl"),
        ([pairs, "--out", out, *base, "--minutes", "0"], 2, "minutes is 0.0, expected more than 0"),
    ]:
        found = refused(*arguments)
        assert message in found[1], arguments
        assert found[0] == status, (arguments, found[1])
        assert list(tmp_path.iterdir()) == [pairs], arguments


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere"
)
def test_the_folder_beside_the_output_must_be_writable(test_model: Path, tmp_path: Path) -> None:
    """An empty directory that may be written is not enough."""
    pairs = write_lines(tmp_path / "pairs.jsonl", rows(200))
    out = tmp_path / "closed" / "model"
    out.mkdir(parents=True)
    out.parent.chmod(0o500)
    status, message = refused(pairs, "--out", out, "--base", test_model)
    assert status == 2
    assert f"--out: the folder {str(out.parent)!r} is not writable" in message


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_random_pairs_give_status_3(test_model: Path, tmp_path: Path) -> None:
    pairs = rows(220)
    positives = [pair["positive"] for pair in pairs]
    random.Random(0).shuffle(positives)
    write_lines(
        tmp_path / "pairs.jsonl",
        [{**pair, "positive": text} for pair, text in zip(pairs, positives, strict=True)],
    )
    out = tmp_path / "model"
    result = multiqa(
        *["train", tmp_path / "pairs.jsonl", "--out", out, "--base", test_model],
        *["--steps", "4", *QUICK],
    )
    assert result.exit_code == 3, result.output
    assert "not better than its base beyond noise" in result.stderr
    assert (out / "model.safetensors").is_file()
    assert "not better than its base" in (out / "README.md").read_text(encoding="utf-8")


def begin(out: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "train", *map(str, arguments), "--out", str(out)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def wait_for_a_checkpoint(out: Path, process: subprocess.Popen[str]) -> None:
    folder = out.with_name(f".{out.name}.training") / "checkpoints"
    while not list(folder.glob("checkpoint-*/trainer_state.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "Ctrl-C"])
def test_killed_and_resumed(number: signal.Signals, test_model: Path, tmp_path: Path) -> None:
    pairs = write_lines(tmp_path / "pairs.jsonl", rows(220))
    arguments = [pairs, "--base", test_model, "--steps", "20", *QUICK]
    out = tmp_path / "model"
    with begin(out, *arguments) as process:
        wait_for_a_checkpoint(out, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=600)
    assert process.returncode == (130 if number == signal.SIGINT else -9), errors
    assert "Traceback" not in errors
    if number == signal.SIGINT:
        assert "of 20; pass resume=True (--resume) to go on" in errors
    assert not out.exists()
    resumed = multiqa("train", *arguments, "--out", out, "--resume", "--json")
    assert resumed.exit_code in (0, 3), resumed.output
    report: dict[str, Any] = json.loads(resumed.stdout)
    whole = multiqa("train", *arguments, "--out", tmp_path / "whole", "--json")
    assert json.loads(whole.stdout)["loss"] == report["loss"]
    assert sha256(out / "model.safetensors") == sha256(tmp_path / "whole" / "model.safetensors")


_AT = """
import importlib, os, sys
where, number, after = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "after"
sys.argv = ["multiqa", *sys.argv[4:]]
module, name = where.split(":")
owner = importlib.import_module(module)
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
real = getattr(owner, last)

def signalling(*arguments, **options):
    if not after:
        os.kill(os.getpid(), number)
    result = real(*arguments, **options)
    if after:
        os.kill(os.getpid(), number)
    return result

setattr(owner, last, signalling)
from multiqa_integrations.__main__ import main
main()
"""
"""Sends a signal to itself where a function is called, or where it has returned."""


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize(
    ("where", "when", "message"),
    [
        ("train:read_pairs", "before", None),
        ("workplace:Workplace.keep_plan", "after", "the training was stopped; pass --resume to"),
        ("output:write_checkpoint", "before", "the training was stopped; pass --resume to go on"),
        ("card:model_card", "after", "the training was stopped; pass --resume to go on"),
        ("workplace:Workplace.publish", "after", "the model is complete in"),
    ],
    ids=["reading", "planned", "blending", "card", "published"],
)
def test_a_signal_at_a_stage(
    where: str,
    when: str,
    message: str | None,
    number: signal.Signals,
    test_model: Path,
    tmp_path: Path,
) -> None:
    pairs = write_lines(tmp_path / "pairs.jsonl", rows(200))
    out, kept = tmp_path / "model", tmp_path / ".model.training"
    arguments = ["train", pairs, "--base", test_model, "--steps", "2", *QUICK, "--out", out]
    ended = subprocess.run(
        [
            *[sys.executable, "-c", _AT, f"multiqa_integrations.training.{where}"],
            *[str(int(number)), when, *map(str, arguments)],
        ],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ended.returncode == 128 + number, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ("interrupted" if number == signal.SIGINT else "stopped by SIGTERM") in ended.stderr
    if message is None:
        assert list(tmp_path.iterdir()) == [pairs]
        return
    assert message in ended.stderr.replace("\n", " ")
    if "complete" in message:
        assert (out / "model.safetensors").is_file()
        assert not kept.exists()
        return
    assert not out.exists()
    assert multiqa(*arguments, "--resume").exit_code in (0, 3)
    assert not kept.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="the parent ends with another status there")
def test_an_interrupt_while_the_command_line_is_imported() -> None:
    script = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'multiqa_integrations.cli': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from multiqa_integrations.__main__ import main\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=False
    )
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")


def retrieval_set(folder: Path, asked: Sequence[dict[str, Any]]) -> Path:
    every = glossary(432)
    return write_set(
        folder,
        documents={f"d{number}": ("", pair["positive"]) for number, pair in enumerate(every)},
        queries={f"q{number}": pair["query"] for number, pair in enumerate(asked)},
        qrels=[(f"q{number}", f"d{every.index(pair)}", 1) for number, pair in enumerate(asked)],
    )


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_from_pairs_to_a_better_collection(test_model: Path, tmp_path: Path) -> None:
    """The whole workflow: train, evaluate, change over."""
    from multiqa_integrations.langchain import MultiQAEmbeddings, MultiQAVectorStore

    every, out, store = glossary(432), tmp_path / "model", tmp_path / "collections"
    pairs = write_lines(tmp_path / "pairs.jsonl", every[:330])
    documents = write_lines(
        tmp_path / "documents.jsonl",
        ({"id": str(number), "text": pair["positive"]} for number, pair in enumerate(every)),
    )
    where = ["--path", store]
    synced = multiqa("sync", documents, "-c", "manual-1", *where, "--model", test_model)
    assert synced.exit_code == 0, synced.output
    assert multiqa("alias", "manual", "manual-1", *where).exit_code == 0

    trained = multiqa(
        *["train", pairs, "--out", out, "--base", test_model, "--threads", "1"],
        *["--steps", "16", "--batch-size", "24", "--learning-rate", "5e-4"],
    )
    assert trained.exit_code == 0, trained.output
    assert "better, in" in trained.stdout

    report = tmp_path / "report.json"
    never_seen = retrieval_set(tmp_path / "questions", every[332:])
    evaluated = multiqa(
        *["evaluate", never_seen, "--model", test_model, "--against", f"model={out}"],
        *["--json", report],
    )
    assert evaluated.exit_code == 0, evaluated.output
    comparison = json.loads(report.read_text(encoding="utf-8"))["sets"][0]["comparisons"][0]
    assert comparison["metric"] == "nDCG@10"
    assert comparison["confidence_interval_95"][0] > 0.05

    changed = multiqa("reembed", "manual", *where, "--model", out)
    assert changed.exit_code == 0, changed.output
    assert "manual now points to" in changed.stdout

    new, old = MultiQAEmbeddings(model=str(out)), MultiQAEmbeddings(model=str(test_model))
    with closing(MultiQAVectorStore(new, collection_name="manual", path=str(store))) as opened:
        found = [opened.similarity_search(pair["query"], k=10) for pair in every[332:372]]
    right = [
        pair["positive"] in [hit.page_content for hit in hits]
        for pair, hits in zip(every[332:372], found, strict=True)
    ]
    assert sum(right) > 10  # of 40; the base finds hardly one
    for embedding, collection in ((new, "manual-1"), (old, "manual")):
        with pytest.raises(CollectionMismatchError):
            MultiQAVectorStore(
                embedding, collection_name=collection, path=str(store)
            ).similarity_search("krad")
