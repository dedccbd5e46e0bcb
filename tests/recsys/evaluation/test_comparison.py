"""Many models over several splits: averages, ranking and groups."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recsys.data.interactions import Interactions
from recsys.evaluation.comparison import Comparison, ModelResult, SplitResult
from recsys.evaluation.protocol import scored
from recsys.models.recommender import Recommendations
from recsys.splitting.split import Fold, drawn
from tests.conftest import cells_of, profiles_of

N_USERS, N_ITEMS, K = 40, 30, 5
KS = (1, K)


def data() -> Interactions:
    rng = np.random.default_rng(7)
    dense = rng.integers(1, 9, (N_USERS, N_ITEMS)) * (rng.random((N_USERS, N_ITEMS)) < 0.4)
    return cells_of(dense)


def fold_of(seed: int) -> Fold:
    cells = data()
    hidden = drawn(cells, 0.2, 2, seed)
    train = cells.where(~hidden)
    genders = ["m" if n % 2 else "f" for n in range(N_USERS)]
    profiles = profiles_of(cells.users, ["Norway"] * N_USERS, genders=genders)
    return Fold(train, train, cells.where(hidden), profiles)


def lists_of(fold: Fold, skill: float, seed: int) -> Recommendations:
    """Lists of new items; each held-out one is among the first with a chance of `skill`."""
    rng = np.random.default_rng(seed)
    known, hidden = fold.train.matrix().toarray(), fold.held_out.matrix().toarray()
    items = np.empty((len(fold.judged), K), np.int32)
    for row, user in enumerate(fold.judged):
        luck = rng.random(N_ITEMS) + 10 * (hidden[user] > 0) * (rng.random(N_ITEMS) < skill)
        luck[known[user] > 0] = -1
        items[row] = np.argsort(-luck)[:K]
    scores = np.tile(-np.arange(K, dtype=np.float32), (len(items), 1))
    return Recommendations(fold.judged, items, scores)


SKILLS = {"poor": 0.1, "good": 0.9, "good too": 0.85}


def split_result(seed: int, fold: Fold) -> SplitResult:
    results = {}
    for n, (name, skill) in enumerate(SKILLS.items()):
        lists = lists_of(fold, skill, 100 * seed + n)
        results[name] = ModelResult(
            {"skill": skill}, skill, 3, scored(lists, fold, KS), lists, 1.0, 2.0
        )
    vectors = np.random.default_rng(0).normal(size=(N_ITEMS, 4)).astype(np.float32)
    return SplitResult.of(seed, fold, results, vectors, K)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return Comparison.of(
        [split_result(seed, fold_of(seed)) for seed in range(3)], f"ndcg@{K}", 0, 200
    )


def test_the_best_model_comes_first_and_differs_from_the_poor_one_only(
    comparison: Comparison,
) -> None:
    assert comparison.models == ("good", "good too", "poor")
    against = {pair.b: pair for pair in comparison.significance.against_best()}
    assert against["poor"].p_holm < 0.01
    assert against["good too"].p_holm > 0.05


def test_a_user_counts_once_however_many_splits_there_are(comparison: Comparison) -> None:
    metric = f"ndcg@{K}"
    tables = [each.values["good"][metric] for each in comparison.splits]
    by_hand = pd.concat(tables).groupby(level=0).mean()

    assert comparison.n_users == len(by_hand) == N_USERS
    assert comparison.estimates["good"][metric].mean == pytest.approx(by_hand.mean())
    means = [table.mean() for table in tables]
    spread = comparison.spreads["good"][metric]
    assert spread.mean == pytest.approx(np.mean(means))
    assert spread.sd == pytest.approx(np.std(means, ddof=1))


def test_metrics_of_all_lists_are_averaged_over_splits_without_an_interval(
    comparison: Comparison,
) -> None:
    coverage = comparison.estimates["good"][f"coverage@{K}"]

    assert coverage.low is None
    by_hand = [each.results["good"].report.summary()[f"coverage@{K}"] for each in comparison.splits]
    assert coverage.mean == pytest.approx(np.mean(by_hand))


def test_every_user_is_in_one_group_of_each_kind(comparison: Comparison) -> None:
    assert set(comparison.user_groups) == {"activity", "gender", "country", "age"}
    for of_models in comparison.user_groups.values():
        for rows in of_models.values():
            assert sum(row.n for row in rows) == N_USERS
    genders = {row.group: row.n for row in comparison.user_groups["gender"]["good"]}
    assert genders == {"f": N_USERS // 2, "m": N_USERS // 2}


def test_all_held_out_cells_are_in_a_group_of_items(comparison: Comparison) -> None:
    held_out = sum(len(fold_of(seed).held_out) for seed in range(3))

    for rows in comparison.item_groups.values():
        assert sum(row.n_held_out for row in rows) == held_out
    found = {model: sum(r.n_hits for r in rows) for model, rows in comparison.item_groups.items()}
    assert found["good"] > found["poor"]


def test_lists_are_measured_beyond_accuracy(comparison: Comparison) -> None:
    for metric in (f"diversity@{K}", f"popularity_lift@{K}", f"novelty@{K}", f"gini@{K}"):
        for model in SKILLS:
            assert np.isfinite(comparison.estimates[model][metric].mean)


def test_json_holds_everything_under_the_models(comparison: Comparison) -> None:
    result: dict[str, Any] = json.loads(json.dumps(comparison.as_json()))

    assert list(result) == list(comparison.models)
    good = result["good"]
    assert good["against_best"] is None
    assert result["poor"]["against_best"]["best"] == "good"
    assert [split["seed"] for split in good["splits"]] == [0, 1, 2]
    assert good["splits"][0]["params"] == {"skill": 0.9}
    assert set(good["groups"]) == {"activity", "gender", "country", "age", "items"}
    assert good["test"][f"ndcg@{K}"].keys() == {"mean", "low", "high", "sd"}


def test_the_frame_has_a_row_per_model_best_first(comparison: Comparison) -> None:
    frame = comparison.frame()

    assert list(frame.index) == list(comparison.models)
    assert np.isnan(frame.loc["good", "p_holm"])
    assert (frame[f"ndcg@{K} low"] <= frame[f"ndcg@{K}"]).all()


def test_users_count_in_the_splits_that_judge_them() -> None:
    """As when whole users are held out: each split judges others."""

    def half(seed: int, part: int) -> SplitResult:
        fold = fold_of(seed)
        held_out = fold.held_out.where(fold.held_out.rows % 2 == part)
        of_half = Fold(fold.train, fold.history, held_out, fold.profiles)
        return split_result(seed, of_half)

    comparison = Comparison.of([half(0, 0), half(1, 1)], f"ndcg@{K}", 0, 50)

    assert comparison.n_users == N_USERS
    assert sum(row.n for row in comparison.user_groups["activity"]["good"]) == N_USERS
