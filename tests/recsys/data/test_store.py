from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from recsys.data import store
from recsys.data.ids import IdMap, strings
from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.evaluation import store as evaluation_store
from recsys.evaluation.protocol import judge
from recsys.models import build
from recsys.models.als import AlsConfig
from recsys.splitting import store as splitting_store
from recsys.splitting.split import Fold, last_split, random_split, user_split
from tests.conftest import Heard, cells_of, events_of, heard_logs, told, two_camps

# a folder per example would be safer, but every example writes the same files again
reuse_folder = settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def assert_same_ids(one: IdMap, other: IdMap) -> None:
    assert one.ids.equals(other.ids)
    assert one.names.equals(other.names)


def assert_same_cells(one: Interactions, other: Interactions) -> None:
    assert told(one) == told(other)
    for mine, theirs in ((one.first, other.first), (one.last, other.last)):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            np.testing.assert_array_equal(mine, theirs)
    assert [a.dtype for a in (one.rows, one.cols, one.plays)] == [
        a.dtype for a in (other.rows, other.cols, other.plays)
    ]


def test_ids_and_names_come_back(tmp_path: Path) -> None:
    ids = IdMap.of(["", '"', "Björk", "\t", "a\nb", "東京"]).named(strings(" ,'x\"é"))

    store.save_ids(ids, tmp_path / "ids.parquet")

    assert_same_ids(store.load_ids(tmp_path / "ids.parquet"), ids)


@reuse_folder
@given(log=heard_logs())
def test_events_come_back(tmp_path: Path, log: list[Heard]) -> None:
    for timed in (True, False):
        events = events_of(log, timed=timed)
        store.save_events(events, tmp_path)
        back = store.load_events(tmp_path)

        assert told(back) == told(events)
        assert_same_ids(back.users, events.users)
        assert_same_ids(back.items, events.items)
        assert (back.times is None) == (not timed)
        if timed:
            assert back.times.tolist() == events.times.tolist()
            assert back.times.dtype == np.int64


def folds() -> dict[str, Fold]:
    cells = cells_of(two_camps(12, 14))
    log = [(u, i, 1 + i, u + i + again) for u in range(6) for i in range(7) for again in (0, 50)]
    timed = events_of(log).cells()  # each pair is heard twice: first and last differ
    return {
        "random": random_split(cells, 0.2, 5, (1, 2)).test,
        "timed": last_split(timed, 2).validation,
        "users": user_split(cells, (0.2, 0.2), 0.8, (1, 2)).test,
    }


@pytest.mark.parametrize("kind", ["random", "timed", "users"])
def test_a_fold_comes_back_with_its_way_of_being_judged(tmp_path: Path, kind: str) -> None:
    fold = folds()[kind]

    splitting_store.save_fold(fold, tmp_path)
    back = splitting_store.load_fold(tmp_path)

    assert back.folds_in == fold.folds_in == (kind == "users")
    assert (back.history is back.train) == (kind != "users")
    assert_same_ids(back.train.users, fold.train.users)
    assert_same_ids(back.train.items, fold.train.items)
    for part in ("train", "history", "held_out"):
        assert_same_cells(getattr(back, part), getattr(fold, part))
    assert back.judged.tolist() == fold.judged.tolist()


def test_a_stored_fold_gives_the_same_bits_as_the_fold_itself(tmp_path: Path) -> None:
    fold = folds()["users"]
    splitting_store.save_fold(fold, tmp_path)

    def judged(fold: Fold) -> str:
        model = build(AlsConfig(factors=3, iterations=2), 1).fit(fold.train)
        return judge(model, fold, (5,)).user_frame().to_csv()

    assert judged(splitting_store.load_fold(tmp_path)) == judged(fold)


def test_a_stored_fold_that_leaks_does_not_load(tmp_path: Path) -> None:
    splitting_store.save_fold(folds()["random"], tmp_path)
    (tmp_path / "held_out.npz").write_bytes((tmp_path / "train.npz").read_bytes())

    with pytest.raises(ValueError, match="both in train and in held out"):
        splitting_store.load_fold(tmp_path)


def test_profiles_come_back_missing_values_included(tmp_path: Path) -> None:
    profiles = Profiles(
        IdMap.of(["a", "b", "c"]),
        pa.array(["f", None, "m"], pa.string()),
        np.array([22, np.nan, 0], np.float32),
        pa.array([None, "Côte d'Ivoire", "Chile"], pa.string()),
        np.array([-1, 0, 1_200_000_000], np.int64),
    )

    store.save_profiles(profiles, tmp_path)
    back = store.load_profiles(tmp_path)

    assert_same_ids(back.users, profiles.users)
    assert back.gender.equals(profiles.gender)
    assert back.country.equals(profiles.country)
    np.testing.assert_array_equal(back.age, profiles.age)
    assert back.signup.tolist() == [-1, 0, 1_200_000_000]
    assert (back.age.dtype, back.signup.dtype) == (np.float32, np.int64)
    assert back.missing() == profiles.missing()


def test_no_profiles_at_all_come_back(tmp_path: Path) -> None:
    nothing = pa.array([], pa.string())
    none = np.array([])

    profiles = Profiles(
        IdMap.of([]), nothing, none.astype(np.float32), nothing, none.astype(np.int64)
    )
    store.save_profiles(profiles, tmp_path)

    assert len(store.load_profiles(tmp_path)) == 0


def test_a_report_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    fold = folds()["random"]
    model = build(AlsConfig(factors=3, iterations=2), 1).fit(fold.train)
    report = judge(model, fold, (1, 5, 10))

    evaluation_store.save_report(report, tmp_path)
    back = evaluation_store.load_report(tmp_path)

    pd.testing.assert_frame_equal(back.per_user, report.per_user, check_exact=True)
    assert back.n_shown.tolist() == report.n_shown.tolist()
    assert back.summary() == report.summary()
    assert sorted(back.exposure) == [1, 5, 10]
    for k, counts in report.exposure.items():
        assert back.exposure[k].tolist() == counts.tolist()


@pytest.mark.parametrize(
    ("save", "load", "file"),
    [
        (store.save_events, store.load_events, "events.npz"),
        (splitting_store.save_fold, splitting_store.load_fold, "train.npz"),
    ],
)
def test_a_pickle_in_an_array_file_is_refused(
    tmp_path: Path, save: Callable[..., None], load: Callable[[Path], object], file: str
) -> None:
    value = events_of([(0, 0, 1, 0)]) if file == "events.npz" else folds()["random"]
    save(value, tmp_path)
    with np.load(tmp_path / file) as arrays:
        columns = dict(arrays)
    columns["plays"] = np.array([object()], dtype=object)
    np.savez(tmp_path / file, **columns, allow_pickle=True)

    with pytest.raises(ValueError, match="allow_pickle=False"):
        load(tmp_path)


def test_an_array_that_would_need_a_pickle_is_not_written(tmp_path: Path) -> None:
    cells = folds()["random"].train
    strange = np.array([object()] * len(cells), dtype=object)

    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        store._save_arrays(tmp_path / "x.npz", {"plays": strange}, {})
