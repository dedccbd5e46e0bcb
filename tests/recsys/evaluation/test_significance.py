import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.evaluation.bootstrap import Estimate, paired
from recsys.evaluation.report import Report
from recsys.evaluation.significance import (
    SeedSpread,
    Significance,
    averaged_over_seeds,
    compare_models,
    holm,
    spread,
)

Values = npt.NDArray[np.float64]
p_values = st.lists(st.sampled_from([0.0, 0.01, 0.02, 0.5, 1.0]) | st.floats(0, 1), max_size=12)


def null_studies(n_studies: int, n_models: int) -> list[Significance]:
    """Studies of models that are equally good, with skewed values that models share in part."""
    rng = np.random.default_rng(5)
    studies = []
    for study in range(n_studies):
        values = rng.exponential(1, (150, 1)) + rng.exponential(1, (150, n_models))
        table = {f"m{n}": values[:, n] for n in range(n_models)}
        studies.append(compare_models(table, study, n_resamples=400))
    return studies


def rejected_by_holm(p: list[float], level: float) -> list[bool]:
    """Holm's procedure as he wrote it: from the smallest on, until one is not rejected."""
    rejected = [False] * len(p)
    for step, n in enumerate(sorted(range(len(p)), key=lambda n: p[n])):
        if p[n] * (len(p) - step) > level:
            break
        rejected[n] = True
    return rejected


@given(p_values, st.floats(0, 0.999))
def test_holm_rejects_what_stepping_down_rejects_at_any_level(p: list[float], level: float) -> None:
    adjusted = holm(p)

    assert (adjusted <= level).tolist() == rejected_by_holm(p, level)


def test_holm_of_an_example_worked_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.2]).tolist() == [0.2]
    assert holm([0.9, 0.8]).tolist() == [1, 1]
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_invalid_p_values_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match=f"within 0 to 1, got .*{wrong}"):
        holm([0.5, wrong])


@given(st.integers(0, 999), st.integers(2, 4))
def test_p_equals_a_slow_loop_over_drawn_users(seed: int, n_models: int) -> None:
    rng = np.random.default_rng(seed)
    values = {f"m{n}": rng.normal(0.1 * n, 1, 20) for n in range(n_models)}

    found = compare_models(values, seed, n_resamples=60)

    again = np.random.default_rng(seed)
    drawn = [again.integers(0, 20, 20) for _ in range(60)]
    for pair in found.pairs:
        gap = values[pair.b] - values[pair.a]
        far = [abs(gap[users].mean() - gap.mean()) >= abs(gap.mean()) for users in drawn]
        assert pair.difference.mean == pytest.approx(gap.mean(), abs=1e-12)
        assert pair.p == (1 + sum(far)) / 61


def test_all_pairs_are_corrected_together(rng: np.random.Generator) -> None:
    values = {name: rng.normal(0, 1, 50) for name in "abcd"}

    found = compare_models(values, seed=1, n_resamples=200)

    assert [pair.a + pair.b for pair in found.pairs] == ["ab", "ac", "ad", "bc", "bd", "cd"]
    corrected = [pair.p_holm for pair in found.pairs]
    assert corrected == holm([pair.p for pair in found.pairs]).tolist()
    assert (found.n_users, found.n_resamples, found.seed) == (50, 200, 1)


def test_a_pair_has_the_interval_that_a_comparison_of_the_two_has(rng: np.random.Generator) -> None:
    a, b, c = rng.random((3, 80))

    found = compare_models({"a": a, "b": b, "c": c}, seed=3, n_resamples=300)

    def report(values: Values) -> Report:
        users = pd.Index(np.arange(80, dtype=np.int32), name="user")
        per_user = pd.DataFrame({"ndcg@10": values}, index=users)
        return Report(per_user, np.full(80, 10, np.int32), {10: np.array([1, 1])})

    row = paired(report(a), report(b), seed=3, n_resamples=300)["ndcg@10"]
    for mine, other in (
        (found["a", "b"].difference, row.difference),
        (found.means["a"], row.a),
        (found.means["b"], row.b),
    ):
        assert (mine.mean, mine.low, mine.high) == pytest.approx(
            (other.mean, other.low, other.high), rel=1e-12
        )


