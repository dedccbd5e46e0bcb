"""Each protocol on made-up data in its published layout, against slow references."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.config import checked
from recsys.data.interactions import Interactions
from recsys.errors import InputError
from recsys.models import MODELS
from recsys.models.recommender import Recommendations
from recsys.protocols import PROTOCOLS
from recsys.protocols.lightgcn import read_adjacency
from recsys.protocols.protocol import Prepared, Protocol, Task
from recsys.protocols.standing import found_counts, our_row, ranked
from recsys.splitting.cutting import cut
from recsys.splitting.split import Fold, Split
from tests.conftest import pairs
from tests.recsys.protocols import made_up

pytestmark = pytest.mark.filterwarnings("error")


def prepared(protocol: Protocol, folder: Path, seed: int = 0) -> Prepared:
    return protocol.prepare(Task(protocol.found(folder), protocol.held_out, seed))


def split_of(protocol: Protocol, data: Prepared, seed: int = 0) -> Split:
    given = {"test": "TEST"} if data.test else {}
    given |= {"validation": "VALIDATION"} if data.validation else {}
    filters = {"min_items": 0, "min_users": 0}
    table = {"seed": seed, "split": {**protocol.split, **given}, "filter": filters}
    return cut(data.log, checked(table, "of a test"), data.test, data.validation)


def users_of(side: Interactions) -> set[str]:
    return {user for user, _ in pairs(side)}


def by_user(side: set[tuple[str, str]]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for user, item in side:
        found[user].add(item)
    return found


def check_strong_generalization(split: Split, every: made_up.Pairs, n: int, n_users: int) -> None:
    """What the code of Liang et al. does, step by step on sets."""
    train = pairs(split.validation.train)
    assert split.test.train is split.validation.train, "the judged model learns from train alone"
    trained = users_of(split.validation.train)
    assert len(trained) == n_users - 2 * n
    assert train == {(u, i) for u, i in every if u in trained}
    known = {item for _, item in train}
    left = by_user({(u, i) for u, i in every if u not in trained and i in known})
    sides = []
    for fold in (split.validation, split.test):
        history, held_out = by_user(pairs(fold.history)), by_user(pairs(fold.held_out))
        for user in history:
            assert history[user] | held_out[user] == left[user]
            n_items = len(left[user])
            assert len(held_out[user]) == (n_items // 5 if n_items >= 5 else 0)
        assert users_of(fold.held_out) <= set(history)
        assert fold.folds_in
        assert fold.unreachable == 0
        sides.append(set(history))
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == {user for user in left if left[user]}
    assert max(map(len, sides)) <= n
    assert set(split.test.train.items.ids.to_pylist()) == known, "the catalogue is that of train"


def test_ml_20m_keeps_ratings_above_3_5_of_users_with_five(tmp_path: Path) -> None:
    ratings = made_up.liked()
    made_up.write_ml_20m(tmp_path, ratings)
    above = {(str(u), str(i)) for u, i, rating in ratings if rating > 3.5}
    sizes = Counter(user for user, _ in above)
    kept = {(u, i) for u, i in above if sizes[u] >= 5}
    assert {4.0, 4.5, 3.5} <= {rating for _, _, rating in ratings}, "the data has the edges"
    assert len(kept) < len(above)
    protocol = PROTOCOLS["ml-20m"].with_held_out(8)

    data = prepared(protocol, tmp_path)

    n_users = len({user for user, _ in kept})
    assert pairs(data.log.cells()) == kept
    assert set(data.log.plays.tolist()) == {1.0}, "pairs are binary"
    assert data.counts == {
        "ratings": len(ratings),
        "users": n_users,
        "items": len({item for _, item in kept}),
        "interactions": len(kept),
    }
    check_strong_generalization(split_of(protocol, data), kept, 8, n_users)


def test_the_draw_of_ml_20m_is_that_of_the_code_of_liang_et_al(tmp_path: Path) -> None:
    """Their steps, with pandas: a permutation of the sorted users, then a choice for each user."""
    ratings = made_up.liked(1200, 30)
    made_up.write_ml_20m(tmp_path, ratings)
    protocol = PROTOCOLS["ml-20m"].with_held_out(60)
    data = prepared(protocol, tmp_path)
    table = pd.DataFrame(sorted((int(u), int(i)) for u, i in pairs(data.log.cells())))
    assert table[0].max() > 999, "numbers are sorted as numbers, 1000 after 999"
    rng = np.random.RandomState(98765)
    users = np.sort(table[0].unique())
    users = users[rng.permutation(users.size)]
    train = table[table[0].isin(users[:-120])]
    sides = []
    for judged in (users[-120:-60], users[-60:]):
        side = table[table[0].isin(judged) & table[1].isin(train[1])]
        rng = np.random.RandomState(98765)
        held_out = []
        for _, group in side.groupby(0):
            if len(group) >= 5:
                chosen = rng.choice(len(group), size=int(0.2 * len(group)), replace=False)
                held_out += group.iloc[chosen].to_numpy().tolist()
        sides.append({(str(u), str(i)) for u, i in held_out})

    split = split_of(protocol, data)

    assert pairs(split.validation.held_out) == sides[0]
    assert pairs(split.test.held_out) == sides[1]
    assert pairs(split.test.train) == {(str(u), str(i)) for u, i in train.to_numpy().tolist()}
    other = split_of(protocol, data, seed=1)
    assert other.fingerprint == split.fingerprint, "--seed draws nothing of it"


def test_msd_filters_songs_first_and_users_then(tmp_path: Path) -> None:
    rows = made_up.triplets()
    made_up.write_msd(tmp_path, rows)
    users = Counter(song for _, song, _ in rows)
    after_songs = {(u, s) for u, s, _ in rows if users[s] >= 200}
    songs = Counter(user for user, _ in after_songs)
    kept = {(u, s) for u, s in after_songs if songs[u] >= 20}
    before = Counter(user for user, _, _ in rows)
    assert any(songs[u] < 20 <= before[u] for u in before), "the order of the filters matters"
    assert len({s for _, s in kept}) < len(users)
    protocol = PROTOCOLS["msd"].with_held_out(20)

    data = prepared(protocol, tmp_path)

    n_users = len({user for user, _ in kept})
    assert pairs(data.log.cells()) == kept
    assert set(data.log.plays.tolist()) == {1.0}
    assert data.counts == {
        **{"triplets": len(rows), "users": n_users, "items": len({s for _, s in kept})},
        "interactions": len(kept),
    }
    check_strong_generalization(split_of(protocol, data), kept, 20, n_users)


def test_data_of_which_no_item_stays_is_refused_without_advice_about_filters(
    tmp_path: Path,
) -> None:
    made_up.write_msd(tmp_path, [("u1", "SO1", 3), ("u2", "SO1", 1)])

    words = r"items with 200 users or more, then users with 20 of these or more: none is left; "
    with pytest.raises(InputError, match=words + "give the whole published data"):
        prepared(PROTOCOLS["msd"], tmp_path)


@pytest.mark.parametrize(("name", "n"), [("ml-20m", "10,000"), ("msd", "50,000")])
def test_data_too_small_for_the_held_out_users_is_refused_with_the_numbers(
    name: str, n: str
) -> None:
    protocol = PROTOCOLS[name]
    least = 2 * int(n.replace(",", ""))
    words = rf"{name} holds {n} \+ {n} users out, and after the filter there are {least:,}; .*http"

    protocol.check_users(least + 1)
    with pytest.raises(InputError, match=words):
        protocol.check_users(least)


@pytest.mark.parametrize("name", ["gowalla", "yelp2018", "amazon-book"])
def test_a_cut_of_lightgcn_is_read_as_it_is(name: str, tmp_path: Path) -> None:
    train, test = made_up.adjacency()
    seen, new = next(iter(sorted(train))), ("7", "900")
    made_up.write_adjacency(tmp_path / "train.txt", train, more="901\n\n7 \n")
    made_up.write_adjacency(tmp_path / "test.txt", test | {new, seen}, more="5 900 900\n")
    protocol = PROTOCOLS[name]

    data = prepared(protocol, tmp_path)
    split = split_of(protocol, data)

    every = train | test | {new, ("5", "900")}
    assert data.counts == {
        "users": len({user for user, _ in every}),
        "items": len({item for _, item in every}),
        "interactions": len(train) + len(test) + 4,
        "train interactions": len(train),
        "test interactions": len(test) + 4,
    }
    assert pairs(split.test.train) == train
    assert pairs(split.test.held_out) == every - train, "what train has, too, is not judged"
    assert split.test.unreachable == 2, "nobody in train has item 900, and it stays relevant"
    hidden, sizes = by_user(pairs(split.validation.held_out)), by_user(train)
    for user, items in sizes.items():
        assert len(hidden.get(user, ())) == (len(items) // 5 if len(items) >= 5 else 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 1 2\n1 4 x\n", r"train.txt:2: 'x' is no number of a user or an item; .*a line a user"),
        ("0 1 2\n1 4 -5\n", r"train.txt:2: '-5' is no number"),
        ("user,item\n", r"train.txt:1: 'user,item' is no number"),
        ("3\n4\n", "train.txt has no user with an item"),
    ],
)
def test_a_file_that_is_no_adjacency_is_refused_with_its_line(
    text: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "train.txt"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(InputError, match=words):
        read_adjacency(path)


def test_drawn_users_of_last_fm_lose_round_30_percent(tmp_path: Path) -> None:
    every = made_up.write_lastfm(tmp_path)
    sizes = Counter(user for user, _ in every)
    able = {user for user, n in sizes.items() if math.floor(0.3 * n + 0.5) >= 2}
    protocol = PROTOCOLS["lastfm-360k"].with_held_out(12)

    data = prepared(protocol, tmp_path)

    assert data.test is not None
    held_out = by_user(pairs(data.test.cells()))
    assert len(held_out) == 12
    assert set(held_out) <= able
    assert all(len(items) == math.floor(0.3 * sizes[u] + 0.5) for u, items in held_out.items())
    assert pairs(data.log.cells()) == every - pairs(data.test.cells())
    n_test = len(pairs(data.test.cells()))
    assert data.counts == {
        **{"rows": len(every) + 2, "rows with an MBID and plays": len(every)},
        **{"users": len(sizes), "items": len({item for _, item in every})},
        "interactions": len(every),
        **{"train pairs": len(every) - n_test, "test pairs": n_test},
    }
    with pytest.raises(InputError, match=r"10,000 users are to lose two items or more, and "):
        prepared(PROTOCOLS["lastfm-360k"], tmp_path)


def test_each_movie_of_movielens_100k_keeps_three_quarters_in_train(tmp_path: Path) -> None:
    rows = [row.split("\t") for row in made_up.write_u_data(tmp_path)]
    keys = np.random.RandomState(42).random_sample(len(rows)).tolist()
    of_item: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for key, (user, item, _, _) in zip(keys, rows, strict=True):
        of_item[item].append((key, user))
    expected = {
        (user, item)
        for item, rated in of_item.items()
        for _, user in sorted(rated)[round(0.75 * len(rated)) :]
    }
    protocol = PROTOCOLS["movielens-100k"]

    data = prepared(protocol, tmp_path)

    split = split_of(protocol, data)
    assert pairs(split.test.held_out) == expected
    assert len(split.test.train) == len(rows) - len(expected)
    assert data.counts["train ratings"] == len(split.test.train)
    assert data.counts["test ratings"] == len(expected)
    n_judged = Counter(item for _, item in pairs(split.validation.held_out))
    n_train = Counter(item for _, item in pairs(split.test.train))
    assert all(n_judged[item] == n - round(0.75 * n) for item, n in n_train.items())
    assert prepared(protocol, tmp_path, seed=1).test is not None
    other = split_of(protocol, prepared(protocol, tmp_path, seed=1))
    assert pairs(other.test.held_out) == expected, "the seed draws validation alone"
    assert pairs(other.validation.held_out) != pairs(split.validation.held_out)


TEST, VALIDATION = 25_913_600, 25_825_400  # as the code of Yambda's authors has them


def test_yambda_is_cut_by_time_with_a_gap_and_judges_users_of_the_training(tmp_path: Path) -> None:
    likes = [
        *((1, 10, 0), (1, 11, VALIDATION - 1801), (2, 10, 500), (2, 12, 5)),
        *((1, 12, VALIDATION - 1800), (2, 13, VALIDATION - 1)),  # in the gap: learned by the refit
        *((1, 13, VALIDATION), (2, 11, TEST - 1801), (3, 10, VALIDATION)),  # 3 is new
        *((1, 14, TEST - 1800), (2, 14, TEST - 1)),  # in the gap before the test
        *((1, 15, TEST), (2, 10, TEST), (2, 15, 26_000_000), (4, 10, TEST), (3, 11, TEST + 9)),
    ]
    made_up.write_likes(tmp_path, likes)
    protocol = PROTOCOLS["yambda-50m"]

    data = prepared(protocol, tmp_path)

    split = split_of(protocol, data)
    validation, test = split.validation, split.test
    assert pairs(validation.train) == {("1", "10"), ("1", "11"), ("2", "10"), ("2", "12")}
    assert pairs(validation.held_out) == {("1", "13"), ("2", "11")}
    in_gap = {("1", "12"), ("2", "13"), ("3", "10")}
    assert pairs(test.train) == pairs(validation.train) | pairs(validation.held_out) | in_gap
    assert pairs(test.held_out) == {("1", "15"), ("2", "15"), ("3", "11")}
    assert data.counts == {"likes": len(likes), "users": 4, "items": 6, "interactions": 15}


def lists_of(fold: Fold, k: int, seed: int = 0) -> Recommendations:
    rng = np.random.default_rng(seed)
    items = np.array([rng.permutation(len(fold.train.items))[:k] for _ in fold.judged], np.int32)
    scores = np.tile(np.arange(k, 0, -1, dtype=np.float32), (len(items), 1))
    return Recommendations(fold.judged, items, scores)


def slow(metric: str, shown: list[int], relevant: set[int]) -> float:
    """A metric of one user, by its definition in the papers."""
    name, _, k = metric.partition("@")
    hits = [item in relevant for item in shown[: int(k)]]
    perfect = min(int(k), len(relevant))
    match name:
        case "recall":
            return sum(hits) / len(relevant)
        case "capped_recall":
            return sum(hits) / perfect
        case "precision":
            return sum(hits) / int(k)
        case "ndcg":
            gains = [1 / math.log2(rank + 2) for rank, hit in enumerate(hits) if hit]
            return sum(gains) / sum(1 / math.log2(rank + 2) for rank in range(perfect))
        case "map":
            at = [sum(hits[: rank + 1]) / (rank + 1) for rank, hit in enumerate(hits) if hit]
            return sum(at) / perfect
        case "hit_rate":
            return float(any(hits))
        case _:
            return next((1 / (rank + 1) for rank, hit in enumerate(hits) if hit), 0.0)


def fold_of(n_users: int = 30, n_items: int = 150) -> Fold:
    from tests.conftest import cells_of

    rng = np.random.default_rng(3)
    cells = cells_of(rng.random((n_users, n_items)) < rng.uniform(0.1, 0.9, (n_users, 1)))
    hidden = rng.random(len(cells)) < 0.5
    train = cells.where(~hidden)
    return Fold(train, train, cells.where(hidden))


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_our_row_has_the_metrics_of_the_protocol(protocol: Protocol) -> None:
    fold = fold_of()
    lists = lists_of(fold, max(protocol.ks))
    relevant = [
        {int(c) for c in fold.held_out.cols[fold.held_out.rows == user]} for user in fold.judged
    ]
    assert min(map(len, relevant)) < 20 < max(map(len, relevant)), "capped and not"

    row = our_row(protocol, "model", lists, fold, 0, 50)

    for metric, estimate in zip(protocol.metrics, row.values, strict=True):
        values = [
            slow(metric, shown, mine)
            for shown, mine in zip(lists.items.tolist(), relevant, strict=True)
        ]
        assert estimate.mean == pytest.approx(sum(values) / len(values))
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= estimate.mean <= estimate.high


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_a_protocol_is_whole(protocol: Protocol) -> None:
    assert protocol.objective in protocol.metrics
    assert len({(row.model, row.source) for row in protocol.published}) == len(protocol.published)
    assert all(len(row.values) == len(protocol.metrics) for row in protocol.published)
    assert all(row.source for row in protocol.published)
    assert all(0 < value < 1 for row in protocol.published for value in row.values)
    assert set(protocol.models) <= set(MODELS)
    assert protocol.home.startswith("http")
    assert protocol.published or "no published row" in " ".join(protocol.notes)


def test_rows_are_judged_by_the_metrics_of_the_papers() -> None:
    liang = ("capped_recall@20", "capped_recall@50", "ndcg@100")

    metrics = {name: protocol.metrics for name, protocol in PROTOCOLS.items()}

    assert metrics == {
        **dict.fromkeys(("ml-20m", "msd"), liang),
        **dict.fromkeys(("gowalla", "yelp2018", "amazon-book"), ("recall@20", "ndcg@20")),
        "lastfm-360k": ("precision@10", "recall@10", "map@10", "hit_rate@10", "mrr@10"),
        "movielens-100k": ("ndcg@10", "precision@10", "recall@10", "map@10"),
        "yambda-50m": ("ndcg@10", "ndcg@100", "recall@10", "recall@100"),
    }


def test_rows_are_sorted_by_the_objective_ours_between_theirs() -> None:
    protocol = PROTOCOLS["ml-20m"]
    fold = fold_of()
    row = our_row(protocol, "ours", lists_of(fold, 100), fold, 0, 50)

    rows = ranked(protocol, [row])

    at = [each.values[2].mean for each in rows]
    assert at == sorted(at, reverse=True)
    assert [each.model for each in rows if not each.is_ours][:2] == ["VASP", "RecVAE"]
    assert sum(each.is_ours for each in rows) == 1
    sources = {each.model: each.source for each in rows}
    assert (sources["VASP"], sources["ours"]) == ("Vančura and Kordík 2021 (ICANN)", "recsys")


def test_counts_stand_beside_the_published_ones() -> None:
    counts = {"ratings": 20_000_263, "users": 60, "items of training users": 20_000, "extra": 3}

    found = {count.name: count for count in found_counts(PROTOCOLS["ml-20m"], counts)}

    assert [(c.note, c.differs) for c in found.values()] == [
        ("as published", False),
        ("differs", True),
        ("another draw or data", False),
        ("", False),
    ]
    assert found["users"].published == 136_677


FILES: list[tuple[str, Callable[[Path], object], str]] = [
    ("ml-20m", lambda folder: made_up.write_ml_20m(folder, made_up.liked()), "ratings.csv"),
    ("msd", lambda folder: made_up.write_msd(folder, made_up.triplets()), "train_triplets.txt"),
    ("movielens-100k", made_up.write_u_data, "u.data"),
]


@pytest.mark.parametrize(("name", "write", "file"), FILES, ids=[name for name, _, _ in FILES])
def test_the_only_file_may_be_given_itself(
    name: str, write: Callable[[Path], object], file: str, tmp_path: Path
) -> None:
    write(tmp_path)
    protocol = PROTOCOLS[name]

    assert protocol.found(tmp_path / file) == protocol.found(tmp_path)


def test_a_missing_file_is_named_with_the_place_where_it_is_published(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 1\n", encoding="utf-8")

    words = r"test.txt is missing; gowalla reads train.txt and test.txt, published at https://"
    with pytest.raises(InputError, match=words):
        PROTOCOLS["gowalla"].found(tmp_path)
    with pytest.raises(InputError, match=r"nothing is no folder; msd reads train_triplets.txt, "):
        PROTOCOLS["msd"].found(tmp_path / "nothing")


def test_a_protocol_without_held_out_users_has_no_number_of_them() -> None:
    with pytest.raises(ValueError, match="gowalla has no number of held-out users"):
        PROTOCOLS["gowalla"].with_held_out(5)
