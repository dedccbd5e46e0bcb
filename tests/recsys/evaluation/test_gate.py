import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from recsys.data.interactions import Interactions
from recsys.evaluation import gate
from recsys.evaluation.gate import (
    Decision,
    Gate,
    Rule,
    decide,
    in_words,
    on_new_pairs,
    unseen,
    without_champion,
)
from recsys.evaluation.report import Report
from recsys.models.popularity import Popularity, PopularityConfig
from recsys.models.recommender import NO_ITEM, Recommendations
from recsys.splitting.split import Fold
from tests.conftest import cells_of, pairs

METRIC = "ndcg@10"


def report(values: npt.NDArray[np.float64], shown: int = 10, n_items: int = 20) -> Report:
    """A report of ndcg@10 with lists that show this many of the items."""
    users = pd.Index(np.arange(len(values), dtype=np.int32), name="user")
    exposure = (np.arange(n_items) < shown).astype(np.int64)
    table = pd.DataFrame({METRIC: values}, index=users)
    return Report(table, np.full(len(values), 10, np.int32), {10: exposure})


@pytest.fixture
def champion(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """The metric of the champion for each of 400 users."""
    return np.asarray(rng.uniform(0.2, 0.4, 400))


def decided(
    challenger: npt.NDArray[np.float64],
    champion: npt.NDArray[np.float64],
    rule: Rule = "not-worse",
    shown: int = 10,
) -> Decision:
    return decide(report(challenger, shown), report(champion), Gate(rule), METRIC, 1, 500)


def test_a_worse_challenger_is_refused(
    champion: npt.NDArray[np.float64], rng: np.random.Generator
) -> None:
    worse = champion - 0.02 + rng.normal(0, 0.01, len(champion))

    for rule in ("not-worse", "better"):
        assert not decided(worse, champion, rule).promoted
    assert "may be worse beyond the margin of 1.0%" in decided(worse, champion).reasons[0]


@pytest.mark.parametrize(
    ("margins", "not_worse", "better"),
    [(3, True, True), (0, True, False), (-0.99, True, False), (-1.01, False, False)],
)
def test_better_needs_a_gain_and_not_worse_forgives_a_loss_within_the_margin(
    champion: npt.NDArray[np.float64], margins: float, not_worse: bool, better: bool
) -> None:
    # The same difference for all users: its interval is a point.
    gain = margins * 0.01 * champion.mean()

    decision = decided(champion + gain, champion)

    assert decision.difference is not None
    assert decision.difference.mean == pytest.approx(gain)
    assert decision.promoted == not_worse
    assert decided(champion + gain, champion, "better").promoted == better


def test_the_lower_end_decides_and_not_the_mean(
    champion: npt.NDArray[np.float64], rng: np.random.Generator
) -> None:
    noise = rng.normal(0, 0.2, len(champion))
    as_good = champion + noise - noise.mean()

    decision = decided(as_good, champion)

    assert decision.difference is not None
    assert decision.difference.mean == pytest.approx(0, abs=1e-12)
    assert not decision.promoted


@pytest.mark.parametrize(("shown", "passes"), [(8, True), (7, False)])
def test_a_collapse_of_coverage_is_refused_however_good_the_lists_are(
    champion: npt.NDArray[np.float64], shown: int, passes: bool
) -> None:
    decision = decided(champion + 0.1, champion, shown=shown)

    assert decision.promoted == passes
    assert decision.coverages == (shown / 20, 10 / 20)
    assert any("collapsed" in reason for reason in decision.reasons) != passes


@pytest.mark.parametrize(("rule", "passes"), [("always", True), ("never", False)])
def test_always_and_never_decide_without_numbers_and_report_them(
    champion: npt.NDArray[np.float64], rule: Rule, passes: bool
) -> None:
    for challenger in (champion - 0.1, champion + 0.1):
        decision = decided(challenger, champion, rule, shown=1)

        assert decision.promoted == passes
        assert decision.reasons[0] == f"--gate {rule}: the numbers do not decide"
        assert {"gate/difference_low", "gate/coverage_champion"} <= decision.numbers().keys()


def test_the_first_model_is_promoted_unless_the_gate_is_never(
    champion: npt.NDArray[np.float64],
) -> None:
    first = without_champion(report(champion), Gate(), METRIC)

    assert first.promoted
    assert first.reasons == ("first: nothing serves yet",)
    assert first.challenger.mean == champion.mean()
    assert not without_champion(report(champion), Gate("never"), METRIC).promoted


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "often"}, "gate 'often': use one of always, better, not-worse, never"),
        ({"margin": 1.0}, "margin is 1; give a share"),
        ({"margin": -0.1}, "margin is -0.1"),
        ({"coverage": 1.5}, "coverage is 1.5"),
    ],
)
def test_a_gate_out_of_range_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gate(**settings)  # type: ignore[arg-type]  # that is the point


