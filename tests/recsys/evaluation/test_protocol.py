from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from recsys.data.interactions import Interactions
from recsys.evaluation import protocol
from recsys.evaluation.metrics import METRICS
from recsys.evaluation.protocol import judge, recommend
from recsys.models import build
from recsys.models.als import Als, AlsConfig
from recsys.models.iterative import Iteration
from recsys.models.popularity import PopularityConfig
from recsys.models.recommender import Recommendations, Recommender
from recsys.search.curves import Curve, CurvePoint, LossProbe
from recsys.splitting.split import Fold, Split, random_split
from recsys.splitting.users import user_split
from tests.conftest import cells_of, two_camps

POPULAR = PopularityConfig(kind="popularity-users")
SMALL = AlsConfig(factors=3, iterations=4)
SEED = 3


def data() -> Interactions:
    return cells_of(two_camps(30, 24, of_other=3))


def at_random() -> Split:
    return random_split(data(), 0.2, 5, (1, 2))


def whole_users() -> Split:
    return user_split(data(), (0.3, 0.3), 0.8, (1, 2))


class Recording:
    """A model that records its calls and shows item 0 to all users."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int], int]] = []

    def fit(self, train: Interactions) -> "Recording":
        return self

    def recommend(self, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        return self._answer("recommend", users, k)

    def fold_in(
        self, history: Interactions, users: npt.NDArray[np.int32], k: int
    ) -> Recommendations:
        self.history = history
        return self._answer("fold_in", users, k)

    def _answer(self, how: str, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        self.calls.append((how, users.tolist(), k))
        items = np.full((len(users), k), -1, np.int32)
        items[:, 0] = 0
        return Recommendations(users, items, np.where(items < 0, np.nan, 1).astype(np.float32))


def test_trained_users_are_recommended_to_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BATCH", 4)
    model, fold, seen = Recording(), at_random().test, []
    users = np.arange(10, dtype=np.int32)

    recs = recommend(model, fold, users, 3, lambda *report: seen.append(report))

    assert model.calls == [
        ("recommend", [0, 1, 2, 3], 3),
        ("recommend", [4, 5, 6, 7], 3),
        ("recommend", [8, 9], 3),
    ]
    assert recs.users.tolist() == users.tolist()
    assert seen == [("judging users", done, 10) for done in (4, 8, 10)]


def test_new_users_are_folded_in_from_their_history() -> None:
    model, fold = Recording(), whole_users().test

    recommend(model, fold, fold.judged, 3)

    assert [how for how, _, _ in model.calls] == ["fold_in"]
    assert model.history is fold.history


@pytest.mark.parametrize("config", [POPULAR, SMALL], ids=lambda config: config.kind)
def test_the_size_of_a_batch_changes_nothing(
    config: PopularityConfig | AlsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fold in (at_random().test, whole_users().test):
        model = build(config, SEED).fit(fold.train)
        whole = recommend(model, fold, fold.judged, 5)
        monkeypatch.setattr(protocol, "BATCH", 3)
        parts = recommend(model, fold, fold.judged, 5)
        monkeypatch.undo()

        assert parts.users.tolist() == whole.users.tolist()
        assert parts.items.tolist() == whole.items.tolist()


def test_every_user_with_something_held_out_is_judged_at_the_longest_cut_off() -> None:
    for fold in (at_random().validation, whole_users().validation):
        model = Recording()
        report = judge(model, fold, (1, 5, 3))
        assert model.calls == [(model.calls[0][0], fold.judged.tolist(), 5)]
        assert report.users.tolist() == fold.judged.tolist()
        assert {f"ndcg@{k}" for k in (1, 3, 5)} <= set(report.per_user.columns)
        assert {f"{name}@1" for name in METRICS} <= set(report.per_user.columns)


def test_popularity_is_counted_among_the_users_of_the_training() -> None:
    """Item 0 has 2 users among 3 users in train; users without training cells do not count."""
    plays = cells_of([[1, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    held = np.isin(plays.keys, [9 + 2, 12, 13, 14])  # all of users 3 and 4
    train = plays.where(~held)
    fold = Fold(train, train, plays.where(held))

    report = judge(Recording(), fold, (1,))

    assert report.per_user["novelty@1"].tolist() == pytest.approx([-np.log2(2 / 3)] * 2)
    assert report.per_user["popularity@1"].tolist() == [2, 2]


def curved(split: Split, n_users: int, seed: int = SEED) -> tuple[Curve, Recommender]:
    curve = Curve(split.validation, ("ndcg@5", "precision@10"), n_users, seed)
    return curve, Als(SMALL, SEED).fit(split.validation.train, on_iteration=curve)


@pytest.mark.parametrize("cut", [at_random, whole_users])
def test_a_curve_over_all_users_ends_where_the_report_stands(cut) -> None:
    split = cut()

    curve, model = curved(split, n_users=1_000)

    final = judge(model, split.validation, (5, 10)).summary()
    assert [point.iteration for point in curve.points] == [1, 2, 3, 4]
    last = curve.points[-1].metrics
    assert last == pytest.approx({name: final[name] for name in ("ndcg@5", "precision@10")})
    assert curve.seconds > 0
    assert all(np.isfinite(point.loss) and point.fit_seconds >= 0 for point in curve.points)


def called_by_curve(n_users: int, seed: int, metrics: Sequence[str] = ("ndcg@5",)) -> Recording:
    model = Recording()
    curve = Curve(at_random().validation, metrics, n_users, seed)
    curve(Iteration(1, 0.0, 0.5, model))  # type: ignore[arg-type]  # it only recommends
    return model


def test_a_curve_uses_a_fixed_sample_of_the_judged_users() -> None:
    judged = at_random().validation.judged.tolist()
    sample = called_by_curve(8, SEED).calls[0][1]

    assert len(sample) == 8
    assert sample == sorted(set(sample) & set(judged))
    assert called_by_curve(8, SEED).calls[0][1] == sample
    assert called_by_curve(8, SEED + 1).calls[0][1] != sample
    assert called_by_curve(len(judged), SEED).calls[0][1] == judged


def test_a_curve_requests_lists_for_its_longest_metric() -> None:
    assert called_by_curve(8, SEED, ("ndcg@5", "recall@12", "map@2")).calls[0][2] == 12


def test_a_curve_over_a_sample_is_the_report_on_that_sample() -> None:
    split = at_random()

    curve, model = curved(split, n_users=8)

    sample = called_by_curve(8, SEED).calls[0][1]
    per_user = judge(model, split.validation, (5,)).per_user.loc[sample]
    assert curve.points[-1].metrics["ndcg@5"] == pytest.approx(per_user["ndcg@5"].mean())


def test_a_loss_probe_notes_the_loss_of_each_iteration_and_measures_nothing() -> None:
    probe, losses = LossProbe(), []

    def both(step: Iteration) -> None:
        probe(step)
        losses.append(step.loss)

    Als(SMALL, SEED).fit(data(), on_iteration=both)

    assert [(point.iteration, point.loss) for point in probe.points] == list(enumerate(losses, 1))
    assert all(point.metrics == {} for point in probe.points)


def test_the_values_of_a_curve_are_those_of_one_metric_by_iteration() -> None:
    curve, _ = curved(at_random(), n_users=8)

    for name in ("ndcg@5", "precision@10"):
        expected = [(point.iteration, point.metrics[name]) for point in curve.points]
        assert curve.values(name) == expected
        assert [iteration for iteration, _ in curve.values(name)] == [1, 2, 3, 4]
    assert curve.values("ndcg@5") != curve.values("precision@10")


def test_a_curve_begins_with_the_points_that_another_training_has_measured() -> None:
    split = at_random()
    whole, _ = curved(split, n_users=8)
    known = whole.points[:2]
    curve = Curve(split.validation, ("ndcg@5", "precision@10"), 8, SEED, known)
    assert curve.values("ndcg@5") == whole.values("ndcg@5")[:2]
    start = Als(SMALL.model_copy(update={"iterations": 2}), SEED).fit(split.validation.train)

    Als(SMALL, SEED).fit(split.validation.train, start.state(), curve)

    assert curve.values("ndcg@5") == whole.values("ndcg@5")
    assert curve.values("precision@10") == whole.values("precision@10")
    assert [point.loss for point in curve.points] == [point.loss for point in whole.points]


def test_the_points_that_a_curve_begins_with_stay_as_they_were_given() -> None:
    known = [CurvePoint(1, 0.5, {"ndcg@5": 0.1}, 0.0)]
    curve = Curve(at_random().validation, ("ndcg@5",), 8, SEED, known)

    curve(Iteration(2, 0.0, 0.4, Recording()))  # type: ignore[arg-type]  # it only recommends

    assert [point.iteration for point in curve.points] == [1, 2]
    assert len(known) == 1
