"""The notebooks of examples/: valid, small, with outputs that anybody's machine could have made."""

import re
import runpy
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
LARGEST = 300_000  # bytes
PLACES = re.compile(r"/(?:home|root|tmp|work|Users|usr|opt|var)/|[A-Z]:\\\\|https?://|\bat 0x")
TIMES = ("iopub", "shell.execute_reply", "ExecuteTime", "start_time")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def outputs(notebook: Any) -> list[Any]:
    return [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]


def kinds(notebook: Any) -> list[tuple[str, list[str]]]:
    return [(each.output_type, sorted(each.get("data", ()))) for each in outputs(notebook)]


def test_both_notebooks_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["quickstart", "reference_study"]


@each_notebook
def test_a_notebook_is_valid_small_and_has_its_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)

    nbformat.validate(notebook)
    assert path.stat().st_size < LARGEST
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [cell.source for cell in cells if not cell.outputs] == []
    assert {each.output_type for each in outputs(notebook)} <= {"execute_result", "stream"}
    assert [each.text for each in outputs(notebook) if each.get("name") == "stderr"] == []


@each_notebook
def test_a_notebook_says_nothing_about_the_machine_it_ran_on(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)

    for each in outputs(notebook):
        each.get("data", {}).pop("image/png", None)
    text = nbformat.writes(notebook)
    assert PLACES.findall(text) == []
    assert [word for word in TIMES if word in text] == []
    assert set(notebook.metadata["language_info"]) == {"name"}


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs_and_its_outputs_are_of_the_same_kinds(path: Path) -> None:
    executed = runpy.run_path(str(ROOT / "examples" / "execute.py"))["executed"]

    again, committed = executed(path), nbformat.read(path, as_version=4)

    assert kinds(again) == kinds(committed)
    shown = next(c for c in again.cells if c.cell_type == "code").outputs[0].data["text/plain"]
    old = next(c for c in committed.cells if c.cell_type == "code").outputs[0].data["text/plain"]
    assert shown.split(":")[0] == old.split(":")[0]  # what it is; its figures follow from the CPU
