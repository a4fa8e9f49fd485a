"""The notebooks of the site run from their first cell to their last, and print what they show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs" / "notebooks").glob("*.ipynb"))


def run(notebook: Path, folder: Path) -> Any:
    """Run a notebook in a folder."""
    content = nbformat.read(notebook, as_version=4)
    nbclient.NotebookClient(
        content, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return content


def printed(cell: Any) -> list[str]:
    return [output.get("text") or output["data"]["text/plain"] for output in cell.outputs]


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_shows_what_it_prints(
    notebook: Path, test_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULTIQA_MODEL", str(test_model))
    shown = nbformat.read(notebook, as_version=4)
    ran = run(notebook, tmp_path)
    for before, after in zip(shown.cells, ran.cells, strict=True):
        if before.cell_type == "code":
            assert printed(after) == printed(before), before.source
