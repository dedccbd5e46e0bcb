"""The benchmarks that stand beside published results: their splits, metrics and tables."""

import math
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from recsys.data.interactions import Interactions
from recsys.errors import InputError
from recsys.evaluation.protocol import scored
from recsys.models.recommender import Recommendations
from recsys.splitting.split import Fold
from tests.conftest import cells_of, events_of

from .processes import benchmark

movielens_100k = benchmark("movielens_100k")
lastfm_360k = benchmark("lastfm_360k")

Draw = npt.NDArray[np.bool_]


def ratings(rng: np.random.Generator, n_users: int = 60, n_items: int = 40) -> Interactions:
    """Ratings from 1 to 5 at some time in 100 days; some movies are rated by nearly everybody."""
    chances = np.linspace(0.05, 0.9, n_items)
    rated = np.argwhere(rng.random((n_users, n_items)) < chances).tolist()
    log = [(u, i, int(rng.integers(1, 6)), int(rng.integers(8_640_000))) for u, i in rated]
    return events_of(log).cells()


def fold_of(cells: Interactions, hidden: Draw) -> Fold:
    train = cells.where(~hidden)
    return Fold(train, train, cells.where(hidden))


@pytest.mark.parametrize(
    ("n", "n_kept"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5), (8, 6), (583, 437)]
)
def test_a_movie_keeps_three_quarters_of_its_ratings_half_rounded_to_even(
    n: int, n_kept: int, rng: np.random.Generator
) -> None:
    hidden = movielens_100k.held_out(np.full(n, 7, np.int32), rng.random(n))

    assert np.count_nonzero(~hidden) == n_kept


def test_the_ratings_of_a_movie_with_the_lowest_keys_stay(rng: np.random.Generator) -> None:
    items = rng.integers(0, 30, 500).astype(np.int32)
    keys = rng.random(500)

    hidden = movielens_100k.held_out(items, keys)

    for item in range(30):
        mine = items == item
        assert keys[mine & ~hidden].max() < keys[mine & hidden].min()


def test_validation_is_cut_from_the_training_side_alone(rng: np.random.Generator) -> None:
    train = ratings(rng)

    inner, second = movielens_100k.inner_folds(train, 2, 0)
    [other] = movielens_100k.inner_folds(train, 1, 1)

    both = np.concatenate([inner.train.keys, inner.held_out.keys])
    assert np.array_equal(np.sort(both), train.keys)
    assert np.array_equal(inner.train.per_item(), np.rint(0.75 * train.per_item()).astype(np.int64))
    for another in (second, other):
        assert not np.array_equal(inner.held_out.keys, another.held_out.keys)


def slow_means(recs: Recommendations, held_out: Interactions, k: int) -> dict[str, float]:
    """The definitions of the comparison, user by user and rank by rank.

    Its logarithm is natural, which cancels out, and its average precision is over
    min(k, relevant).
    """
    sums = dict.fromkeys(("ndcg", "precision", "recall", "map"), 0.0)
    for user, items in zip(recs.users.tolist(), recs.items.tolist(), strict=True):
        wanted = held_out.cols[held_out.rows == user].tolist()
        ranks = [rank for rank, item in enumerate(items[:k], 1) if item in wanted]
        ideal = sum(1 / math.log(1 + rank) for rank in range(1, min(k, len(wanted)) + 1))
        sums["ndcg"] += sum(1 / math.log(1 + rank) for rank in ranks) / ideal
        sums["precision"] += len(ranks) / k
        sums["recall"] += len(ranks) / len(wanted)
        found = sum(n / rank for n, rank in enumerate(ranks, 1))
        sums["map"] += found / min(k, len(wanted))
    return {name: value / len(recs.users) for name, value in sums.items()}


def test_the_metrics_are_those_of_the_comparison(rng: np.random.Generator) -> None:
    fold = fold_of(cells := ratings(rng), rng.random(len(cells)) < 0.3)
    recs = movielens_100k.sar(fold)

    report = scored(recs, fold, [10], movielens_100k.METRICS)

    expected = slow_means(recs, fold.held_out, 10)
    found = dict(zip(movielens_100k.METRICS, movielens_100k.means(report), strict=True))
    assert found == pytest.approx(expected)


