"""A new model is one file and one line: everything else works on it.

This file is the file. A copy of it travels with a registered version, to where neither `flows` nor
`tasks` are, so they are imported by the tests that use them.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pytest
from pydantic import PositiveFloat

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.models import MODELS
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.config import ModelConfig
from recsys.models.recommender import Recommendations
from recsys.models.top_k import best

if TYPE_CHECKING:
    from flows.result import Result
    from tasks.orchestration.server import Server

pytestmark = pytest.mark.flow


class ToyConfig(ModelConfig):
    kind: Literal["toy"] = "toy"
    power: PositiveFloat = 0.5


class Toy:
    """Items by the sum of their plays to a power."""

    def __init__(self, config: ToyConfig) -> None:
        self._config = config

    def fit(self, train: Interactions) -> Self:
        powers = train.plays**self._config.power
        self._scores = np.bincount(train.cols, powers, len(train.items)).astype(np.float32)
        self._seen = train.matrix()
        return self

    def arrays(self) -> ModelArrays:
        return {"scores": self._scores}

    def restore(self, train: Interactions, stored: StoredArrays) -> Self:
        self._scores = stored.dense("scores", np.float32, len(train.items))
        self._seen = train.matrix()
        return self

    def recommend(self, users: Any, k: int) -> Recommendations:
        scores = np.where(self._seen[users].toarray() > 0, -np.inf, self._scores)
        return Recommendations(users, *best(scores.astype(np.float32), k))

    def fold_in(
        self, history: Interactions, users: Any, k: int, profiles: Profiles | None = None
    ) -> Recommendations:
        scores = np.where(history.matrix()[users].toarray() > 0, -np.inf, self._scores)
        return Recommendations(users, *best(scores.astype(np.float32), k))


CONFIG = ToyConfig


def create(config: ToyConfig, seed: int, profiles: Profiles | None = None) -> Toy:
    return Toy(config)


@pytest.fixture(scope="module")
def place(
    starting: "Server", mlflow_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A separate workspace: other tests do not know the model that the one line adds."""
    from tasks.workspace.layout import Workspace
    from tests.conftest import copy_database

    workspace = Workspace.at(tmp_path_factory.mktemp("new-model") / "mlruns")
    copy_database(mlflow_database, workspace.tracking_database)
    starting.wait()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "toy", __name__)
        yield workspace.root
    from tasks.workspace.code import code_parts

    code_parts.cache_clear()  # it counted the file of the model


@pytest.fixture(scope="module")
def searched(place: Path, sample: tuple[Path, Path]) -> "Result":
    from flows.experiment import experiment
    from flows.model_config import model_config
    from recsys.config import changed
    from tests.flows.conftest import quick

    config = model_config(quick(), "toy", 0, has_profiles=False)
    config = changed(config, {"search.power": [0.2, 1.0], "study.sampler": "grid"})
    return experiment(sample[0], config, place, None, "toy")


def test_an_experiment_searches_it_and_judges_it_beside_the_baselines(searched: "Result") -> None:
    assert {each.params["power"] for each in searched.trials} == {0.2, 1.0}
    assert set(searched.models) == {"popularity-plays", "popularity-users", "toy"}


@pytest.mark.slow
def test_a_comparison_measures_it_at_its_default_point_without_a_space_of_its_own(
    place: Path, sample: tuple[Path, Path]
) -> None:
    from flows.compare import CompareRequest, compare
    from tests.flows.conftest import quick

    models = ("toy", "item-knn")
    request = CompareRequest(sample[0], None, quick(), models, 1, False, "with-toy")

    comparison = compare(request, place).comparison

    assert set(models) <= set(comparison.models)
    assert comparison.splits[0].results["toy"].params == {"power": 0.5}


def test_it_recommends(place: Path, searched: "Result", capsys: pytest.CaptureFixture[str]) -> None:
    from flows.cli.main import main

    run = searched.runs["final"]
    assert main(["recommend", "--run", run, "--k", "3", "--json", "--workspace", str(place)]) == 0

    assert "toy" in capsys.readouterr().out


def test_a_registered_version_brings_its_file_along_and_answers_where_it_is_unknown(
    place: Path, searched: "Result", tmp_path: Path
) -> None:
    from flows.cli.main import main

    run = searched.runs["final"]
    assert main(["register", "--run", run, "--workspace", str(place)]) == 0

    (copy,) = place.rglob("served/models/toy.py")
    code = f"""
from pathlib import Path
from recsys.serving.package import unpack
served = unpack(Path({str(copy.parents[1])!r}))
print(*served.model.recommend(served.cells.rows[:1], 3).items[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(copy.parents[3] / "code")},
    )

    assert len(done.stdout.split()) == 3, done.stderr
