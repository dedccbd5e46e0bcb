"""Blocks of lists: everybody is there, with what serving would say, and nothing they play."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from recsys.data.ids import IdMap, strings
from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.models import build
from recsys.models.params import (
    AlsConfig,
    BprConfig,
    EaseConfig,
    EnsembleConfig,
    FmConfig,
    ItemKnnConfig,
    ModelConfig,
    PopularityConfig,
    Rp3betaConfig,
    SlimConfig,
    UserKnnConfig,
)
from recsys.models.recommender import Recommendations
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
    FmConfig(epochs=2),
    PopularityConfig(kind="popularity-listeners"),
    EnsembleConfig(members=(ALS, EaseConfig())),
]


def everything_heard() -> Interactions:
    """Two camps; the first listener plays every artist, nobody the last one."""
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
            mine.append((row["artist"], pytest.approx(row["score"], rel=1e-4, abs=1e-6)))
        else:
            assert (row["artist"], row["name"], row["score"]) == (None, None, None)
    return gathered


@pytest.mark.parametrize("config", MODELS, ids=lambda config: config.kind)
def test_everybody_has_the_list_that_serving_gives(config: ModelConfig) -> None:
    served = served_by(config)
    users = served.cells.users

    found = by_subject(rows(served, "listener"))

    assert list(found) == users.ids.to_pylist()
    for number, mine in enumerate(found.values()):
        asked = known_user(served, number, 3).artists
        assert [score for _, score in mine] == [each.score for each in asked]
        # Of equal scores, equal up to rounding, either may come first.
        if len({round(each.score, 4) for each in asked}) == len(asked):
            assert [artist for artist, _ in mine[:-1]] == [each.id for each in asked[:-1]]


@pytest.mark.parametrize("config", MODELS, ids=lambda config: config.kind)
def test_nothing_that_is_played_is_shown(config: ModelConfig) -> None:
    served = served_by(config)
    cells = served.cells
    heard = {
        (cells.users.id(user), cells.items.id(item))
        for user, item in zip(cells.rows.tolist(), cells.cols.tolist(), strict=True)
    }

    shown = {(row["subject"], row["artist"]) for row in rows(served, "listener", k=8)}

    assert not shown & heard


@pytest.mark.parametrize("config", [ALS, EaseConfig()], ids=lambda config: config.kind)
def test_every_artist_has_those_that_are_similar(config: ModelConfig) -> None:
    served = served_by(config)
    items = served.cells.items

    found = by_subject(rows(served, "artist", k=4, size=3))

    assert sorted(found) == items.ids.to_pylist()
    for item in range(len(items)):
        mine = found[items.id(item)]
        asked = [(each.id, each.score) for each in similar(served, item, 4)]
        assert [score for _, score in mine] == [score for _, score in asked]
        assert items.id(item) not in {artist for artist, _ in mine}
    assert found["i07"] == []


def test_a_model_that_does_not_relate_artists_has_lists_of_listeners_alone() -> None:
    served = served_by(PopularityConfig(kind="popularity-listeners"))

    assert not relates(served)
    assert {kind for kind, _ in lists(served, 3)} == {"listener"}


def test_of_artists_of_one_name_the_most_listened_to_comes_first() -> None:
    cells = cells_of([[1, 1, 1, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]])
    named = IdMap(cells.items.ids, strings(["Muse", "ABBA", "muse", "Can"]))
    cells = Interactions(cells.users, named, cells.rows, cells.cols, cells.plays)

    found = rows(served_by(EaseConfig(), cells), "artist", k=1, size=1)

    told = [(row["key"], row["subject"], row["subject_name"], row["cells"]) for row in found]
    assert told == [
        ("abba", "i01", "ABBA", 3),
        ("can", "i03", "Can", 3),
        ("muse", "i02", "muse", 4),
        ("muse", "i00", "Muse", 1),
    ]


def test_the_size_of_blocks_changes_nothing() -> None:
    served = served_by(ALS)

    one, other = (by_subject(rows(served, "listener", size=size)) for size in (1, 100))

    assert one == other


def test_lists_longer_than_the_catalogue_take_no_more_room_than_it() -> None:
    served = served_by(ALS)

    asked, whole = (list(lists(served, k)) for k in (10**12, 8))

    assert asked == whole


def test_progress_is_told_and_ends_with_all() -> None:
    told: list[tuple[str, int, int | None]] = []

    list(lists(served_by(ALS), 2, lambda *each: told.append(each), size=20))

    assert told == [
        ("publishing lists of listeners", 20, 30),
        ("publishing lists of listeners", 30, 30),
        ("publishing similar artists", 8, 8),
    ]


def test_a_model_that_shows_what_is_played_is_refused() -> None:
    served = served_by(BprConfig(iterations=1))

    def careless(users: Any, k: int) -> Recommendations:
        items = np.zeros((len(users), k), dtype=np.int32)
        return Recommendations(users, items, np.ones((len(users), k), dtype=np.float32))

    served.model.recommend = careless  # type: ignore[method-assign]

    with pytest.raises(ValueError, match="shows listener 'u00' the artist 'i00', whom they play"):
        list(lists(served, 1))
