"""Blocks of lists: every user and item, with the answers of serving, without known items."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from recsys.data.ids import IdMap, strings
from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.models import build
from recsys.models.als import AlsConfig
from recsys.models.bpr import BprConfig
from recsys.models.config import ModelConfig
from recsys.models.ease import EaseConfig
from recsys.models.ensemble import EnsembleConfig
from recsys.models.fm import FmConfig
from recsys.models.item_knn import ItemKnnConfig
from recsys.models.popularity import PopularityConfig
from recsys.models.recommender import Recommendations
from recsys.models.rp3beta import Rp3betaConfig
from recsys.models.slim import SlimConfig
from recsys.models.user_knn import UserKnnConfig
from recsys.serving.answers import Served, known_user, similar
from recsys.serving.lists import lists, relates
from tests.conftest import cells_of, two_camps

SEED = 3
ALS = AlsConfig(factors=4, iterations=3, regularization=0.5, alpha=4.0)
MODELS = [
    ALS,
    EaseConfig(),
    SlimConfig(),
    ItemKnnConfig(),
    Rp3betaConfig(),
    UserKnnConfig(neighbours=5),
    BprConfig(iterations=3),
    FmConfig(iterations=2),
    PopularityConfig(kind="popularity-users"),
    EnsembleConfig(members=(ALS, EaseConfig())),
]


def everything_heard() -> Interactions:
    """Two camps; the first user has every item but the last, which has no users."""
    plays = two_camps(30, 8, of_other=1)
    plays[0] = 1.0
    plays[:, -1] = 0.0
    return cells_of(plays)


def served_by(config: ModelConfig, cells: Interactions | None = None) -> Served:
    cells = everything_heard() if cells is None else cells
    model = build(config, SEED, profiles=Profiles.unknown(cells.users)).fit(cells)
    return Served(config, model, cells)


def rows(served: Served, kind: str, k: int = 3, size: int = 7) -> Iterator[dict[str, Any]]:
    for which, block in lists(served, k, size=size):
        if which == kind:
            yield from block.to_pylist()


def by_subject(found: Iterator[dict[str, Any]]) -> dict[str, list[tuple[str, Any]]]:
    """Ids and scores of each list; of an empty one no entry, but the subject."""
    gathered: dict[str, list[tuple[str, Any]]] = {}
    for row in found:
        mine = gathered.setdefault(row["subject"], [])
        if row["rank"]:
            assert row["rank"] == len(mine) + 1
            mine.append((row["item_id"], pytest.approx(row["score"], rel=1e-4, abs=1e-6)))
        else:
            assert (row["item_id"], row["name"], row["score"]) == (None, None, None)
    return gathered


@pytest.mark.parametrize("config", MODELS, ids=lambda config: config.kind)
def test_every_user_has_the_list_that_serving_gives(config: ModelConfig) -> None:
    served = served_by(config)
    users = served.cells.users

    found = by_subject(rows(served, "user"))

    assert list(found) == users.ids.to_pylist()
    for number, mine in enumerate(found.values()):
        asked = known_user(served, number, 3).items
        assert [score for _, score in mine] == [each.score for each in asked]
        # Of equal scores, equal up to rounding, either may come first.
        if len({round(each.score, 4) for each in asked}) == len(asked):
            assert [item for item, _ in mine[:-1]] == [each.id for each in asked[:-1]]


@pytest.mark.parametrize("config", MODELS, ids=lambda config: config.kind)
def test_no_list_has_an_item_that_its_user_has(config: ModelConfig) -> None:
    served = served_by(config)
    cells = served.cells
    known = {
        (cells.users.id(user), cells.items.id(item))
        for user, item in zip(cells.rows.tolist(), cells.cols.tolist(), strict=True)
    }

    shown = {(row["subject"], row["item_id"]) for row in rows(served, "user", k=8)}

    assert not shown & known


@pytest.mark.parametrize("config", [ALS, EaseConfig()], ids=lambda config: config.kind)
def test_every_item_has_its_similar_items(config: ModelConfig) -> None:
    served = served_by(config)
    items = served.cells.items

    found = by_subject(rows(served, "item", k=4, size=3))

    assert sorted(found) == items.ids.to_pylist()
    for item in range(len(items)):
        mine = found[items.id(item)]
        asked = [(each.id, each.score) for each in similar(served, item, 4)]
        assert [score for _, score in mine] == [score for _, score in asked]
        assert items.id(item) not in {item for item, _ in mine}
    assert found["i07"] == []


def test_a_model_that_does_not_relate_items_has_lists_of_users_alone() -> None:
    served = served_by(PopularityConfig(kind="popularity-users"))

    assert not relates(served)
    assert {kind for kind, _ in lists(served, 3)} == {"user"}


def test_of_items_of_one_name_the_one_with_most_users_comes_first() -> None:
    cells = cells_of([[1, 1, 1, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]])
    named = IdMap(cells.items.ids, strings(["Muse", "ABBA", "muse", "Can"]))
    cells = Interactions(cells.users, named, cells.rows, cells.cols, cells.plays)

    found = rows(served_by(EaseConfig(), cells), "item", k=1, size=1)

    order = [(row["key"], row["subject"], row["subject_name"], row["cells"]) for row in found]
    assert order == [
        ("abba", "i01", "ABBA", 3),
        ("can", "i03", "Can", 3),
        ("muse", "i02", "muse", 4),
        ("muse", "i00", "Muse", 1),
    ]


def test_the_size_of_blocks_changes_nothing() -> None:
    served = served_by(ALS)

    one, other = (by_subject(rows(served, "user", size=size)) for size in (1, 100))

    assert one == other


def test_lists_longer_than_the_catalogue_take_no_more_room_than_it() -> None:
    served = served_by(ALS)

    asked, whole = (list(lists(served, k)) for k in (10**12, 8))

    assert asked == whole


def test_progress_counts_up_to_all_lists() -> None:
    reports: list[tuple[str, int, int | None]] = []

    list(lists(served_by(ALS), 2, lambda *each: reports.append(each), size=20))

    assert reports == [
        ("publishing lists of users", 20, 30),
        ("publishing lists of users", 30, 30),
        ("publishing similar items", 8, 8),
    ]


def test_a_model_that_recommends_an_item_the_user_has_is_refused() -> None:
    served = served_by(BprConfig(iterations=1))

    def careless(users: Any, k: int) -> Recommendations:
        items = np.zeros((len(users), k), dtype=np.int32)
        return Recommendations(users, items, np.ones((len(users), k), dtype=np.float32))

    served.model.recommend = careless  # type: ignore[method-assign]

    with pytest.raises(ValueError, match="recommends item 'i00' to user 'u00', who has it"):
        list(lists(served, 1))
