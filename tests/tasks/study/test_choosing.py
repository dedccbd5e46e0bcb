from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recsys.errors import InputError
from recsys.evaluation.protocol import judge
from recsys.models.als import AlsConfig
from recsys.seeds import seed_for
from recsys.splitting.split import redrawn
from tasks.study import choosing
from tasks.study.choosing import ALL_USERS, SearchWinner, choose
from tasks.study.measuring import PER_USER, columns_of, measure
from tasks.study.study import fold_at, start_child
from tasks.tracking.runs import Run
from tasks.tuning import TrialFacts
from tests.tasks import lab
from tests.tasks.lab import Bench, MakeBench

FACTORS = [2, 3, 4, 5]
TABLE = {"factors": FACTORS, "alpha": 4.0, "weighting": "linear", "iterations": 3}
N_USERS = 40


def table_of(level: float, seed: int = 0, spread: float = 0.02) -> pd.DataFrame:
    """The metric of each user, of exactly this mean; what makes a user easy is shared by all."""
    ease = np.random.default_rng(99).normal(0, 0.3, N_USERS)
    own = np.random.default_rng(seed).normal(0, spread, N_USERS)
    values = ease + own
    return pd.DataFrame({"ndcg@5": values - values.mean() + level})


def chosen_from(made: Bench) -> SearchWinner:
    return choose.fn(made.study, made.search, made.folds / "validation")


def stored(made: Bench, values: Sequence[float], everybody: Sequence[float], at: Path) -> None:
    """A study whose trials have these values, on all users too where they see a sample of them."""
    for value, mean in zip(values, everybody, strict=True):
        trial = made.claim()
        config = AlsConfig.model_validate(trial.params)
        run = start_child(made.study, f"trial {trial.slot}", config, {"stage": "trial"})
        made.search.started(trial, run.id)
        (at / str(trial.slot) / ALL_USERS).mkdir(parents=True)
        table_of(value, trial.slot).to_parquet(at / str(trial.slot) / PER_USER)
        table_of(mean, trial.slot).to_parquet(at / str(trial.slot) / ALL_USERS / PER_USER)
        run.files(at / str(trial.slot))
        made.search.complete(trial, [value], TrialFacts(3, 3, 3))
        run.end("FINISHED")


def of_four(bench: MakeBench, **study: Any) -> Bench:
    how = {"sampler": "grid", "trials": 4, **study}
    return bench(search=TABLE, study=how, judge={"validation_users": 9, "resamples": 200})


def test_the_best_on_all_users_wins_even_if_another_was_best_on_the_sample(
    bench: MakeBench, tmp_path: Path
) -> None:
    made = of_four(bench)
    stored(made, [0.2, 0.9, 0.5, 0.3], [0.2, 0.4, 0.8, 0.3], tmp_path)

    chosen = chosen_from(made)

    assert chosen.winner.slot == 2
    assert chosen.best_before == 1
    assert [each.done.slot for each in chosen.ranked] == [2, 1, 3, 0]
    means = [each.estimate.mean for each in chosen.ranked]
    assert means == pytest.approx([0.8, 0.4, 0.3, 0.2])


def test_only_the_finalists_are_judged_on_all_users(bench: MakeBench, tmp_path: Path) -> None:
    made = of_four(bench, finalists=2)
    stored(made, [0.2, 0.9, 0.5, 0.3], [0.99, 0.4, 0.3, 0.2], tmp_path)

    chosen = chosen_from(made)

    assert [each.done.slot for each in chosen.ranked] == [1, 2]
    assert chosen.winner.slot == 1


@pytest.mark.parametrize(("prefer", "expected"), [("best", "largest"), ("cheapest", "smallest")])
def test_the_cheapest_of_tied_trials_can_be_preferred(
    bench: MakeBench, tmp_path: Path, prefer: str, expected: str
) -> None:
    """The largest leads by less than the noise; the cheapest of all is clearly worse."""
    made = of_four(bench, prefer=prefer)
    points = [int(point["factors"]) for point in made.search._points.planned(4)]
    means = {2: 0.2, 3: 0.499, 4: 0.4995, 5: 0.5}
    stored(made, [means[n] for n in points], [means[n] for n in points], tmp_path)

    chosen = chosen_from(made)

    tied = {int(each.done.params["factors"]): each.tied for each in chosen.ranked}
    assert tied == {2: False, 3: True, 4: True, 5: True}
    assert chosen.winner.params["factors"] == {"largest": 5, "smallest": 3}[expected]


