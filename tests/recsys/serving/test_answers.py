"""Answers of served models, against the definitions written out densely in the test."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.errors import InputError
from recsys.models.als import Als, AlsConfig
from recsys.models.popularity import PopularityConfig
from recsys.models.weighting import Weights
from recsys.serving.answers import (
    Answer,
    Served,
    explain,
    fold_in_history,
    from_profile,
    history_of,
    known_user,
    similar,
)
from recsys.serving.audience import FEWEST, audience, profile_of
from tests.conftest import cells_of, profiles_of, two_camps
from tests.recsys.serving.served_models import served_by

CONFIG = AlsConfig(factors=4, iterations=6, regularization=0.5, alpha=4.0)
BY_USERS = PopularityConfig(kind="popularity-users")
WEIGHTINGS = ["linear", "log", "share", "bm25", "tfidf", "binary"]
N_USERS, N_ITEMS = 40, 12


@pytest.fixture(scope="module")
def camps() -> Served:
    """Even users play even items, odd ones odd ones."""
    return served_by(CONFIG, cells_of(two_camps(N_USERS, N_ITEMS)))


@pytest.fixture(scope="module")
def popular() -> Served:
    """A model that learns nothing about single users."""
    return served_by(BY_USERS, cells_of(two_camps(N_USERS, N_ITEMS)))


def shown(answer: Answer) -> list[int]:
    return [int(each.id.removeprefix("i")) for each in answer.items]


def plays_by(cells: Interactions, user: int) -> dict[int, float]:
    mine = cells.rows == user
    return dict(zip(cells.cols[mine].tolist(), cells.plays[mine].tolist(), strict=True))


@pytest.mark.parametrize("user", [0, 7])
def test_items_of_the_history_are_left_out_by_default(camps: Served, user: int) -> None:
    history = plays_by(camps.cells, user)

    without, with_heard = (known_user(camps, user, N_ITEMS, each) for each in (False, True))

    assert set(shown(without)) == set(range(N_ITEMS)) - history.keys()
    assert set(shown(with_heard)) == set(range(N_ITEMS))
    assert {int(e.id.removeprefix("i")) for e in with_heard.items if e.heard} == history.keys()
    assert not any(each.heard for each in without.items)
    rest = [each for each in with_heard.items if not each.heard]
    assert rest == without.items, "known items stand between, new ones keep their order"
    scores = [each.score for each in with_heard.items]
    assert scores == sorted(scores, reverse=True)


def test_a_known_and_a_new_user_with_one_history_get_one_list(
    camps: Served,
) -> None:
    for user in range(6):
        typed = fold_in_history(camps, plays_by(camps.cells, user), 5)

        assert typed == known_user(camps, user, 5)
        assert typed.by == "plays"


def test_a_new_history_has_the_time_of_the_last_known_play() -> None:
    cells = cells_of(two_camps(N_USERS, N_ITEMS))
    days = np.arange(len(cells), dtype=np.int64) * 86_400
    timed = replace(cells, first=days, last=days)
    served = served_by(CONFIG.model_copy(update={"half_life": 9.0}), timed)

    assert history_of(served, {1: 1.0}).last == days[-1]
    in_order = history_of(served, {4: 1.0, 1: 1.0, 2: 1.0})
    assert in_order.cols.tolist() == [1, 2, 4]
    assert in_order.first is not None
    assert (in_order.first - days[-1]).tolist() == [1, 2, 0]
    assert set(shown(fold_in_history(served, {2: 1.0, 4: 1.0}, 2))) <= {0, 6, 8, 10}
    assert from_profile(served, None, 3).by == "popularity"


def test_a_model_without_scores_serves_new_items_and_refuses_include_heard(
    popular: Served,
) -> None:
    history = plays_by(popular.cells, 3)

    assert set(shown(known_user(popular, 3, N_ITEMS))).isdisjoint(history)
    assert set(shown(fold_in_history(popular, history, N_ITEMS))).isdisjoint(history)
    for answer, subject in ((known_user, 3), (fold_in_history, history)):
        with pytest.raises(InputError, match="popularity-users has no scores for the items"):
            answer(popular, subject, 5, include_heard=True)


def test_the_most_similar_items_are_of_the_same_camp_by_cosine(camps: Served) -> None:
    assert isinstance(camps.model, Als)
    factors = camps.model.item_factors.astype(np.float64)
    unit = factors / np.linalg.norm(factors, axis=1, keepdims=True)

    for item in range(N_ITEMS):
        found = similar(camps, item, 5)

        assert {int(each.id.removeprefix("i")) % 2 for each in found} == {item % 2}
        assert f"i{item:02}" not in {each.id for each in found}
        for each in found:
            other = int(each.id.removeprefix("i"))
            assert each.score == pytest.approx(unit[item] @ unit[other], abs=1e-5)


def test_models_that_cannot_relate_or_explain_say_so(popular: Served) -> None:
    with pytest.raises(InputError, match="has no similarities of items"):
        similar(popular, 0, 3)
    with pytest.raises(InputError, match="cannot be explained by the history"):
        explain(popular, popular.cells, 0, 1)


def solved_score(served: Served, user: int, item: int) -> tuple[float, npt.NDArray[np.float64]]:
    """y_i' x with x = (Y' C Y + lambda I)^-1 Y' C p, and each term of the sum, all pairs dense."""
    assert isinstance(served.model, Als)
    assert isinstance(served.config, AlsConfig)
    y = served.model.item_factors.astype(np.float64)
    f = Weights(served.config, served.cells)(served.cells).toarray()[user].astype(np.float64)
    c = np.where(f > 0, 1 + served.config.alpha * f, 1)
    p = (served.cells.matrix().toarray()[user] > 0).astype(np.float64)
    w = np.linalg.inv(y.T @ np.diag(c) @ y + served.config.regularization * np.eye(y.shape[1]))
    x = w @ y.T @ np.diag(c) @ p
    terms = np.array([y[item] @ w @ y[j] * c[j] * p[j] for j in range(len(y))])
    return float(y[item] @ x), terms


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_shares_are_those_of_the_paper_and_sum_to_the_score_of_the_exact_solution(
    weighting: str,
) -> None:
    rng = np.random.default_rng(5)
    played = rng.random((30, 14)) < 0.4
    cells = cells_of(played * rng.integers(1, 50, played.shape))
    served = served_by(CONFIG.model_copy(update={"weighting": weighting}), cells)
    for user, item in ((0, 3), (7, 1), (29, 13)):
        score, terms = solved_score(served, user, item)

        explanation = explain(served, served.cells, user, item)

        assert {each.id for each in explanation.shares} == {
            f"i{j:02}" for j in plays_by(cells, user)
        }
        assert explanation.score == pytest.approx(score, rel=1e-5, abs=1e-7)
        assert sum(each.share for each in explanation.shares) == pytest.approx(
            explanation.score, rel=1e-12
        )
        for each in explanation.shares:
            j = int(each.id.removeprefix("i"))
            assert each.share == pytest.approx(terms[j], rel=1e-5, abs=1e-7)
            assert each.plays == plays_by(cells, user)[j]
        assert explanation.heard == (item in plays_by(cells, user))
        assert [each.share for each in explanation.shares] == sorted(
            (each.share for each in explanation.shares), reverse=True
        )


