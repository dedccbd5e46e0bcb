import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.ids import IdMap
from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.models.fm import FeatureTable, Fm, FmConfig, slopes
from tests.conftest import cells_of, profiles_of, two_camps

SMALL = FmConfig(factors=4, iterations=30, learning_rate=0.1, dropout=0.5)


def described(users: IdMap) -> Profiles:
    """The first is a man of 30, the second a woman, of others only the country is known."""
    n = len(users)
    countries = ["Chile" if user % 2 else "Iceland" for user in range(n)]
    nothing = [None] * (n - 2)
    return profiles_of(users, countries, [30, None, *nothing], ["m", "f", *nothing])


def trained(config: FmConfig, dense: npt.ArrayLike, seed: int = 1) -> tuple[Fm, Interactions]:
    cells = cells_of(dense)
    model = Fm(config, seed, described(cells.users))
    return model.fit(cells), cells


def machine(
    linear: dict[str, float],
    factors: dict[str, npt.NDArray[np.float32]],
    x: dict[str, float],
) -> float:
    """Rendle 2010, equation 1, by loops over features and pairs of features."""
    total = sum(linear.get(name, 0.0) * value for name, value in x.items())
    for a, b in itertools.combinations(x, 2):
        total += float(factors[a] @ factors[b]) * x[a] * x[b]
    return total


@pytest.mark.parametrize("history", [True, False])
def test_scores_differ_as_those_of_the_full_machine_with_all_pairs(history: bool) -> None:
    """The pairs among the features of the user are the same for every item."""
    config = SMALL.model_copy(update={"history": history, "user_regularization": 0.1})
    dense = two_camps(6, 8, of_other=1)
    model, cells = trained(config, dense)
    users = np.arange(6, dtype=np.int32)
    rows = model.features(cells, users).toarray()
    recs = model.recommend(users, 8)

    for user in users:
        names = [f"x{n}" for n in np.flatnonzero(rows[user])]
        x = {name: float(rows[user, int(name[1:])]) for name in names} | {"user": 1.0}
        factors = {name: model.of_features[int(name[1:])] for name in names}
        factors["user"] = model.user_vectors[user]
        assert np.abs(factors["user"]).max() > 0
        full = {}
        for item in recs.items[user][recs.items[user] >= 0].tolist():
            every = factors | {"item": model.item_vectors[item, :-1]}
            linear = {"item": float(model.item_vectors[item, -1]), "user": 0.3}
            full[item] = machine(linear, every, x | {"item": 1.0})
        shown = list(full)
        gaps = [full[item] - full[shown[0]] for item in shown]
        np.testing.assert_allclose(
            recs.scores[user, : len(shown)] - recs.scores[user, 0], gaps, atol=1e-4
        )


def test_features_are_gender_country_age_band_and_the_history_of_length_one() -> None:
    dense = [[0, 3, 4], [1, 0, 0], [0, 0, 0]]
    config = SMALL.model_copy(update={"weighting": "linear"})
    model, cells = trained(config, dense)

    rows = model.features(cells, np.arange(3, dtype=np.int32)).toarray()

    f_m, chile_iceland, bands = rows[:, :2], rows[:, 2:4], rows[:, 4:10]
    assert f_m.tolist() == [[0, 1], [1, 0], [0, 0]]
    assert chile_iceland.tolist() == [[0, 1], [1, 0], [0, 1]]
    assert bands.tolist() == [[0, 0, 1, 0, 0, 0], [0] * 6, [0] * 6]
    np.testing.assert_allclose(rows[:, 10:], [[0, 0.6, 0.8], [1, 0, 0], [0, 0, 0]], rtol=1e-6)


def loss(
    scores: npt.NDArray[np.float64], weights: npt.NDArray[np.float32], targets: object
) -> float:
    """What `Fm` describes, by loops."""
    total = 0.0
    wanted = np.asarray(targets)
    for u in range(len(scores)):
        odds = zip(weights[u].tolist(), scores[u].tolist(), strict=True)
        everything = sum(weight * math.exp(score) for weight, score in odds)
        for i in np.flatnonzero(wanted[u]):
            total -= math.log(math.exp(scores[u, i]) / everything)
    return total


@given(seed=st.integers(0, 1000))
def test_slopes_are_those_of_the_loss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 2, (3, 5))
    targets = (rng.random((3, 5)) < 0.4).astype(np.float32)
    targets[:, 0] = 1
    weights = np.where(targets > 0, 1, rng.choice([0, 2.5], (3, 5))).astype(np.float32)

    found = slopes(scores.astype(np.float32), weights, targets)

    step = 1e-5
    for at in np.ndindex(3, 5):
        more, less = scores.copy(), scores.copy()
        more[at] += step
        less[at] -= step
        numeric = (loss(more, weights, targets) - loss(less, weights, targets)) / (2 * step)
        assert found[at] == pytest.approx(numeric, abs=1e-4)


