"""The way to merge the lists of an ensemble is found once for a study."""

from typing import Any

import numpy as np
import pytest

from recsys.evaluation.fitting import fit_and_judge
from recsys.models import make_config
from recsys.models.merging import ways_to_merge
from tasks.study.merging import run_best_merge
from tasks.study.study import fold_at
from tests.tasks.lab import MakeBench

ENSEMBLE = make_config(
    "ensemble",
    {"members": (make_config("item-knn", {}), make_config("popularity-users", {}))},
)


@pytest.mark.parametrize("way", ways_to_merge(ENSEMBLE))
def test_the_way_that_was_found_is_read_again_and_nothing_is_measured_anew(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, way: Any
) -> None:
    made = bench()
    place = made.folds / "validation"
    calls = []

    def found(*_: Any) -> Any:
        calls.append(1)
        return way, fit_and_judge(way, 0, fold_at(place), (1, 5))

    monkeypatch.setattr("tasks.study.merging.best_merge", found)
    first, measured = run_best_merge.fn(made.study, place, ENSEMBLE)
    again, known = run_best_merge.fn(made.study, place, ENSEMBLE)

    assert first == again == way
    assert calls == [1]
    assert (known.run, known.value) == (measured.run, measured.value)
    np.testing.assert_array_equal(known.per_user, measured.per_user)
    params = made.run(known.run).data.params
    assert (params["merge"], params["weights"]) == (way.merge, str(way.weights))
