"""recsys <- tasks <- flows, each outside library behind its door, and a quiet pure layer."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from recsys.models import COMPOSITES, MODELS

ROOT = Path(__file__).parent.parent
LAYERS = ("recsys", "tasks", "flows")  # each may import itself and what stands before it
DOORS = {
    "mlflow": {
        "tasks/tracking/",
    },
    "optuna": {"tasks/tuning/"},
    "implicit": {"recsys/models/als_implicit.py", "recsys/models/bpr.py"},
    "numba": {"recsys/kernels/"},
    "matplotlib": {"recsys/plots/"},  # all files of this folder
    "torch": {"recsys/models/neural.py"},
}
OUTSIDE = {"prefect", "mlflow", "optuna"}
NETWORK = {"socket", "ssl", "http", "urllib.request", "requests", "httpx", "aiohttp"}


@cache
def parsed(path: Path) -> ast.Module:
    """The tree of a source file; nine tests ask for all of them."""
    return ast.parse(path.read_text(encoding="utf-8"))


def sources(*layers: str) -> Iterator[tuple[str, ast.Module]]:
    """Every source file of the layers: its path in the repository and its tree."""
    for layer in layers:
        for path in sorted((ROOT / layer).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), parsed(path)


def imported(tree: ast.Module) -> Iterator[str]:
    """Full names of the modules a file imports, at its top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def started(tree: ast.Module) -> Iterator[str]:
    """Names of modules that a file starts in a new process: those after "-m" in a list."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple):
            words = [each.value if isinstance(each, ast.Constant) else None for each in node.elts]
            yield from (
                str(name) for flag, name in pairwise(words) if flag == "-m" and name is not None
            )


def dotted(tree: ast.Module) -> Iterator[str]:
    """Texts of a file that are the dotted name of a module, such as "flows.x"."""
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and "." in text and all(map(str.isidentifier, text.split("."))):
            yield text


def within(names: Iterable[str], packages: Iterable[str]) -> set[str]:
    """Those of the packages that one of the names is, or lies in."""
    dotted = {f"{name}." for name in names}
    return {package for package in packages if any(n.startswith(f"{package}.") for n in dotted)}


def through(path: str, doors: Iterable[str]) -> bool:
    """Whether a file is one of the doors, or lies in one that is a folder."""
    return any(path == door or (door.endswith("/") and path.startswith(door)) for door in doors)


def called(tree: ast.Module) -> Iterator[str]:
    """Names of what is called as a plain name, such as print."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def mentioned(tree: ast.Module) -> Iterator[str]:
    """Names and attributes a file uses or imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_point_one_way(layer: str) -> None:
    above = LAYERS[LAYERS.index(layer) + 1 :]
    upward = {
        path: bad
        for path, tree in sources(layer)
        if (bad := within([*imported(tree), *started(tree), *dotted(tree)], above))
    }

    assert upward == {}


def test_a_module_that_is_started_by_name_is_seen() -> None:
    code = 'command = [sys.executable, "-m", "flows.x", port]\nimport_module("flows.y")'

    assert list(started(ast.parse(code))) == ["flows.x"]
    assert set(dotted(ast.parse(code))) == {"flows.x", "flows.y"}


def test_every_module_that_is_started_by_name_exists() -> None:
    names = {name for _, tree in sources(*LAYERS) for name in started(tree)}
    ours = {name for name in names if name.partition(".")[0] in LAYERS}

    assert ours >= {"tasks.tuning.dashboard", "tasks.orchestration.server"}
    assert {name for name in ours if not (ROOT / f"{name.replace('.', '/')}.py").exists()} == set()


@pytest.mark.parametrize("library", DOORS)
def test_each_outside_library_has_one_door(library: str) -> None:
    users = {path for path, tree in sources(*LAYERS) if within(imported(tree), [library])}

    assert {user for user in users if not through(user, DOORS[library])} == set()


def test_no_module_outside_the_models_knows_one_of_them() -> None:
    models = {*MODELS.values(), *COMPOSITES.values()}
    users = {
        path
        for path, tree in sources(*LAYERS)
        if not path.startswith("recsys/models/") and models & set(imported(tree))
    }

    assert users == set()


def test_what_travels_with_a_registered_model_needs_nothing_else_of_ours() -> None:
    path = ROOT / "tasks" / "tracking" / "registered_model.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ours = {name.partition(".")[0] for name in imported(tree)} - sys.stdlib_module_names

    assert ours == {"mlflow", "pandas", "recsys"}


def test_recsys_imports_no_orchestrator_and_no_network_even_inside_a_function() -> None:
    impure = {
        path: bad
        for path, tree in sources("recsys")
        if (bad := within(imported(tree), OUTSIDE | NETWORK))
    }

    assert impure == {}


def test_only_flows_read_the_environment() -> None:
    readers = {
        path
        for path, tree in sources("recsys", "tasks")
        if {"environ", "environb", "getenv"} & set(mentioned(tree))
    }

    assert readers == set()


def test_only_the_command_line_prints() -> None:
    printers = {path for path, tree in sources(*LAYERS) if "print" in called(tree)}

    assert {path.rpartition("/")[0] for path in printers} <= {"flows/cli"}


def test_recsys_does_not_log() -> None:
    loggers = {path for path, tree in sources("recsys") if within(imported(tree), ["logging"])}

    assert loggers == set()


def test_all_of_recsys_loads_without_orchestrators_connections_plots_or_model_libraries() -> None:
    code = """
import importlib, pkgutil, sys
def refuse(event, arguments):
    if event in {"socket.connect", "socket.bind", "socket.getaddrinfo"}:
        raise RuntimeError(f"{event} while importing recsys: {arguments}")
sys.addaudithook(refuse)
import recsys
names = [module.name for module in pkgutil.walk_packages(recsys.__path__, "recsys.")]
for name in names:
    importlib.import_module(name)
assert names
heavy = {"prefect", "mlflow", "optuna", "matplotlib", "implicit", "torch", "tasks", "flows"}
print(*sorted(heavy & sys.modules.keys()))
"""

    assert run_python(code) == ""


def test_loading_recsys_alone_is_light() -> None:
    heavy = {"scipy", "pandas", "pyarrow", "implicit"}

    assert run_python(f"import sys, recsys; print(*({heavy} & sys.modules.keys()))") == ""
