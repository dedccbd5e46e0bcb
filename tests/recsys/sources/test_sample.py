"""The invented log: its format, its shape, and that there is something to learn in it."""

import hashlib
import re
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pytest
from implicit.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.errors import InputError
from recsys.sources.sample import Sample, make_sample, write_sample

Rows = list[list[str]]


def write(sample: Sample, folder: Path) -> tuple[Path, Path]:
    paths = folder / "plays.tsv", folder / "profiles.tsv"
    write_sample(sample, *paths)
    return paths


def read(path: Path) -> Rows:
    text = path.read_bytes().decode("utf-8")
    assert text.endswith("\n")
    return [line.split("\t") for line in text[:-1].split("\n")]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rows, Rows]:
    plays, profiles = write(make_sample(1500, 1000, seed=0), tmp_path_factory.mktemp("sample"))
    return read(plays), read(profiles)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    def digests(seed: int, name: str) -> list[str]:
        paths = write(make_sample(60, 50, seed), tmp_path / name)
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]

    once, again, other = digests(3, "once"), digests(3, "again"), digests(4, "other")

    assert once == again
    assert all(a != b for a, b in zip(once, other, strict=True))


def test_the_defaults_are_5000_listeners_3000_artists_and_seed_0() -> None:
    sample = make_sample()

    assert len(sample.profiles) == len(set(sample.plays["user"].to_pylist())) == 5000
    assert len({name.lower() for name in sample.plays["name"].to_pylist()}) == 3000
    assert sample.plays.equals(make_sample(5000, 3000, 0).plays)


def test_every_row_of_plays_has_the_four_fields_of_the_format(files: tuple[Rows, Rows]) -> None:
    plays, _ = files

    assert {len(row) for row in plays} == {4}
    for user, mbid, name, count in plays:
        assert re.fullmatch("[0-9a-f]{40}", user)
        assert mbid == "" or str(UUID(mbid)) == mbid
        assert name == name.strip() != ""
        assert re.fullmatch("[1-9][0-9]*", count)


def test_every_row_of_profiles_has_the_five_fields_of_the_format(
    files: tuple[Rows, Rows],
) -> None:
    plays, profiles = files
    months = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"

    assert {len(row) for row in profiles} == {5}
    for _, gender, age, _, signup in profiles:
        assert gender in ("m", "f", "")
        assert re.fullmatch("-?[0-9]*", age)
        assert re.fullmatch(rf"({months}) ([1-9]|[12]\d|3[01]), 200[3-9]", signup)
    assert [row[0] for row in profiles] == sorted({row[0] for row in plays})


def test_rows_are_ordered_by_listener_and_falling_plays(files: tuple[Rows, Rows]) -> None:
    plays, _ = files
    keys = [(user, -int(count)) for user, _, _, count in plays]

    assert keys == sorted(keys)


def test_the_sample_is_as_untidy_as_real_data(files: tuple[Rows, Rows]) -> None:
    plays, profiles = files
    spellings = defaultdict(set)
    for _, mbid, name, _ in plays:
        spellings[mbid].add(name)
    names = {name for _, _, name, _ in plays}
    both = Counter((user, mbid) for user, mbid, _, _ in plays if mbid)

    assert 20 < len(spellings.pop("")) < 80
    assert sorted({len(names) for names in spellings.values()}) == [1, 2]
    assert any(name.startswith('"') for name in names)
    assert any(name.count('"') == 1 for name in names)
    assert any(not name.isascii() for name in names)
    assert 0 < sum(n > 1 for n in both.values()) < 0.01 * len(plays)
    ages = [row[2] for row in profiles]
    assert ages.count("1337") == ages.count("-1") == 1
    for field in (1, 2, 3):
        assert 0 < sum(row[field] == "" for row in profiles) < 0.3 * len(profiles)


def test_no_artist_is_named_twice_even_when_the_words_run_out() -> None:
    sample = make_sample(300, 30_000, seed=2)
    mbids, names = sample.plays["mbid"].to_pylist(), sample.plays["name"].to_pylist()

    owners = defaultdict(set)
    for mbid, name in zip(mbids, names, strict=True):
        owners[name.lower()].add(mbid)

    assert len(owners) == 30_000
    assert {len(o) for o in owners.values()} == {1}


def test_popularity_and_plays_have_heavy_tails(files: tuple[Rows, Rows]) -> None:
    plays, _ = files
    listeners = np.sort(list(Counter(name.lower() for _, _, name, _ in plays).values()))[::-1]
    counts = np.array([int(row[3]) for row in plays])
    logs = np.log(counts[counts > 5])

    assert len(listeners) == 1000
    assert listeners[:100].sum() > 0.4 * listeners.sum()
    assert listeners[0] > 15 * np.median(listeners)
    assert (listeners == 1).any()
    assert counts.min() == 1
    assert 10_000 < counts.max() < 500_000
    assert counts.mean() > 2.5 * np.median(counts)
    assert abs(np.mean(logs) - np.median(logs)) < 0.2 * np.std(logs)  # symmetric in the log


def test_listeners_have_about_fifty_artists_and_some_have_few(files: tuple[Rows, Rows]) -> None:
    per_user = np.array(list(Counter(row[0] for row in files[0]).values()))

    assert 45 < per_user.mean() < 55
    assert per_user.std() > 5
    assert 0.02 < (per_user < 20).mean() < 0.15


def decade(age: str) -> str:
    return age[0] if re.fullmatch("[1-9][0-9]", age) else ""


