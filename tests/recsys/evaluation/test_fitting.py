"""The one way to fit, restore and judge a model."""

from pathlib import Path

import numpy as np
import pytest

from recsys.evaluation.fitting import fit, fit_and_judge
from recsys.evaluation.protocol import judge
from recsys.models import build, make_config
from recsys.models.arrays import StoredArrays, save_arrays
from recsys.models.config import ModelConfig
from recsys.models.iterative import Iteration, Iterative, State, StopTraining
from recsys.search.curves import LossProbe
from recsys.splitting.split import Fold, random_split
from tests.conftest import cells_of

ALS = make_config("als", {"factors": 3, "iterations": 4})
EASE = make_config("ease", {})
EVERY = [ALS, EASE, make_config("popularity-users", {}), make_config("slim", {"neighbours": 9})]
each_model = pytest.mark.parametrize("config", EVERY, ids=lambda config: config.kind)


@pytest.fixture(scope="module")
def fold() -> Fold:
    rng = np.random.default_rng(3)
    cells = cells_of((rng.random((40, 30)) < 0.4) * rng.integers(1, 20, (40, 30)))
    return random_split(cells, 0.2, 5, (1, 2)).validation


@each_model
def test_fit_and_judge_reports_what_building_fitting_and_judging_report(
    fold: Fold, config: ModelConfig
) -> None:
    judged = fit_and_judge(config, 7, fold, (1, 5))

    alone = build(config, 7, fold.profiles).fit(fold.train)
    assert judged.report.summary() == judge(alone, fold, (1, 5)).summary()
    assert judged.recs.items.shape == (len(fold.judged), 5)
    assert judged.fit_seconds > 0
    assert judged.judge_seconds > 0


@each_model
def test_a_restored_model_has_the_same_report_without_training(
    fold: Fold, config: ModelConfig, tmp_path: Path
) -> None:
    fitted, probe = fit_and_judge(config, 7, fold, (1, 5)), LossProbe()
    save_arrays(fitted.model.arrays(), tmp_path)

    restored = fit_and_judge(config, 7, fold, (1, 5), StoredArrays(tmp_path), probe)

    assert restored.report.summary() == fitted.report.summary()
    assert probe.points == []


class FirstIsBest(LossProbe):
    """Begins after one iteration, stops after three and turns back to the second."""

    def __init__(self, start: State) -> None:
        super().__init__()
        self._start, self._second = start, start

    def begin(self) -> State:
        return self._start

    def __call__(self, step: Iteration) -> None:
        super().__call__(step)
        if step.number == 2:
            self._second = step.model.state()
        if step.number == 3:
            raise StopTraining

    def settle(self, model: Iterative) -> None:
        model.rewind(self._second)


def test_a_monitor_decides_the_start_the_stop_and_the_model_that_is_judged(fold: Fold) -> None:
    one, two = (fit(ALS.model_copy(update={"iterations": n}), 7, fold.train).model for n in (1, 2))
    assert isinstance(one, Iterative)
    watch = FirstIsBest(one.state())

    judged = fit_and_judge(ALS, 7, fold, (1, 5), watch=watch)

    assert [point.iteration for point in watch.points] == [2, 3]
    assert judged.report.summary() == judge(two, fold, (1, 5)).summary()


def test_progress_reports_iterations_and_models_without_iterations(fold: Fold) -> None:
    reports: list[tuple[str, int, int | None]] = []

    for config in (ALS, EASE):
        fit_and_judge(config, 7, fold, (1, 5), progress=lambda *each: reports.append(each))

    assert ("iterations of 3 factors", 4, 4) in reports
    assert ("training ease", 0, None) in reports
    assert ("judging users", len(fold.judged), len(fold.judged)) in reports
