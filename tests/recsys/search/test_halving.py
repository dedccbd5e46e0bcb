"""Successive halving over models spends its budget, and no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.search.halving import Rung, rungs


def spent(steps: list[Rung]) -> int:
    """Trials of all models together: a model of a later rung was in all before."""
    before, total = 0, 0
    for step in steps:
        total += step.models * (step.trials - before)
        before = step.trials
    return total


def test_seven_models_become_four_and_then_two() -> None:
    assert rungs(40, 7) == [Rung(7, 1), Rung(4, 5), Rung(2, 13)]


@given(trials=st.integers(1, 500), models=st.integers(1, 20))
def test_the_budget_is_spent_and_never_exceeded(trials: int, models: int) -> None:
    steps = rungs(trials, models)
    assert spent(steps) <= trials
    assert spent(steps) >= trials - 1 or len(steps) == 1
    assert [step.models for step in steps] == sorted((s.models for s in steps), reverse=True)
    assert [step.trials for step in steps] == sorted(step.trials for step in steps)
    assert steps[0].models == min(trials, models)
    assert steps[0].trials >= 1


def test_one_model_gets_all_trials() -> None:
    assert rungs(9, 1) == [Rung(1, 9)]


@pytest.mark.parametrize(("trials", "models"), [(0, 3), (3, 0)])
def test_nothing_to_try_is_refused(trials: int, models: int) -> None:
    with pytest.raises(ValueError, match="both have to be 1 or more"):
        rungs(trials, models)