@pytest.mark.parametrize("field", [1, 2, 3], ids=["gender", "age", "country"])
def test_listeners_with_similar_profiles_share_more_artists(
    files: tuple[Rows, Rows], field: int
) -> None:
    plays, profiles = files
    heard = (_matrix(plays) > 0).astype(np.float64)
    norms = np.sqrt(np.asarray(heard.sum(axis=1)).ravel())
    overlap = (heard @ heard.T).toarray() / np.outer(norms, norms)
    label = np.array([decade(row[2]) if field == 2 else row[field] for row in profiles])
    known = np.outer(label != "", label != "") & ~np.eye(len(label), dtype=bool)
    same = label[:, None] == label

    assert overlap[same & known].mean() > 1.03 * overlap[~same & known].mean()


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
@pytest.mark.parametrize(("artists", "factor"), [(400, 1.1), (1000, 1.3)])
def test_als_clearly_beats_popularity(seed: int, artists: int, factor: float) -> None:
    train, test = _held_out(_cells(make_sample(600, artists, seed)), seed)
    listeners = np.asarray((train > 0).sum(axis=0), dtype=np.float64)
    popularity = np.tile(listeners, (train.shape[0], 1))

    assert _ndcg(_als(train), train, test) > factor * _ndcg(popularity, train, test)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_play_counts_predict_taste_better_than_shuffled_counts(seed: int) -> None:
    train, test = _held_out(_cells(make_sample(600, 1000, seed)), seed)
    rng, shuffled = np.random.default_rng(seed), train.copy()
    for start, end in pairwise(train.indptr):
        shuffled.data[start:end] = rng.permutation(train.data[start:end])

    assert _ndcg(_als(train), train, test) > 1.05 * _ndcg(_als(shuffled), train, test)


@pytest.mark.parametrize(("users", "artists"), [(1, 10), (1, 500), (3, 10), (40, 11), (2000, 12)])
def test_every_size_gives_all_listeners_and_all_artists(users: int, artists: int) -> None:
    sample = make_sample(users, artists, seed=1)

    assert len(sample.profiles) == len(set(sample.plays["user"].to_pylist())) == users
    assert len({name.lower() for name in sample.plays["name"].to_pylist()}) == artists


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 10, 0), "users = 0: use 1 or more"),
        ((1, 9, 0), "artists = 9: use 10 or more"),
        ((1, 10, -1), "seed = -1: use 0 or more"),
    ],
)
def test_a_value_out_of_bounds_is_named_with_the_bound(
    arguments: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_sample(*arguments)


def test_a_file_written_in_pieces_is_the_file_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = write(make_sample(40, 30), tmp_path / "whole")
    monkeypatch.setattr("recsys.sources.sample.ROWS_AT_ONCE", 7)
    pieces, _ = write(make_sample(40, 30), tmp_path / "pieces")

    assert len(read(whole)) > 50
    assert pieces.read_bytes() == whole.read_bytes()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plays, profiles = write(make_sample(20, 10), tmp_path)
    before = plays.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write(make_sample(20, 10, seed=1), tmp_path)

    assert plays.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == sorted([plays, profiles])


def _als(train: csr_matrix) -> npt.NDArray[np.floating]:
    """Scores of all pairs by ALS with confidence 1 + log(1 + plays)."""
    confidence = train.copy()
    confidence.data = 1 + np.log1p(train.data)  # implicit reads the value as the confidence
    with threadpool_limits(1, "blas"):
        als = AlternatingLeastSquares(factors=16, regularization=20, random_state=1)
        als.fit(confidence, show_progress=False)
    return np.asarray(als.user_factors @ als.item_factors.T)


def _cells(sample: Sample) -> csr_matrix:
    columns = (sample.plays[name].to_pylist() for name in ("user", "mbid", "name", "plays"))
    return _matrix([list(row) for row in zip(*columns, strict=True)])


def _matrix(rows: Rows) -> csr_matrix:
    """Plays by listener and artist, both sorted; spellings count as one."""
    _, row = np.unique([user for user, *_ in rows], return_inverse=True)
    _, col = np.unique([name.lower() for _, _, name, _ in rows], return_inverse=True)
    plays = np.array([count for *_, count in rows], np.float32)
    return csr_matrix((plays, (row, col)))


def _held_out(cells: csr_matrix, seed: int) -> tuple[csr_matrix, csr_matrix]:
    """A fifth of each listener's artists at random, as test."""
    coo = cells.tocoo()
    order = np.lexsort((np.random.default_rng(seed).random(coo.nnz), coo.row))
    n = np.bincount(coo.row, minlength=cells.shape[0])
    place = np.arange(coo.nnz) - np.repeat(np.cumsum(n) - n, n)
    test = place < np.rint(0.2 * n)[coo.row[order]]

    def part(of: npt.NDArray[np.bool_]) -> csr_matrix:
        at = order[of]
        return csr_matrix((coo.data[at], (coo.row[at], coo.col[at])), shape=cells.shape)

    return part(~test), part(test)


def _ndcg(scores: npt.NDArray[np.floating], train: csr_matrix, test: csr_matrix) -> float:
    """Mean ndcg@10 with binary gains over the listeners with something held out."""
    scores = np.where(train.toarray() > 0, -np.inf, scores)
    top = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    relevant = test.toarray() > 0
    users = relevant.any(axis=1)
    discount = 1 / np.log2(np.arange(2, 12))
    gained = np.take_along_axis(relevant, top, axis=1)[users] @ discount
    ideal = np.cumsum(discount)[np.minimum(10, relevant.sum(axis=1)[users]) - 1]
    return float((gained / ideal).mean())