def test_sar_adds_up_the_similar_and_counts_old_ratings_less() -> None:
    day = 86_400
    log = [
        (0, 0, 4, 0),  # 30 days before the last: counts 2
        (0, 1, 3, 30 * day),
        (1, 0, 1, 0),
        (1, 2, 1, 0),
        (2, 1, 1, 0),
        (2, 3, 1, 0),
        (3, 1, 1, 0),
        (0, 2, 1, 0),  # held out
    ]
    cells = events_of(log).cells()
    recs = movielens_100k.sar(fold_of(cells, (cells.rows == 0) & (cells.cols == 2)))

    # Item 2 is alike to 0: one of two raters has both. Item 3 to 1: one of three.
    assert recs.users.tolist() == [0]
    assert recs.items[0, :2].tolist() == [2, 3]
    assert recs.scores[0, :2].tolist() == pytest.approx([2 * 1 / 2, 3 * 1 / 3])
    assert (recs.items[0, 2:] == -1).all()


@pytest.mark.slow
def test_a_tuning_seed_repeats_and_ends_with_its_best_on_validation(
    rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    fold = fold_of(cells := ratings(rng), rng.random(len(cells)) < 0.25)

    first = movielens_100k.run(fold, ("als", "ease"), 4, 2, 0)
    again = movielens_100k.run(fold, ("als", "ease"), 4, 2, 0)
    movielens_100k.table([first])

    shown = capsys.readouterr().out
    values = [float(line.split()[4]) for line in shown.splitlines() if " validation " in line]
    assert len(values) == 2 * 3  # the winner and the best of each model
    assert round(first.winner.value, 4) == max(values)
    assert first.winner == again.winner
    assert first.report.per_user.equals(again.report.per_user)
    assert "ours, worst" in shown


def test_an_ensemble_grows_while_it_gains_and_has_the_value_it_reports(
    rng: np.random.Generator,
) -> None:
    inner = movielens_100k.inner_folds(ratings(rng), 2, 0)
    points = [one for name in ("als", "ease") for one in movielens_100k.tuned(name, inner, 3, 0)]

    grown = movielens_100k.grown(points, inner, 0)

    assert grown.value >= max(one.value for one in points)
    assert grown.value == pytest.approx(movielens_100k.value_of(grown.config, inner, 0))


@pytest.mark.realdata
def test_sar_built_anew_gives_the_published_numbers(real_data: Path) -> None:
    fold = movielens_100k.published_fold(real_data / "movielens-100k" / "u.data")

    report = scored(movielens_100k.sar(fold), fold, [10], movielens_100k.METRICS)

    assert (len(fold.train), len(fold.held_out)) == (75_066, 24_934)
    published = movielens_100k.PUBLISHED["SAR"]
    assert tuple(round(value, 6) for value in movielens_100k.means(report)) == published


def test_another_file_of_ratings_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "u.data"
    file.write_text("1\t1\t5\t0\n2\t1\t4\t0\n")

    with pytest.raises(InputError, match="has 2 ratings, MovieLens 100K has 100,000"):
        movielens_100k.published_fold(file)


def test_test_users_lose_round_30_percent_and_others_nothing(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = cells_of(rng.random((50, 30)) < rng.uniform(0.05, 0.9, (50, 1)))
    sizes = cells.per_user()
    able = np.floor(0.3 * sizes + 0.5) >= 2
    monkeypatch.setattr(lastfm_360k, "N_TEST_USERS", 12)

    fold = lastfm_360k.joined_split(cells, 123)

    given = fold.held_out.per_user()
    assert len(fold.judged) == 12
    assert able[fold.judged].all()
    assert (given[fold.judged] == np.floor(0.3 * sizes + 0.5)[fold.judged]).all()
    assert np.array_equal(fold.train.per_user() + given, sizes)


def run_360k(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["lastfm_360k.py", *map(str, arguments)])
    lastfm_360k.main()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from recsys.sources.sample import make_sample, write_sample

    folder = tmp_path_factory.mktemp("sample")
    write_sample(make_sample(300, 200, 0), folder / "plays.tsv", folder / "profiles.tsv")
    return folder / "plays.tsv"


def test_a_file_that_is_not_the_published_one_is_refused(
    sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=r"Last\.fm 360K has be672526.* or --sample"):
        run_360k(monkeypatch, sample)


def test_a_sample_is_shown_beside_the_published_numbers_as_what_it_is(
    sample: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_360k(monkeypatch, sample, "--sample", "--trials", 2)

    lines = capsys.readouterr().out.splitlines()
    counts = [line for line in lines if "published  " in line and "not those" in line]
    assert len(counts) == 1 + 4 + 3 + 4
    shown = "\n".join(lines)
    for name in ("LensKit, CG, published", "ALS as those, ours", "ALS, published", "tuned alike"):
        assert name in shown
