"""Which code a result was made by."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.workspace import code
from tasks.workspace.code import (
    MEASURING,
    READING,
    ROOT,
    SERVING,
    SPLITTING,
    code_id,
    differences,
    fingerprints,
    id_of,
)

SCOPES = {
    "reading": READING,
    "splitting": SPLITTING,
    "measuring": MEASURING,
    "serving": SERVING,
}
DECIDING_NOTHING = {"library", "plots", "protocols", "report"}
SHARED = {
    "bounds",
    "dtypes",
    "errors",
    "renames",
    "progress",
    "described",  # forms of deployments
    "settings",
    "identity",
    "config",
    "seeds",
    "files",
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages as they are, to be changed."""
    for name in ("recsys", "tasks", "flows"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def ids(root: Path) -> dict[str, str]:
    return {name: id_of(fingerprints(scope, root)) for name, scope in SCOPES.items()}


def changed_by(root: Path, file: str) -> set[str]:
    """The scopes that change with a line in a file, which may be new."""
    before = ids(root)
    path = root / file
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as source:
        source.write('"""A changed line."""\n')
    after = ids(root)
    return {name for name in SCOPES if before[name] != after[name]}


def test_the_code_that_runs_is_that_of_its_files(copy: Path) -> None:
    assert ids(copy) == {name: code_id(scope) for name, scope in SCOPES.items()}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        *((f"recsys/sources/{name}.py", set(SCOPES)) for name in ("lastfm", "new")),
        ("recsys/data/filtering.py", set(SCOPES)),
        ("recsys/seeds.py", set(SCOPES)),
        ("recsys/splitting/cutting.py", set(SCOPES) - {"reading"}),
        *((f"recsys/models/{name}.py", {"measuring", "serving"}) for name in ("als", "new")),
        ("recsys/models/reference.py", {"measuring", "serving"}),
        ("recsys/kernels/loops.py", {"measuring", "serving"}),
        ("recsys/evaluation/metrics.py", {"measuring", "serving"}),
        ("recsys/search/space.py", {"measuring", "serving"}),
        ("recsys/config.py", {"measuring", "serving"}),
        ("tasks/tuning/sampling.py", {"measuring"}),
        ("tasks/study/monitor.py", {"measuring"}),
        ("recsys/serving/answers.py", {"serving"}),
        *((f"recsys/{folder}/new.py", set()) for folder in ("library", "plots", "report")),
        *((f"flows/{name}.py", set()) for name in ("experiment", "cli/main", "new")),
        *(
            (f"tasks/{name}.py", set())
            for name in ("serving/load", "tracking/queries", "tracking/runs")
        ),
        ("recsys/notes.txt", set()),
        ("recsys/models/notes.txt", set()),
    ],
)
def test_a_change_counts_for_the_results_that_may_depend_on_it(
    copy: Path, file: str, expected: set[str]
) -> None:
    assert changed_by(copy, file) == expected


def test_a_renamed_file_counts(copy: Path) -> None:
    before = ids(copy)
    (copy / "recsys/models/als.py").rename(copy / "recsys/models/factors.py")

    assert ids(copy)["measuring"] != before["measuring"]


def test_another_library_counts_for_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids(ROOT)
    monkeypatch.setattr(code, "version", lambda name: "9.9")

    assert {name for name, value in ids(ROOT).items() if value != before[name]} == {"measuring"}


def test_every_file_of_a_scope_is_there() -> None:
    parts = {part for scope in SCOPES.values() for part in scope if part.endswith(".py")}

    assert all((ROOT / part).is_file() for part in parts)


def test_every_folder_counts_for_something_or_is_known_to_decide_nothing() -> None:
    folders = {path.parent.name for path in (ROOT / "recsys").glob("*/__init__.py")}

    assert folders <= {part.removeprefix("recsys/") for part in SERVING} | DECIDING_NOTHING


@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
def test_a_scope_imports_no_folder_that_does_not_count_for_it(scope: tuple[str, ...]) -> None:
    counting = {part.split("/")[1] for part in scope if part.startswith("recsys/")}
    missing = {
        (path, folder)
        for path in _sources(scope)
        for folder in _folders_imported(path)
        if folder not in counting | SHARED
    }

    assert missing == set()


def _sources(scope: tuple[str, ...]) -> Iterator[Path]:
    for part in scope:
        if part.startswith("recsys/") and not part.endswith(".py"):
            yield from (ROOT / part).rglob("*.py")


def _folders_imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("recsys."):
            yield str(node.module).split(".")[1]


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"recsys/data": "1", "numpy": "2.0"}, ""),
        ({"recsys/data": "2", "numpy": "2.0"}, "recsys/data changed"),
        ({"recsys/data": "1", "numpy": "1.0"}, "numpy is 2.0 and was 1.0"),
        ({"recsys/data": "1"}, "numpy is 2.0 and was not counted"),
        ({"numpy": "2.0", "recsys/old": "1"}, "recsys/data changed, recsys/old changed"),
        ("0123456789abcdef", "an earlier version of recsys"),
        (None, "an earlier version of recsys"),
    ],
)
def test_a_difference_names_folders_and_libraries(known: object, words: str) -> None:
    assert differences(known, {"recsys/data": "1", "numpy": "2.0"}) == words
