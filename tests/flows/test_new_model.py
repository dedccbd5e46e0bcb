"""A new model is one file and one line: everything else works on it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

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


@pytest.fixture(scope="module", autouse=True)
def toy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "toy", __name__)
        yield


@pytest.fixture(scope="module")
def searched(lab: Any, toy: None) -> Any:
    """An experiment with the new model."""
    from flows.experiment import experiment
    from flows.model_config import model_config
    from recsys.config import changed
    from tests.flows.conftest import quick

    config = model_config(quick(), "toy", 0, has_profiles=False)
    config = changed(config, {"search.power": [0.2, 1.0], "study.sampler": "grid"})
    return experiment(lab.plays, config, lab.workspace.root, None, "toy")


def test_an_experiment_searches_it_and_judges_it_beside_the_baselines(searched: Any) -> None:
    assert {each.params["power"] for each in searched.trials} == {0.2, 1.0}
    assert set(searched.models) == {"popularity-plays", "popularity-users", "toy"}


def test_without_a_space_of_its_own_it_is_measured_at_its_default_point(lab: Any) -> None:
    from flows.compare import CompareRequest, compare
    from tests.flows.conftest import quick

    request = CompareRequest(lab.plays, None, quick(), ("toy", "item-knn"), 1, False, "with-toy")
    comparison = compare(request, lab.workspace.root).comparison

    assert {"toy", "item-knn"} <= set(comparison.models)
    assert comparison.splits[0].results["toy"].params == {"power": 0.5}


def test_it_recommends(lab: Any, searched: Any) -> None:
    from recsys.serving.answers import known_user
    from tasks.serving.load import find_served_run, load_served

    served = load_served(lab.workspace, find_served_run(lab.workspace, searched.runs["final"]))

    assert served.config.kind == "toy"
    assert len(known_user(served, 0, 3).items) == 3


def test_a_registered_version_brings_its_file_along_and_answers_where_it_is_unknown(
    lab: Any, searched: Any
) -> None:
    from flows.cli import registry
    from tasks.tracking.client import open_client

    version = registry.register(lab.workspace, searched.runs["final"], "toys").version
    client = open_client(lab.workspace)
    place = Path(client.get_model_version_download_uri("toys", str(version.number))[7:])
    code = f"""
from pathlib import Path
from recsys.serving.package import unpack
served = unpack(Path({str(place / "artifacts" / "served")!r}))
print(*served.model.recommend(served.cells.rows[:1], 3).items[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert (place / "artifacts" / "served" / "models" / "toy.py").is_file()
    assert len(done.stdout.split()) == 3