@pytest.mark.slow
def test_p_is_uniform_where_models_are_equally_good() -> None:
    p = np.array([study.pairs[0].p for study in null_studies(600, 2)])

    # The largest distance from the uniform distribution, 1.63 / sqrt(n) in 1 of 100 such tests.
    ranks = np.arange(1, 601) / 600
    assert np.abs(np.sort(p) - ranks).max() < 1.63 / np.sqrt(600)
    assert 0.03 < (p <= 0.05).mean() < 0.075


@pytest.mark.slow
def test_in_about_5_of_100_studies_of_equal_models_any_pair_differs() -> None:
    studies = null_studies(300, 6)

    corrected = np.mean([min(pair.p_holm for pair in study.pairs) <= 0.05 for study in studies])
    alone = np.mean([min(pair.p for pair in study.pairs) <= 0.05 for study in studies])
    assert corrected < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    assert alone > 0.2


def test_identical_models_have_p_1_and_a_better_one_the_least_p(rng: np.random.Generator) -> None:
    one = rng.random(100)
    found = compare_models({"one": one, "same": one.copy(), "better": one + 0.25}, seed=1)

    assert found["one", "same"].p == found["one", "same"].p_holm == 1
    assert found["one", "same"].difference == Estimate(0, 0, 0)
    assert found["one", "better"].p == 1 / 10_001
    assert found["one", "better"].p_holm == 3 / 10_001
    assert found.best == "better"


def test_differences_as_small_as_rounding_count_as_0(rng: np.random.Generator) -> None:
    one = rng.random(500) + 0.5

    found = compare_models({"one": one, "next": np.nextafter(one, 2)}, seed=1, n_resamples=100)

    assert found.pairs[0].p == 1


def test_a_single_user_proves_nothing() -> None:
    found = compare_models({"a": np.array([0.1]), "b": np.array([0.9])}, seed=1, n_resamples=100)

    assert found.pairs[0].p == 1


def test_a_pair_is_found_in_either_order(rng: np.random.Generator) -> None:
    found = compare_models({"a": rng.random(50), "b": rng.random(50)}, seed=2, n_resamples=100)

    there, back = found["a", "b"], found["b", "a"]
    assert there.difference.low is not None
    assert (back.a, back.b, back.p, back.p_holm) == ("b", "a", there.p, there.p_holm)
    assert back.difference.mean == -there.difference.mean
    assert back.difference.high == -there.difference.low
    assert back.swapped() == there
    with pytest.raises(KeyError, match="c"):
        found["a", "c"]


def test_against_the_best_no_difference_is_above_0_and_all_pairs_count(
    rng: np.random.Generator,
) -> None:
    values = {name: rng.normal(n % 3, 1, 60) for n, name in enumerate("abcde")}

    found = compare_models(values, seed=2, n_resamples=100)

    rows = found.against_best()
    assert found.best == max(values, key=lambda name: values[name].mean())
    assert {row.a for row in rows} == {found.best}
    assert sorted([*(row.b for row in rows), found.best]) == list("abcde")
    assert all(row.difference.mean <= 0 for row in rows)
    assert all(row.p_holm == found[row.a, row.b].p_holm for row in rows)


def test_against_a_baseline_only_its_pairs_are_corrected_for(rng: np.random.Generator) -> None:
    values = {name: rng.normal(n, 5, 60) for n, name in enumerate("abcd")}

    all_pairs = compare_models(values, seed=2, n_resamples=100)
    found = compare_models(values, seed=2, n_resamples=100, against="b")

    assert [(pair.a, pair.b) for pair in found.pairs] == [("b", "a"), ("b", "c"), ("b", "d")]
    assert [pair.p for pair in found.pairs] == [all_pairs["b", other].p for other in "acd"]
    assert [pair.p_holm for pair in found.pairs] == holm([pair.p for pair in found.pairs]).tolist()
    with pytest.raises(KeyError, match="no model 'x' among"):
        compare_models(values, seed=2, against="x")


