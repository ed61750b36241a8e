"""The notebook of the examples runs from top to bottom, in small and as it stands: both when time allows."""

from __future__ import annotations

import ast
import os
import re
from operator import attrgetter
from pathlib import Path

import nbclient
import nbformat
import pytest
from nbformat import NotebookNode

import ltgc_cli

DEMO = Path(__file__).parents[1] / "examples" / "demo.ipynb"
SMALL = 'DATA, TAIL, K, STEPS = "digits-lt", "few", 3, 5'


@pytest.fixture
def demo() -> NotebookNode:
    return nbformat.read(DEMO, as_version=4)


def code_of(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def run(notebook: NotebookNode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Returns what kinds of output each cell has, once it ran in a kernel of its own with an empty store."""
    for name in [name for name in os.environ if name.startswith("LTGC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LTGC_CACHE_DIR", str(folder / "store"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return [[kind for output in cell.outputs for kind in output.get("data", {})] for cell in code_of(notebook)]


def check(shown: list[list[str]], folder: Path) -> None:
    tables, plots = [1, 3], [4, 5, 6, 7, 8]
    assert all("text/html" in shown[place] for place in tables)
    assert all("image/png" in shown[place] for place in plots)
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_the_demo_is_ten_cells_without_their_outputs(demo: NotebookNode) -> None:
    nbformat.validate(demo)
    assert len(code_of(demo)) == 10
    assert all(not cell.outputs and cell.execution_count is None for cell in code_of(demo))


def test_the_demo_calls_only_what_the_package_has(demo: NotebookNode) -> None:
    code = "\n".join(cell.source for cell in code_of(demo))
    ast.parse(code)
    named = set(re.findall(r"\bltgc\.((?:figures\.)?\w+)", code))
    assert len(named) > 8
    for name in named:
        assert attrgetter(name)(ltgc_cli), name


@pytest.mark.slow
def test_the_demo_runs(demo: NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = code_of(demo)[0]
    assert first.metadata.tags == ["parameters"]
    first.source = f"import ltgc_cli as ltgc\n{SMALL}"
    check(run(demo, tmp_path, monkeypatch), tmp_path)


@pytest.mark.slow
def test_the_demo_runs_as_it_stands(demo: NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(run(demo, tmp_path, monkeypatch), tmp_path)
    text = "".join(output.get("text", "") for cell in code_of(demo) for output in cell.outputs)
    assert "filter: " in text and "Traceback" not in text
