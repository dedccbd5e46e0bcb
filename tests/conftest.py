"""Fixtures shared by all tests."""

import fcntl
import os
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

# Before anything loads OpenMP, for us and for the processes of tests: its threads, which do next
# to nothing here, would spin while they wait for more, four fifths of a training's CPU time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsys.data.ids import IdMap, strings
from recsys.data.interactions import Events, Interactions
from recsys.data.profiles import Profiles
from recsys.errors import MovedWarning
from recsys.models.recommender import NO_ITEM, Recommendations
from tasks.workspace.layout import Workspace

# A deadline measures the machine; derandomized, the same commit gives the same verdict.
settings.register_profile("recsys", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("recsys")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_260_101)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; tests that use it skip without it."""
    folder = os.environ.get("RECSYS_DATA")
    if not folder:
        pytest.skip("RECSYS_DATA is unset: it names a folder with the real data sets")
    return Path(folder).resolve()


MakeOnce = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Fills a folder once per test run; the processes of the run share it and only read."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent  # the base of this process lies in that of the run

    def make(name: str, fill: Callable[[Path], None]) -> Path:
        folder, part = place / f"shared-{name}", place / f"shared-{name}.part"
        with (place / f"shared-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                part.mkdir()
                fill(part)
                part.rename(folder)
        return folder

    return make


def copy_database(source: Path, target: Path) -> None:
    """Copy an SQLite database with what its write-ahead log holds."""
    with closing(sqlite3.connect(source)) as ready, closing(sqlite3.connect(target)) as database:
        ready.backup(database)


def copy_workspace(source: Workspace, target: Workspace) -> None:
    """Copy a workspace that is open; the files of its runs are linked."""
    from tasks.tracking import moving

    left = shutil.ignore_patterns("artifacts", f"{source.tracking_database.name}*")
    shutil.copytree(source.root, target.root, ignore=left, dirs_exist_ok=True)
    if source.artifacts.exists():
        shutil.copytree(source.artifacts, target.artifacts, copy_function=os.link)
    copy_database(source.tracking_database, target.tracking_database)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MovedWarning)
        moving.update(target)


@pytest.fixture(scope="session")
def mlflow_database(make_once: MakeOnce, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database to copy: MLflow takes seconds to make one."""

    def fill(folder: Path) -> None:
        from tasks.tracking.client import open_client

        workspace = Workspace.at(tmp_path_factory.mktemp("empty") / "mlruns")
        open_client(workspace)
        copy_database(workspace.tracking_database, folder / "mlflow.db")

    return make_once("mlflow", fill) / "mlflow.db"


def postgres_server() -> str:
    """Address of the PostgreSQL server for tests, which skip without it."""
    server = os.environ.get("RECSYS_TEST_POSTGRES")
    if not server:
        pytest.skip("RECSYS_TEST_POSTGRES is unset: `make test-slow` starts a server")
    return server


@pytest.fixture
def postgres() -> Iterator[str]:
    """Address of a database made for one test; tests that use it are marked `postgres`."""
    import psycopg

    server = postgres_server()
    name = f"recsys_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


Heard = tuple[int, int, int, int]  # user, item, plays, time


def events_of(log: Sequence[Heard], *, timed: bool = True) -> Events:
    """The events of a log; users are called u00, u01, ..., items i00, i01, ..."""
    users, rows = IdMap.encode(strings(f"u{user:02}" for user, _, _, _ in log))
    items, cols = IdMap.encode(strings(f"i{item:02}" for _, item, _, _ in log))
    plays = np.array([plays for _, _, plays, _ in log], dtype=np.float64)
    times = np.array([time for _, _, _, time in log], dtype=np.int64)
    return Events.of(users, items, rows, cols, plays, times if timed else None)


def cells_of(plays: npt.ArrayLike) -> Interactions:
    """The cells of a dense matrix of plays, users by items; 0 is no cell."""
    dense = np.asarray(plays, dtype=np.float64)
    rows, cols = np.nonzero(dense)
    users = IdMap.of(f"u{n:02}" for n in range(dense.shape[0]))
    items = IdMap.of(f"i{n:02}" for n in range(dense.shape[1]))
    at = rows.astype(np.int32), cols.astype(np.int32)
    return Interactions(users, items, *at, dense[rows, cols])


def timed(cells: Interactions) -> Interactions:
    """The same cells, one a second in a drawn order."""
    seconds = np.random.default_rng(1).permutation(len(cells)).astype(np.int64)
    return replace(cells, first=seconds, last=seconds)


def triples(log: Events | Interactions) -> list[tuple[str, str, float]]:
    """User, item and plays of each row, by their external ids."""
    users, items = log.users.ids.to_pylist(), log.items.ids.to_pylist()
    columns = zip(log.rows.tolist(), log.cols.tolist(), log.plays.tolist(), strict=True)
    return [(users[row], items[col], plays) for row, col, plays in columns]


def profiles_of(
    users: IdMap,
    countries: Sequence[str | None] = (),
    ages: Sequence[float | None] = (),
    genders: Sequence[str | None] = (),
) -> Profiles:
    """Profiles of these users in their order; a field that is not given is missing for all."""
    n = len(users)
    gender, country = (pa.array(each or [None] * n, pa.string()) for each in (genders, countries))
    age = np.array(ages or [None] * n, dtype=np.float32)
    return Profiles(users, gender, age, country, np.full(n, -1, np.int64))


def lists(recs: Recommendations) -> list[list[int]]:
    """The items of each list, without the padding."""
    return [[item for item in row if item != NO_ITEM] for row in recs.items.tolist()]


def plays_of(n_users: int, n_items: int) -> st.SearchStrategy[npt.NDArray[np.int32]]:
    """Dense matrices of plays with many zeros and at least one cell, the first."""

    def with_a_cell(drawn: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        dense = np.maximum(drawn, 0)
        dense[0, 0] = max(1, dense[0, 0])
        return dense

    return arrays(np.int32, (n_users, n_items), elements=st.integers(-4, 9)).map(with_a_cell)


def pairs(log: Events | Interactions) -> set[tuple[str, str]]:
    """The distinct (user, item) pairs, by their external ids."""
    return {(user, item) for user, item, _ in triples(log)}


def two_camps(n_users: int, n_items: int, *, of_other: int = 0) -> npt.NDArray[np.float64]:
    """Even users play even items and odd users odd ones, in any amount; the diagonal is hidden.

    What is hidden from user u, item u, is the one item of their camp they do not play. Of the
    other camp each user plays `of_other` items, the first ones that come after u.
    """
    users, items = np.arange(n_users)[:, None], np.arange(n_items)[None, :]
    same = (users - items) % 2 == 0
    plays = np.where(same, 1.0 + (users * 7 + items * 3) % 5, 0.0)
    plays[np.arange(min(n_users, n_items)), np.arange(min(n_users, n_items))] = 0.0
    for step in range(of_other):
        plays[users[:, 0], (users[:, 0] + 1 + 2 * step) % n_items] = 1.0
    return plays


def heard_logs(*, min_size: int = 0) -> st.SearchStrategy[list[Heard]]:
    """Small logs with repeated pairs and equal times."""
    user, item = st.integers(0, 5), st.integers(0, 7)
    return st.lists(
        st.tuples(user, item, st.integers(1, 9), st.integers(0, 20)), min_size=min_size, max_size=40
    )
