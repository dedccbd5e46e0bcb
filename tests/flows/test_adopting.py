"""A study that other code made is refused, or resumed where the user adopts it."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from flows.cli.main import main
from flows.experiment import work
from recsys.errors import InputError
from tasks.tracking.client import open_client
from tasks.tracking.queries import children
from tasks.tracking.runs import experiment_of
from tasks.tuning import ADOPTED, find_search
from tasks.workspace import code
from tasks.workspace.code import MEASURING, code_id
from tasks.workspace.layout import Workspace
from tests.conftest import copy_database
from tests.flows.conftest import quick

Changed = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def changed(tmp_path: Path) -> Changed:
    """Within the block the code that runs has another line in a file."""
    copy = tmp_path / "code"
    for package in ("recsys", "tasks", "flows"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(code.ROOT / package, copy / package, ignore=ignored)

    @contextmanager
    def change(file: str) -> Iterator[None]:
        with (copy / file).open("a", encoding="utf-8") as source:
            source.write('"""A docstring."""\n')
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(code, "ROOT", copy)
            code.code_parts.cache_clear()
            yield
        code.code_parts.cache_clear()

    return change


@pytest.fixture
def place(tmp_path: Path, mlflow_database: Path) -> Workspace:
    workspace = Workspace.at(tmp_path / "mlruns")
    copy_database(mlflow_database, workspace.tracking_database)
    return workspace


Worker = Callable[..., None]


@pytest.fixture
def worker(place: Workspace, sample: tuple[Path, Path]) -> Worker:
    """Takes part in a study until so many trials are done."""

    def run(trials: int, adopt: bool = False) -> None:
        config = quick(study={"trials": trials, "sampler": "random"})
        work(sample[0], config, place, None, "study", [], through_prefect=False, adopt=adopt)

    return run


def codes(place: Workspace) -> list[str]:
    """The tag `code` of each trial, by slot."""
    parent = find_search(place, "study")[0].recall("parent")
    tags = children(place, experiment_of(place, parent), parent).values()
    return [each["code"] for each in sorted(tags, key=lambda each: int(each["trial"]))]


def splits(place: Workspace) -> int:
    return len(list((place.cache / "split").iterdir()))


def test_adopted_code_measures_the_next_trials_and_each_says_its_own(
    place: Workspace, worker: Worker, changed: Changed
) -> None:
    worker(1)
    before = code_id(MEASURING, "als")
    with changed("recsys/models/als.py"):
        with pytest.raises(
            InputError, match=r"'study' .* other code: recsys/models changed; --ado"
        ):
            worker(2)
        worker(2, adopt=True)
        worker(3)
        after = code_id(MEASURING, "als")

    assert codes(place) == [before, after, after]
    parent = find_search(place, "study")[0].recall("parent")
    tags = open_client(place).get_run(parent).data.tags
    assert json.loads(tags[ADOPTED]) == [{"code": after, "changes": "recsys/models changed"}]
    assert tags["code"] == before
    assert splits(place) == 1


@pytest.mark.parametrize(("adopt", "n_splits"), [(True, 1), (False, 2)])
def test_adopting_uses_the_stages_of_other_code(
    place: Workspace, worker: Worker, changed: Changed, adopt: bool, n_splits: int
) -> None:
    worker(1)
    refused = pytest.raises(InputError, match="recsys/splitting changed")
    with changed("recsys/splitting/cutting.py"), nullcontext() if adopt else refused:
        worker(1, adopt=adopt)

    assert splits(place) == n_splits


def test_a_change_that_decides_nothing_ends_no_study_and_empties_no_cache(
    place: Workspace, worker: Worker, changed: Changed
) -> None:
    worker(1)
    for file in ("recsys/serving/names.py", "recsys/plots/drawing.py", "flows/experiment.py"):
        with changed(file):
            worker(2)

    assert len(set(codes(place))) == 1
    assert splits(place) == 1


def test_the_command_line_refuses_other_code_adopts_it_and_is_quiet(
    place: Workspace,
    sample: tuple[Path, Path],
    changed: Changed,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["study", "work", "study", "--workspace", str(place.root)]
    settings = ("search.factors=4", "search.iterations=2", "study.pruner=none", "study.first=[]")
    request = ["--plays", str(sample[0]), "--set", "judge.resamples=50"]
    request += [each for setting in settings for each in ("--set", setting)]

    assert main([*words, *request, "--trials", "1"]) == 0
    assert "trial 1/1" in capsys.readouterr().err
    with changed("recsys/models/als.py"):
        assert main([*words, "--trials", "2", "--quiet"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "recsys/models changed; --adopt" in line
        assert main([*words, "--trials", "2", "--adopt", "--quiet"]) == 0

    out, err = capsys.readouterr()
    assert "2 of 2 trials done" in out
    assert err == ""
    assert len(set(codes(place))) == 2
