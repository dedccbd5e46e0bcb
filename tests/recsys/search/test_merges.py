"""The way to merge the lists of an ensemble is the best of those that are tried."""

import numpy as np
import pytest

from recsys.evaluation.fitting import fit_and_judge
from recsys.models import make_config
from recsys.models.item_knn import ItemKnn
from recsys.models.merging import ways_to_merge
from recsys.search.merges import best_merge
from recsys.splitting.split import Fold
from tests.conftest import cells_of

MEMBERS = (make_config("item-knn", {"neighbours": 5}), make_config("popularity-users", {}))
ENSEMBLE = make_config("ensemble", {"members": MEMBERS})
KS, METRIC = (2, 5), "ndcg@5"


@pytest.fixture(scope="module")
def fold() -> Fold:
    """Users of two groups, each with favourites of its own, and a fifth of their cells hidden."""
    rng = np.random.default_rng(4)
    of_group = np.arange(60)[:, None] % 2 == np.arange(30)[None, :] % 2
    cells = cells_of((rng.random((60, 30)) < np.where(of_group, 0.5, 0.15)).astype(float))
    hidden = rng.random(len(cells)) < 0.2
    train = cells.where(~hidden)
    return Fold(train, train, cells.where(hidden))


def test_every_member_counts_double_once_by_rank_and_by_score() -> None:
    ways = ways_to_merge(ENSEMBLE)

    assert [tuple(way.model_dump(include={"merge", "weights"}).values()) for way in ways] == [
        (merge, weights)
        for merge in ("ranks", "scores")
        for weights in ((), (2.0, 1.0), (1.0, 2.0))
    ]


def test_the_best_has_the_values_it_has_alone_and_no_other_has_more(fold: Fold) -> None:
    way, judged = best_merge(ENSEMBLE, 0, fold, KS, METRIC)

    alone = {each: fit_and_judge(each, 0, fold, KS).report for each in ways_to_merge(ENSEMBLE)}
    values = {each: report.summary()[METRIC] for each, report in alone.items()}
    assert values[way] == max(values.values()) > min(values.values())
    assert judged.report.per_user.equals(alone[way].per_user)
    again = judged.model.recommend(fold.judged, max(KS))
    np.testing.assert_array_equal(again.items, judged.recs.items)


def test_members_are_fitted_once(fold: Fold, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = []
    real = ItemKnn.fit
    monkeypatch.setattr(ItemKnn, "fit", lambda *of: (fitted.append(1), real(*of))[1])

    best_merge(ENSEMBLE, 0, fold, KS, METRIC)

    assert fitted == [1]