def test_a_trial_is_shown_with_its_interval_and_its_cost(bench: MakeBench, tmp_path: Path) -> None:
    made = of_four(bench)
    stored(made, [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4], tmp_path)

    chosen = chosen_from(made)

    train = fold_at(made.folds / "validation").train
    for each in chosen.ranked:
        assert each.estimate.low is not None
        assert each.estimate.high is not None
        assert each.estimate.low < each.estimate.mean < each.estimate.high
        config = AlsConfig.model_validate(each.done.params)
        sides = len(train.users), len(train.items), len(train)
        assert each.cost == config.cost(*sides)


def test_without_a_sample_the_users_of_the_trials_are_compared_as_they_are(
    bench: MakeBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "MOST", 3)
    made = bench(search=TABLE, study={"sampler": "grid", "trials": 4, "finalists": 1})
    stored(made, [0.1, 0.4, 0.2, 0.3], [0.9, 0.1, 0.1, 0.1], tmp_path)

    chosen = chosen_from(made)

    assert [each.done.slot for each in chosen.ranked] == [1, 3, 2]  # the three best
    assert chosen.winner.slot == 1
    assert (chosen.best_before, chosen.judge_seconds) == (None, 0.0)


def test_without_a_measured_trial_there_is_nothing_to_choose(bench: MakeBench) -> None:
    made = of_four(bench)
    made.search.fail(made.claim(), "ValueError: no")

    with pytest.raises(InputError, match="none of 1 trials"):
        chosen_from(made)