def test_a_step_goes_down_the_whole_loss_of_its_batch() -> None:
    """Each table moves against the numeric gradient; Adagrad's first step has but its sign."""
    dense = two_camps(6, 8, of_other=1)
    config = SMALL.model_copy(update={"iterations": 1, "regularization": 0.0, "negatives": 5})
    model, _ = trained(config.model_copy(update={"user_regularization": 0.0}), dense)
    batch = model.batch(np.arange(6, dtype=np.int32), np.random.default_rng(2))
    tables = (model.user_vectors, model.of_features, model.item_vectors)

    def whole() -> float:
        v = model.user_vectors[batch.users] + batch.features @ model.of_features
        q = model.item_vectors[batch.candidates]
        return loss((v @ q[:, :-1].T + q[:, -1]).astype(float), batch.weights, batch.targets)

    numeric = []
    for table in tables:
        slope = np.zeros(table.shape)
        for at in np.ndindex(table.shape):
            kept, step = table[at], np.float32(2e-2)
            table[at] = kept + step
            more = whole()
            table[at] = kept - step
            slope[at] = (more - whole()) / (2 * step)
            table[at] = kept
        numeric.append(slope)
    given = model.gradients(batch)

    for slope, (rows, found) in zip(numeric, given, strict=True):
        np.testing.assert_allclose(found, slope[rows], atol=2e-2)
        rest = np.setdiff1d(np.arange(len(slope)), rows)
        assert np.abs(slope[rest]).max(initial=0) < 1e-6


def test_a_target_is_no_feature_and_a_known_item_is_no_rival() -> None:
    dense = two_camps(10, 12, of_other=2)
    model, cells = trained(SMALL.model_copy(update={"iterations": 1, "negatives": 12}), dense)
    batch = model.batch(np.arange(10, dtype=np.int32), np.random.default_rng(3))
    features = batch.features.toarray()[:, -12:]
    table = np.zeros((2, len(batch.users), 12))
    table[:, :, batch.candidates] = batch.targets, batch.weights
    targets, weights = table
    known = cells.matrix()[batch.users].toarray() > 0

    assert (targets.sum(axis=1) > 0).all()
    assert ((targets > 0) | (features > 0) == known).all()
    assert not ((targets > 0) & (features > 0)).any()
    assert (weights == np.where(known, targets, 1)).all()


def test_a_few_drawn_items_stand_for_all_others() -> None:
    dense = two_camps(10, 30)
    model, _ = trained(SMALL.model_copy(update={"iterations": 1, "negatives": 6}), dense)
    rng = np.random.default_rng(3)
    total = np.zeros((10, 30))
    for _ in range(300):
        batch = model.batch(np.arange(10, dtype=np.int32), rng)
        rows = np.ix_(batch.users, batch.candidates)
        total[rows] += batch.weights * (batch.targets == 0)

    unknown = dense == 0

    assert (total[~unknown] == 0).all()
    np.testing.assert_allclose(total[unknown].mean() / 300, 1, atol=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_the_hidden_item_of_each_camp_comes_first_without_histories_as_features(seed: int) -> None:
    """Without profiles, which would separate the camps."""
    dense = two_camps(12, 12)
    users = np.arange(12, dtype=np.int32)
    config = SMALL.model_copy(update={"history": False, "user_regularization": 0.1})
    recs = Fm(config, seed).fit(cells_of(dense)).recommend(users, 1)

    assert recs.items[:, 0].tolist() == users.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_a_user_without_plays_gets_items_of_their_country(seed: int) -> None:
    dense = two_camps(12, 12)
    dense[[0, 1]] = 0
    model, _ = trained(SMALL, dense, seed)
    history = cells_of(np.zeros((3, 12)))
    theirs = profiles_of(history.users, ["Chile", "Iceland", None])

    recs = model.recommend(np.array([0, 1], np.int32), 6)
    folded = model.fold_in(history, np.array([0, 1], np.int32), 6, theirs)

    assert [set(row % 2) for row in recs.items] == [{0}, {1}]
    assert [set(row % 2) for row in folded.items] == [{1}, {0}]


def test_a_user_without_history_or_profile_gets_the_items_with_the_highest_w() -> None:
    model = Fm(SMALL, 1).fit(cells_of(two_camps(12, 9, of_other=2)))

    recs = model.fold_in(cells_of(np.zeros((1, 9))), np.array([0], np.int32), 4)

    assert recs.items[0].tolist() == np.argsort(-model.item_vectors[:, -1])[:4].tolist()


def test_a_country_without_users_in_training_says_nothing() -> None:
    dense = two_camps(12, 12)
    dense[0] = 0
    train = cells_of(dense)
    profiles = profiles_of(train.users, ["Peru", *["Chile"] * 11])
    nobody = cells_of(np.zeros((1, 12)))
    model = Fm(SMALL, 1, profiles).fit(train)

    recs = model.recommend(np.array([0], np.int32), 6)
    unknown = model.fold_in(nobody, np.array([0], np.int32), 6, profiles_of(nobody.users))

    assert recs.items.tolist() == unknown.items.tolist()


def test_adagrad_divides_by_the_root_of_the_sum_of_squares() -> None:
    table = FeatureTable(np.array([[1.0, 2.0], [3.0, 4.0]]))
    slope = np.array([[0.5, -2.0]], np.float32)
    nothing = np.zeros((1, 1), np.float32)

    table.descend(np.array([1]), slope, nothing, 0.1)
    table.descend(np.array([1]), slope, nothing, 0.1)

    moved = 0.1 * (1 + 1 / math.sqrt(2))
    np.testing.assert_allclose(table.values, [[1, 2], [3 - moved, 4 + moved]], rtol=1e-5)
