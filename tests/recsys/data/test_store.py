from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from recsys.data import store
from recsys.data.ids import IdMap, strings
from recsys.data.profiles import Profiles
from tests.conftest import Heard, events_of, heard_logs, triples

# Every example overwrites the files of the one before.
reuse_folder = settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def assert_same_ids(one: IdMap, other: IdMap) -> None:
    assert one.ids.equals(other.ids)
    assert one.names.equals(other.names)


def test_loaded_ids_and_names_equal_the_saved_ones(tmp_path: Path) -> None:
    ids = IdMap.of(["", '"', "Björk", "\t", "a\nb", "東京"]).named(strings(" ,'x\"é"))

    store.save_ids(ids, tmp_path / "ids.parquet")

    assert_same_ids(store.load_ids(tmp_path / "ids.parquet"), ids)


@reuse_folder
@given(log=heard_logs())
def test_loaded_events_equal_the_saved_ones(tmp_path: Path, log: list[Heard]) -> None:
    for timed in (True, False):
        events = events_of(log, timed=timed)
        store.save_events(events, tmp_path)
        back = store.load_events(tmp_path)

        assert triples(back) == triples(events)
        assert_same_ids(back.users, events.users)
        assert_same_ids(back.items, events.items)
        assert (back.times is None) == (not timed)
        if timed:
            assert back.times.tolist() == events.times.tolist()
            assert back.times.dtype == np.int64


def test_loaded_profiles_equal_the_saved_ones_missing_values_included(tmp_path: Path) -> None:
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


def test_empty_profiles_can_be_saved(tmp_path: Path) -> None:
    nothing = pa.array([], pa.string())
    none = np.array([])

    profiles = Profiles(
        IdMap.of([]), nothing, none.astype(np.float32), nothing, none.astype(np.int64)
    )
    store.save_profiles(profiles, tmp_path)

    assert len(store.load_profiles(tmp_path)) == 0


def test_a_pickle_in_an_array_file_is_refused(tmp_path: Path) -> None:
    store.save_events(events_of([(0, 0, 1, 0)]), tmp_path)
    put_pickle(tmp_path / "events.npz")

    with pytest.raises(ValueError, match="allow_pickle=False"):
        store.load_events(tmp_path)


def put_pickle(path: Path) -> None:
    """Replace the plays in a file of arrays by an object that only a pickle can hold."""
    with np.load(path) as arrays:
        columns = dict(arrays)
    columns["plays"] = np.array([object()], dtype=object)
    np.savez(path, **columns, allow_pickle=True)


def test_an_array_that_would_need_a_pickle_is_not_written(tmp_path: Path) -> None:
    strange = np.array([object()], dtype=object)

    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        store._save_arrays(tmp_path / "x.npz", {"plays": strange}, {})
