"""Blocks of lists: every user and item, with the answers of serving, without known items."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from recsys.data.ids import IdMap, strings
from recsys.data.interactions import Interactions
from recsys.models.config import ModelConfig
from recsys.models.recommender import Recommendations
from recsys.serving.answers import Served, known_user, similar
from recsys.serving.lists import lists, relates
from tests.conftest import cells_of, two_camps
from tests.recsys.serving.served_models import ALS, EASE, MODELS, WITHIN, served_by


def served(config: ModelConfig) -> Served:
    """Two camps; the first user has every item but the last, which has no users."""
    plays = two_camps(30, 8, of_other=1)
    plays[0] = 1.0
    plays[:, -1] = 0.0
    return served_by(config, cells_of(plays))


def rows(model: Served, kind: str, k: int = 3, size: int = 7) -> Iterator[dict[str, Any]]:
    for which, block in lists(model, k, size=size):
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
    model = served(config)
    users = model.cells.users

    found = by_subject(rows(model, "user"))

    assert list(found) == users.ids.to_pylist()
    for number, mine in enumerate(found.values()):
        expected = known_user(model, number, 3).items
        assert [score for _, score in mine] == [each.score for each in expected]
        # Of equal scores, equal up to rounding, either may come first.
        if len({round(each.score, 4) for each in expected}) == len(expected):
            assert [item for item, _ in mine[:-1]] == [each.id for each in expected[:-1]]


@pytest.mark.parametrize("config", [ALS, EASE], ids=lambda config: config.kind)
def test_every_item_has_its_similar_items(config: ModelConfig) -> None:
    model = served(config)
    items = model.cells.items

    found = by_subject(rows(model, "item", k=4, size=3))

    assert sorted(found) == items.ids.to_pylist()
    for item in range(len(items)):
        mine = found[items.id(item)]
        expected = [(each.id, each.score) for each in similar(model, item, 4)]
        assert [score for _, score in mine] == [score for _, score in expected]
        assert items.id(item) not in {item for item, _ in mine}
    assert found["i07"] == []


def test_a_model_that_does_not_relate_items_has_lists_of_users_alone() -> None:
    model = served(WITHIN)

    assert not relates(model)
    assert {kind for kind, _ in lists(model, 3)} == {"user"}


def test_of_items_of_one_name_the_one_with_most_users_comes_first() -> None:
    cells = cells_of([[1, 1, 1, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]])
    named = IdMap(cells.items.ids, strings(["Muse", "ABBA", "muse", "Can"]))
    cells = Interactions(cells.users, named, cells.rows, cells.cols, cells.plays)

    found = rows(served_by(EASE, cells), "item", k=1, size=1)

    order = [(row["key"], row["subject"], row["subject_name"], row["cells"]) for row in found]
    assert order == [
        ("abba", "i01", "ABBA", 3),
        ("can", "i03", "Can", 3),
        ("muse", "i02", "muse", 4),
        ("muse", "i00", "Muse", 1),
    ]


def test_the_size_of_blocks_changes_nothing() -> None:
    model = served(ALS)

    one, other = (by_subject(rows(model, "user", size=size)) for size in (1, 100))

    assert one == other


def test_lists_longer_than_the_catalogue_take_no_more_room_than_it() -> None:
    model = served(ALS)

    longest, whole = (list(lists(model, k)) for k in (10**12, 8))

    assert longest == whole


def test_progress_counts_up_to_all_lists() -> None:
    reports: list[tuple[str, int, int | None]] = []

    list(lists(served(ALS), 2, lambda *each: reports.append(each), size=20))

    assert reports == [
        ("publishing lists of users", 20, 30),
        ("publishing lists of users", 30, 30),
        ("publishing similar items", 8, 8),
    ]


def test_a_model_that_recommends_an_item_the_user_has_is_refused() -> None:
    model = served(WITHIN)

    def careless(users: Any, k: int) -> Recommendations:
        items = np.zeros((len(users), k), dtype=np.int32)
        return Recommendations(users, items, np.ones((len(users), k), dtype=np.float32))

    model.model.recommend = careless  # type: ignore[method-assign]

    with pytest.raises(ValueError, match="recommends item 'i00' to user 'u00', who has it"):
        list(lists(model, 1))
