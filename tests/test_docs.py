"""What the documents say is so."""

import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from flows.cli.main import COMMANDS
from recsys.config import ExperimentConfig
from recsys.evaluation.metrics import METRICS, OFFERED
from recsys.evaluation.report import Report
from recsys.models import COMPOSITES, MODELS
from recsys.models.als import AlsConfig

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
ELSEWHERE = {"split", "search", "space"}  # the first two have tables of their own; space is a file


def rows(document: str, heading: str = "") -> list[list[str]]:
    text = (ROOT / document).read_text(encoding="utf-8").partition(heading)[2]
    lines = text.partition("\n## ")[0].splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if "| `" in line
    ]


def settings(model: type[BaseModel], above: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if above + name in ELSEWHERE:
            continue
        if isinstance(default, BaseModel):
            found |= settings(type(default), f"{above}{name}.")
        else:
            found[above + name] = default
    return found


def as_toml(text: str) -> object:
    if text == "none":
        return None
    return tomllib.loads(f"value = {text.strip('`')}")["value"]


def test_every_setting_is_documented_with_its_default() -> None:
    documented = {
        row[0].strip("`"): as_toml(row[-1])
        for row in rows("docs/configuration.md", "# Configuration")
        if row[0].strip("`").split(".")[0] not in ELSEWHERE
    }

    actual = {
        name: list(v) if isinstance(v, tuple) else v
        for name, v in settings(ExperimentConfig).items()
    }
    assert documented == actual


def test_every_parameter_of_als_is_documented_with_its_default() -> None:
    documented = {
        row[0].strip("`"): as_toml(row[-1])
        for row in rows("docs/configuration.md", "## Parameters of ALS")
    }

    assert documented == AlsConfig().model_dump(exclude={"kind"})


def test_every_metric_is_defined() -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")

    defined = set(re.findall(r"^\| (\w+)@k \|", text, flags=re.MULTILINE))
    assert defined == {*METRICS, "coverage", "gini", "novelty", "popularity"}
    assert Report.of_all_lists.__doc__ is not None


def test_the_example_of_the_metrics_is_right() -> None:
    hits, n_relevant = np.array([[True, False, False, True, False]]), np.array([3])
    documented = {row[0].strip("`"): row[1] for row in rows("docs/metrics.md", "# Metrics")}

    values = {name: metric(hits, n_relevant, [5])[0, 0] for name, metric in OFFERED.items()}
    assert documented == {name: f"{value:.4f}" for name, value in values.items()}


def test_every_metric_has_a_definition_and_the_function_it_names() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")

    defined = set(re.findall(r"^\*\*(\w+)@k\*\*", text, flags=re.MULTILINE))
    assert defined == {*OFFERED, "coverage", "gini", "novelty", "popularity"}
    for name in re.findall(r"`(recsys[\w.]+)`", text):
        module, _, function = name.rpartition(".")
        assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize("command", ["study", *(each.name for each in COMMANDS)])
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"recsys {command}" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")

    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", text) if not t.startswith("http")]
    assert [t for t in targets if not (document.parent / t).exists()] == []


@pytest.mark.parametrize(
    "document",
    [path for path in DOCUMENTS if path.name != "CHANGELOG.md"],  # it names what was removed
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_paths_of_the_repository_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    folders = "recsys|tasks|flows|tests|benchmarks|docs"

    paths = re.findall(rf"(?<![\w/.-])(?:{folders})/[\w./-]*[\w/]", text)
    modules = re.findall(r"`((?:recsys|tasks|flows)(?:\.\w+)+)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [name for name in modules if resolved(name) is None] == []


def resolved(name: str) -> Path | None:
    """The file of a module, or of the module that a dotted name of a function begins with."""
    path = ROOT.joinpath(*name.split("."))
    candidates = (path, path.with_suffix(".py"), path.parent.with_suffix(".py"))
    return next((each for each in candidates if each.exists()), None)


def test_the_readme_fits_two_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_every_model_is_documented_by_the_first_line_of_its_file() -> None:
    documented = {row[0].strip("`"): row[1] for row in rows("docs/models.md", "# Models")}

    modules = {**MODELS, **COMPOSITES}
    docs = {name: inspect.getdoc(import_module(module)) or "" for name, module in modules.items()}
    assert documented == {name: text.splitlines()[0] for name, text in docs.items()}