def test_the_explained_score_is_the_recommended_one(camps: Served) -> None:
    (best,) = known_user(camps, 5, 1).items

    explanation = explain(camps, camps.cells, 5, camps.names.number(best.id))

    assert explanation.score == pytest.approx(best.score, rel=1e-4)


def test_a_new_history_is_explained_too(camps: Served) -> None:
    history = history_of(camps, {2: 1.0, 4: 3.0})
    best = fold_in_history(camps, {2: 1.0, 4: 3.0}, 1).items[0]

    explanation = explain(camps, history, 0, camps.names.number(best.id))

    assert {each.name for each in explanation.shares} == {"i02", "i04"}
    assert explanation.score == pytest.approx(best.score, rel=1e-4)


def test_users_are_found_by_id_and_the_nearest_are_offered(camps: Served) -> None:
    assert camps.user("u07") == 7
    with pytest.raises(InputError, match="user 'u7' is not known; nearest are 'u"):
        camps.user("u7")


@pytest.fixture(scope="module")
def profiled() -> Served:
    """Even users are German, odd ones Swedish; of the same age but for the first 3."""
    n = 2 * FEWEST + 4
    dense = two_camps(n, N_ITEMS)
    dense[41::2, 4:] = 0  # so that the items of Swedes are less popular among all
    cells = cells_of(dense)
    countries = ["Germany" if i % 2 == 0 else "Sweden" for i in range(n)]
    genders = ["mf"[i // 2 % 2] for i in range(n)]
    profiles = profiles_of(cells.users, countries, [20] * 3 + [40] * (n - 3), genders)
    return served_by(CONFIG, cells, profiles)


def test_a_user_without_a_history_gets_items_of_users_of_the_same_country(
    profiled: Served,
) -> None:
    assert profiled.profiles is not None
    wanted = profile_of(profiled.profiles, "sweden", None, None)

    answer = from_profile(profiled, wanted, 4)

    assert answer.by == "alike"
    assert answer.audience == "32 users: country Sweden"
    assert all(item % 2 == 1 for item in shown(answer))


def test_with_too_few_similar_users_one_field_less_has_to_match(profiled: Served) -> None:
    assert profiled.profiles is not None
    tried = {
        (age, gender): audience(
            profiled.cells, profiled.profiles, profile_of(profiled.profiles, "Sweden", age, gender)
        ).words
        for age, gender in ((40, None), (40, "f"), (20, None))
    }

    assert tried == {
        (40, None): "31 users: country Sweden, age 35 to 45",
        (40, "f"): "31 users: country Sweden, age 35 to 45",
        (20, None): "32 users: country Sweden",
    }


def test_without_similar_users_all_users_count(profiled: Served) -> None:
    assert profiled.profiles is not None
    answer = from_profile(profiled, profile_of(profiled.profiles, None, 99, None), 3)

    assert (answer.by, answer.audience) == ("popularity", "all 64 users")
    counts = profiled.cells.per_item()
    assert [each.score for each in answer.items] == sorted(counts.tolist(), reverse=True)[:3]


def test_popularity_models_use_the_profile(profiled: Served) -> None:
    config = PopularityConfig(kind="popularity-users", within="country")
    served = served_by(config, profiled.cells, profiled.profiles)
    assert served.profiles is not None

    answer = from_profile(served, profile_of(served.profiles, "Germany", None, None), 4)

    assert answer.by == "profile"
    assert all(item % 2 == 0 for item in shown(answer))


def test_a_model_with_one_list_for_all_profiles_does_not_use_the_profile(
    profiled: Served,
) -> None:
    served = served_by(BY_USERS, profiled.cells, profiled.profiles)
    assert served.profiles is not None

    answer = from_profile(served, profile_of(served.profiles, "Sweden", None, None), 4)

    assert answer.by == "alike"
    assert all(item % 2 == 1 for item in shown(answer))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"country": "Germny"}, "country 'Germny' is not known; nearest are 'Germany'"),
        ({"gender": "x"}, "gender 'x' is not known"),
        ({"age": 101.0}, r"age 101 is not within 0\.\.100"),
    ],
)
def test_profiles_without_any_possible_match_are_refused(
    profiled: Served, given: dict[str, object], message: str
) -> None:
    assert profiled.profiles is not None
    wanted = {"country": None, "age": None, "gender": None, **given}

    with pytest.raises(InputError, match=message):
        profile_of(profiled.profiles, **wanted)  # type: ignore[arg-type]


def test_missing_fields_match_nothing() -> None:
    cells = cells_of(np.ones((FEWEST, 3)))
    known = Profiles.unknown(cells.users)
    wanted = profiles_of(cells.users.where(np.arange(FEWEST) == 0), ["Germany"], [30], ["f"])

    assert audience(cells, known, wanted).everyone


def test_profiles_of_other_users_are_refused(profiled: Served) -> None:
    assert profiled.profiles is not None
    cells = cells_of(two_camps(3, 4))

    with pytest.raises(ValueError, match="aligned"):
        replace(profiled, cells=cells)