def test_finalists_are_judged_once_with_the_arrays_that_were_kept(
    bench: MakeBench, fits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = of_four(bench, finalists=2)
    made.finish()
    trainings = len(fits)
    calls: list[int] = []

    def counted(*given: Any, **named: Any) -> Any:
        calls.append(1)
        return measure(*given, **named)

    monkeypatch.setattr(choosing, "measure", counted)

    chosen, again = chosen_from(made), chosen_from(made)

    assert chosen.winner == again.winner
    assert [each.estimate for each in chosen.ranked] == [each.estimate for each in again.ranked]
    assert len(calls) == 2
    assert len(fits) == trainings
    assert chosen.judge_seconds > 0
    fold = fold_at(made.folds / "validation")
    for each in chosen.ranked:
        model = lab.trained(made, AlsConfig.model_validate(each.done.params))
        expected = columns_of(judge(model, fold, (1, 5)).summary(), ["ndcg@5"])
        assert each.estimate.mean == pytest.approx(expected["ndcg@5"])
        metrics = made.run(each.done.run).data.metrics
        recorded = lab.summary_of(metrics, f"validation_{ALL_USERS}/")
        assert recorded == expected
        assert lab.summary_of(metrics, "validation/") != expected


def test_a_finalist_whose_arrays_are_missing_is_trained_again_with_the_same_values(
    bench: MakeBench, fits: list[int]
) -> None:
    made = of_four(bench, finalists=4)
    made.finish()
    kept = chosen_from(made)
    trainings = len(fits)
    for done in made.search.done:
        run = Run.of(made.study.workspace, done.run)
        run.drop(ALL_USERS)
        run.drop("factors")

    dropped = chosen_from(made)

    assert [each.estimate for each in dropped.ranked] == [each.estimate for each in kept.ranked]
    assert dropped.winner == kept.winner
    assert fits[trainings:] == [3] * 4


def test_a_finalist_whose_judging_was_killed_is_judged_again(bench: MakeBench) -> None:
    """Its judge was killed between its two files."""
    made = of_four(bench, finalists=1)
    made.finish()
    whole = chosen_from(made)
    made.files(whole.winner.run)[f"{ALL_USERS}/{PER_USER}"].unlink()

    again = chosen_from(made)

    assert again.ranked == whole.ranked
    assert f"{ALL_USERS}/{PER_USER}" in made.files(whole.winner.run)
    history = made.history(whole.winner.run, f"validation_{ALL_USERS}/ndcg_at_5")
    assert len(history) == 1


def test_finalists_are_judged_on_several_cuts_and_the_best_mean_wins(
    bench: MakeBench, fits: list[int]
) -> None:
    """The slow way: each finalist trained and judged on each cut, user by user."""
    made = bench(
        search=TABLE,
        study={"sampler": "grid", "trials": 4, "finalists": 3, "cuts": 3},
        judge={"resamples": 200},
    )
    made.finish()
    trainings = len(fits)

    chosen, again = chosen_from(made), chosen_from(made)

    assert again.ranked == chosen.ranked
    assert len(fits) == trainings + 3 * 2
    first = fold_at(made.folds / "validation")
    seeds = [seed_for(made.study.config.seed, "split", "validation", cut) for cut in (2, 3)]
    folds = [first, *(redrawn(first, seed) for seed in seeds)]
    finalists = sorted(made.search.done, key=lambda done: (-done.value, done.slot))[:3]
    assert chosen.best_before == finalists[0].slot
    means = {}
    for done in finalists:
        config = AlsConfig.model_validate(done.params)
        tables = [measure(made.study, fold, config).report.per_user["ndcg@5"] for fold in folds]
        assert all(table.index.equals(tables[0].index) for table in tables)
        means[done.slot] = float(np.mean([table.mean() for table in tables]))
    assert chosen.winner.slot == max(means, key=lambda slot: means[slot])
    assert {e.done.slot: e.estimate.mean for e in chosen.finalists} == pytest.approx(means)
    values = [each.estimate.mean for each in chosen.ranked]
    assert values == pytest.approx(sorted((done.value for done in made.search.done), reverse=True))


def test_a_finalist_whose_second_cut_was_killed_is_trained_on_that_cut_alone(
    bench: MakeBench, fits: list[int]
) -> None:
    made = bench(
        search=TABLE,
        study={"sampler": "grid", "trials": 4, "finalists": 1, "cuts": 3},
        judge={"resamples": 200},
    )
    made.finish()
    whole = chosen_from(made)
    made.files(whole.winner.run)[f"cut_2/{PER_USER}"].unlink()
    trainings = len(fits)

    again = chosen_from(made)

    assert again.ranked == whole.ranked
    assert len(fits) == trainings + 1
    assert len(made.history(whole.winner.run, "validation_cut_2/ndcg_at_5")) == 1


MANY = {**TABLE, "factors": list(range(2, 18))}


def of_many(
    bench: MakeBench,
    at: Path,
    close: Mapping[int, float],
    changed: Mapping[str, Any] = MappingProxyType({}),
) -> Bench:
    """Sixteen trials, of which some are close to each other and the others far behind."""
    study = {"sampler": "grid", "trials": 16, "cuts": "auto", **changed.get("study", {})}
    table = {"search": MANY, "judge": {"resamples": 200}, **changed, "study": study}
    made = bench(config=lab.experiment_of(**table))
    values = [close.get(slot, 0.1) for slot in range(16)]
    stored(made, values, values, at)
    return made


def test_with_auto_trials_that_cannot_be_told_from_the_best_are_judged_on_three_cuts(
    bench: MakeBench, fits: list[int], tmp_path: Path
) -> None:
    """Only as many as a quarter of 16 trials can train twice: two of the three that tie."""
    made = of_many(bench, tmp_path, {3: 0.5, 7: 0.4999, 9: 0.4998})

    chosen = chosen_from(made)

    assert {each.done.slot for each in chosen.finalists} == {3, 7}
    assert (len(fits), chosen.cuts, chosen.best_before) == (4, 3, 3)
    assert [each.done.slot for each in chosen.ranked[:3]] == [3, 7, 9]
    assert len(chosen.ranked) == 16
    first = fold_at(made.folds / "validation")
    means = {}
    for each in chosen.finalists:
        values = [table_of(each.done.value, each.done.slot)["ndcg@5"].mean()]
        for cut in (2, 3):
            fold = redrawn(first, seed_for(made.study.config.seed, "split", "validation", cut))
            config = AlsConfig.model_validate(each.done.params)
            values.append(measure(made.study, fold, config).report.per_user["ndcg@5"].mean())
        means[each.done.slot] = float(np.mean(values))
    assert {e.done.slot: e.estimate.mean for e in chosen.finalists} == pytest.approx(means)
    assert chosen.winner.slot == max(means, key=lambda slot: means[slot])


def test_with_auto_a_trial_that_is_clearly_the_best_is_not_trained_again(
    bench: MakeBench, fits: list[int], tmp_path: Path
) -> None:
    made = of_many(bench, tmp_path, {3: 0.5, 7: 0.4})

    chosen = chosen_from(made)

    assert chosen.winner.slot == 3
    assert (fits, chosen.cuts, chosen.best_before) == ([], 1, None)
    assert len(chosen.ranked) == 16


def test_with_auto_a_search_of_few_trials_trains_none_again(
    bench: MakeBench, fits: list[int], tmp_path: Path
) -> None:
    """Fifteen trials cannot pay for two finalists on two cuts."""
    made = bench(search=MANY, study={"sampler": "grid", "trials": 15, "cuts": "auto"})
    stored(made, [0.5] * 15, [0.5] * 15, tmp_path)

    chosen = chosen_from(made)

    assert (fits, chosen.cuts, len(chosen.ranked)) == ([], 1, 15)


def test_with_auto_one_cut_decides_where_no_other_validation_side_can_be_drawn(
    bench: MakeBench, fits: list[int], tmp_path: Path
) -> None:
    made = of_many(bench, tmp_path, {3: 0.5, 7: 0.4999}, {"split": {"kind": "last"}})

    chosen = chosen_from(made)

    assert (fits, chosen.cuts, chosen.best_before) == ([], 1, None)


def test_with_auto_finalists_of_a_sample_of_users_are_the_best_on_all_of_them(
    bench: MakeBench, fits: list[int], tmp_path: Path
) -> None:
    """Trial 7 is best on the sample; on all users 9 and 3 lead, and 7 is the last of three."""
    how = {"sampler": "grid", "trials": 16, "cuts": "auto", "finalists": 3}
    judge = {"validation_users": 9, "resamples": 200}
    made = bench(search=MANY, study=how, judge=judge)
    sample = [{3: 0.5, 7: 0.6, 9: 0.4}.get(slot, 0.1) for slot in range(16)]
    everybody = [{3: 0.4999, 7: 0.4998, 9: 0.5}.get(slot, 0.1) for slot in range(16)]
    stored(made, sample, everybody, tmp_path)

    chosen = chosen_from(made)

    assert {each.done.slot for each in chosen.finalists} == {3, 9}
    assert [each.done.slot for each in chosen.ranked] == [9, 3, 7]
    assert (len(fits), chosen.cuts, chosen.best_before) == (4, 3, 7)


def test_with_auto_there_are_no_more_finalists_than_asked_for(
    bench: MakeBench, fits: list[int], tmp_path: Path
) -> None:
    close = {3: 0.5, 7: 0.4999, 9: 0.4998}
    made = of_many(bench, tmp_path, close, {"study": {"finalists": 1}})

    assert chosen_from(made).finalists == ()
    assert fits == []


def test_with_auto_pruned_trials_count_among_those_that_pay_for_further_cuts(
    bench: MakeBench, fits: list[int], tmp_path: Path
) -> None:
    """Eight of sixteen trials are pruned: eight would not pay for two finalists."""
    made = bench(search=MANY, study={"sampler": "grid", "trials": 16, "cuts": "auto"})
    stored(made, [0.5] * 8, [0.5] * 8, tmp_path)
    for _ in range(8):
        trial = made.claim()
        config = AlsConfig.model_validate(trial.params)
        run = start_child(made.study, f"trial {trial.slot}", config, {"stage": "trial"})
        made.search.started(trial, run.id)
        made.search.prune(trial, TrialFacts(1, 1, 1))

    assert len(chosen_from(made).finalists) == 2
    assert len(fits) == 4


def test_the_cheapest_of_all_tied_trials_is_preferred_without_further_cuts(
    bench: MakeBench, fits: list[int], tmp_path: Path
) -> None:
    tied = {slot: 0.5 - slot / 100_000 for slot in range(16)}
    made = of_many(bench, tmp_path, tied, {"study": {"prefer": "cheapest"}})

    chosen = chosen_from(made)

    assert chosen.winner.params["factors"] == min(MANY["factors"])
    assert (chosen.finalists, fits) == ((), [])


def test_a_finalist_that_cannot_be_trained_on_another_cut_is_left_out(
    bench: MakeBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = of_many(bench, tmp_path, {3: 0.5, 7: 0.4999})
    [lost] = [d for d in made.search.done if d.slot == 3]
    told: list[str] = []

    def failing(study: Any, fold: Any, config: AlsConfig) -> Any:
        if config.factors == lost.params["factors"]:
            raise MemoryError("no room")
        return measure(study, fold, config)

    monkeypatch.setattr(choosing, "measure", failing)
    monkeypatch.setattr(choosing, "report_result", told.append)

    chosen = chosen_from(made)

    assert [each.done.slot for each in chosen.finalists] == [7]
    assert chosen.winner.slot == 7
    assert told == ["trial 3 is no finalist, validation cut 2: no room"]


def test_more_trials_train_only_the_new_finalists_on_further_cuts(
    bench: MakeBench, fits: list[int], tmp_path: Path
) -> None:
    space = {"search": {**MANY, "alpha": [4.0, 5.0]}}  # of 32 points
    made = of_many(bench, tmp_path, {3: 0.5, 7: 0.4999}, space)
    first = chosen_from(made)
    assert len(fits) == 4

    longer = {"sampler": "grid", "trials": 24, "cuts": "auto"}
    more = bench(config=lab.experiment_of(**space, study=longer, judge={"resamples": 200}))
    stored(more, [0.49995, *[0.1] * 7], [0.1] * 8, tmp_path)
    second = chosen_from(more)

    assert {each.done.slot for each in second.finalists} == {3, 7, 16}
    assert len(fits) == 4 + 2
    means = {each.done.slot: each.estimate for each in second.finalists}
    assert {each.done.slot: each.estimate for each in first.finalists}.items() <= means.items()