@pytest.fixture
def fold() -> Fold:
    """u00..u02 and i00..i05; u03 and i06 are new, each user has two items held out."""
    train = cells_of(
        [
            [1, 1, 0, 0, 0, 1, 1],
            [1, 0, 1, 0, 0, 0, 1],
            [0, 1, 1, 0, 1, 0, 0],
            [1, 1, 1, 0, 0, 0, 0],
        ]
    )
    held_out = cells_of(
        [
            [0, 0, 1, 1, 0, 0, 0],
            [0, 1, 0, 1, 0, 0, 0],
            [1, 0, 0, 0, 0, 0, 1],
            [0, 0, 0, 1, 1, 0, 0],
        ]
    )
    same = Interactions(train.users, train.items, held_out.rows, held_out.cols, held_out.plays)
    return Fold(train, train, same)


@pytest.fixture
def known() -> Interactions:
    """What the champion was fitted on: u00..u02, i00..i05; it has seen (u00, i02)."""
    return cells_of([[1, 1, 1, 0, 0, 0], [1, 0, 1, 0, 0, 0], [0, 1, 1, 0, 1, 1]])


def test_the_frozen_champion_is_judged_on_new_pairs_of_known_users_and_items(
    fold: Fold, known: Interactions
) -> None:
    expected = {
        (user, item)
        for user, item in pairs(fold.held_out)
        if (user, item) not in pairs(known) and user != "u03" and item != "i06"
    }

    assert pairs(unseen(fold, known)) == expected
    assert expected == {("u00", "i03"), ("u01", "i01"), ("u01", "i03"), ("u02", "i00")}


class Ranked:
    """Ranks all items in a fixed order, without those the user has in its data."""

    def __init__(self, order: list[int], data: Interactions) -> None:
        self.order, self.seen, self.n_items = order, set(data.keys.tolist()), len(data.items)

    def recommend(self, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        items = np.full((len(users), k), NO_ITEM, np.int32)
        scores = np.full((len(users), k), np.nan, np.float32)
        for row, user in enumerate(users.tolist()):
            new = [i for i in self.order if user * self.n_items + i not in self.seen][:k]
            items[row, : len(new)] = new
            scores[row, : len(new)] = -np.arange(len(new))
        return Recommendations(users, items, scores)


@pytest.mark.parametrize("batch", [1, 2, 4096])
def test_both_are_judged_on_the_same_candidates(
    fold: Fold, known: Interactions, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "BATCH", batch)
    # Candidates: of what both know, what is in neither's data: u00 i03 i04; u01 i01 i03 i04 i05;
    # u02 i00 i03. The champion ranks i03 before all; the challenger i06, which the champion
    # does not know, i02 and i05, which it has seen with u00 and with u02, before i00 and i03.
    champion = Ranked([3, 4, 5, 0, 1, 2], known)
    challenger = Ranked([6, 2, 1, 5, 0, 3, 4], fold.train)

    found = on_new_pairs(challenger, champion, known, fold, "precision@1", 1, 50)  # type: ignore[arg-type]

    assert found is not None
    assert (found.n_users, found.n_pairs) == (3, 4)
    assert found.frozen.mean == pytest.approx(2 / 3)  # u00 i03 yes, u01 i03 yes, u02 i03 no
    assert found.challenger.mean == pytest.approx(1)  # u00 i03, u01 i01, u02 i00
    assert found.difference.mean == pytest.approx(1 / 3)


def test_a_model_is_as_good_as_itself(fold: Fold) -> None:
    model = Popularity(PopularityConfig(kind="popularity-plays")).fit(fold.train)

    found = on_new_pairs(model, model, fold.train, fold, METRIC, 1, 50)

    assert found is not None
    assert found.n_pairs == len(fold.held_out)
    assert found.difference.mean == 0


def test_without_new_pairs_there_is_nothing_to_judge(fold: Fold) -> None:
    everything = fold.train.merged(fold.held_out)
    model = Popularity(PopularityConfig(kind="popularity-plays")).fit(everything)

    assert on_new_pairs(model, model, everything, fold, METRIC, 1, 50) is None


def test_the_frozen_champion_does_not_decide(
    champion: npt.NDArray[np.float64], fold: Fold, known: Interactions
) -> None:
    frozen = on_new_pairs(
        Ranked([5, 4, 3, 2, 1, 0, 6], fold.train),  # type: ignore[arg-type]
        Ranked([3, 1, 0, 2, 4, 5], known),  # type: ignore[arg-type]
        known,
        fold,
        METRIC,
        1,
        50,
    )
    args = report(champion), report(champion), Gate(), METRIC, 1, 500
    decision = decide(*args, on_new=frozen)

    assert decision.verdict == decide(*args).verdict
    assert in_words(decision)[-1].startswith("as it serves, on 4 pairs of 3 users")
    assert decision.numbers()["gate/new_pairs"] == 4
