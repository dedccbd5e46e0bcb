"""Arrays come back as they were saved; a damaged file is named."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_matrix, csr_matrix, save_npz

from recsys.errors import InputError
from recsys.models.arrays import StoredArrays, save_arrays

DENSE = np.arange(12, dtype=np.float32).reshape(3, 4)
SPARSE = csr_matrix(np.diag(np.arange(1, 5, dtype=np.float32)))

Damage = Callable[[Path], object]


@pytest.fixture
def stored(tmp_path: Path) -> StoredArrays:
    save_arrays({"factors": DENSE, "links": SPARSE, "0/factors": DENSE + 1}, tmp_path)
    return StoredArrays(tmp_path)


def test_arrays_come_back_also_those_of_a_member(stored: StoredArrays) -> None:
    dense, links = (
        stored.dense("factors", np.float32, 3, 4),
        stored.sparse("links", np.float32, 4, 4),
    )

    assert dense.tobytes() == DENSE.tobytes()
    assert isinstance(links, csr_matrix)
    for part in ("data", "indices", "indptr"):
        assert getattr(links, part).tobytes() == getattr(SPARSE, part).tobytes()
    assert stored.member(0).dense("factors", np.float32, 3, 4).tolist() == (DENSE + 1).tolist()


def test_one_file_for_each_array(stored: StoredArrays) -> None:
    files = {p.relative_to(stored.folder).as_posix() for p in stored.folder.rglob("*.*")}

    assert files == {"factors.npy", "links.npz", "0/factors.npy"}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def change(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[whole.index(np.float32(3).tobytes())] ^= 1
    path.write_bytes(whole)


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(DENSE))


def objects(path: Path) -> None:
    np.save(path, np.array([{}, None], dtype=object), allow_pickle=True)


def outside(path: Path) -> None:
    with np.load(path) as arrays:
        parts = dict(arrays)
    parts["indices"] = parts["indices"] + 1_000_000
    np.savez(path, **parts)


def without_data(path: Path) -> None:
    with np.load(path) as arrays:
        parts = dict(arrays)
    del parts["data"]
    np.savez(path, **parts)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            Path.unlink,
            r"factors\.npy is missing: another version of recsys .*`recsys promote` its run",
        ),
        (cut, r"factors\.npy is damaged"),
        (lambda path: path.write_bytes(b""), r"factors\.npy is damaged"),
        (pickled, r"factors\.npy is damaged"),
        (objects, r"factors\.npy is damaged .*allow_pickle"),
        (lambda path: np.save(path, DENSE.T), r"factors\.npy is float32 of shape \(4, 3\), and"),
        (lambda path: np.save(path, DENSE.astype(float)), r"factors\.npy is float64 of shape"),
    ],
)
def test_a_damaged_dense_array_is_refused_by_its_name(
    stored: StoredArrays, damage: Damage, message: str
) -> None:
    damage(stored.folder / "factors.npy")

    with pytest.raises(InputError, match=message):
        stored.dense("factors", np.float32, 3, 4)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, r"links\.npz is missing"),
        (cut, r"links\.npz is damaged"),
        (change, r"links\.npz is damaged .*CRC"),
        (pickled, r"links\.npz is damaged"),
        (outside, r"links\.npz is damaged"),
        (without_data, r"links\.npz is damaged"),
        (lambda path: save_npz(path, coo_matrix(SPARSE)), r"links\.npz is damaged .*coo_matrix"),
        (lambda path: save_npz(path, SPARSE[:2]), r"links\.npz is float32 of shape \(2, 4\)"),
    ],
)
def test_a_damaged_matrix_is_refused_by_its_name(
    stored: StoredArrays, damage: Damage, message: str
) -> None:
    damage(stored.folder / "links.npz")

    with pytest.raises(InputError, match=message):
        stored.sparse("links", np.float32, 4, 4)