@settings(max_examples=10)
@given(st.permutations("abcd"), st.integers(0, 99))
def test_a_pair_does_not_depend_on_the_order_of_the_models(order: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = {name: rng.random(30) for name in "abcd"}

    found = compare_models(values, seed, 50)
    moved = compare_models({name: values[name] for name in order}, seed, 50)

    assert all(found[pair.a, pair.b].p == pair.p for pair in moved.pairs)
    assert all(found[pair.a, pair.b].p_holm == pair.p_holm for pair in moved.pairs)
    assert found.means == moved.means


def test_the_frame_has_a_row_per_pair(rng: np.random.Generator) -> None:
    found = compare_models({name: rng.random(30) for name in "abc"}, seed=1, n_resamples=50)

    frame = found.frame()

    assert list(frame.columns) == ["a", "b", "difference", "low", "high", "p", "p_holm"]
    assert frame["p_holm"].tolist() == [pair.p_holm for pair in found.pairs]
    assert frame["low"].tolist() == [pair.difference.low for pair in found.pairs]


def test_resamples_are_reported_and_values_do_not_change(rng: np.random.Generator) -> None:
    one, reports = rng.random(30), list[tuple[str, int, int | None]]()
    before = one.copy()

    compare_models({"a": one, "b": one}, 1, 20, progress=lambda *now: reports.append(now))

    assert reports == [("bootstrap resamples", 20, 20)]
    np.testing.assert_array_equal(one, before)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"a": [0.1]}, r"two models, got \['a'\]"),
        ({"a": [0.1, 0.2], "b": [0.1]}, "same users, got {'a': 2, 'b': 1}"),
        ({"a": [], "b": []}, "same users, got {'a': 0, 'b': 0}"),
        ({"a": [0.1, 0.2], "b": [0.1, np.nan]}, "1 values of 'b' are not finite"),
    ],
)
def test_values_that_cannot_be_compared_are_refused(
    values: dict[str, list[float]], fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        compare_models({name: np.array(v) for name, v in values.items()}, seed=1)


seeds = st.lists(
    st.dictionaries(st.text("abcé", min_size=1, max_size=2), st.floats(0, 1), min_size=1),
    min_size=1,
    max_size=4,
)


@given(seeds)
def test_a_user_is_averaged_over_the_seeds_that_judged_them(tables: list[dict[str, float]]) -> None:
    users, means = averaged_over_seeds([pd.Series(table) for table in tables])

    assert users.tolist() == sorted({user for table in tables for user in table})
    assert means.dtype == np.float64
    for user, mean in zip(users.tolist(), means.tolist(), strict=True):
        assert mean == pytest.approx(np.mean([table[user] for table in tables if user in table]))


def test_tables_that_cannot_be_averaged_are_refused() -> None:
    sound = pd.Series([0.1], index=["u1"])

    with pytest.raises(ValueError, match="no seeds"):
        averaged_over_seeds([])
    with pytest.raises(ValueError, match="user 'u1' is more than once in table 1"):
        averaged_over_seeds([sound, pd.concat([sound, sound])])
    with pytest.raises(ValueError, match="user 'u2' has no value in table 0"):
        averaged_over_seeds([pd.Series([0.1, np.nan], index=["u1", "u2"])])


def test_the_spread_over_seeds_is_mean_and_sample_deviation() -> None:
    assert spread([0.1, 0.2, 0.3]) == SeedSpread(pytest.approx(0.2), pytest.approx(0.1))
    assert spread([0.25]) == SeedSpread(0.25, None)
    with pytest.raises(ValueError, match="no seeds"):
        spread([])
