"""Arrays come back as they were saved; a damaged file is named."""

import pickle
import re
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
    parts = dict(np.load(path))
    np.savez(path, **{**parts, "indices": parts["indices"] + 1_000_000})


def without_data(path: Path) -> None:
    np.savez(path, **{name: part for name, part in np.load(path).items() if name != "data"})


DAMAGES: list[tuple[str, Damage, str]] = [
    ("factors.npy", Path.unlink, r"is missing: another version of recsys .*`recsys promote` its"),
    ("factors.npy", cut, "is damaged"),
    ("factors.npy", lambda path: path.write_bytes(b""), "is damaged"),
    ("factors.npy", pickled, "is damaged"),
    ("factors.npy", objects, "is damaged .*allow_pickle"),
    ("factors.npy", lambda path: np.save(path, DENSE.T), r"is float32 of shape \(4, 3\), and"),
    ("factors.npy", lambda path: np.save(path, DENSE.astype(float)), "is float64 of shape"),
    ("links.npz", Path.unlink, "is missing"),
    ("links.npz", cut, "is damaged"),
    ("links.npz", change, "is damaged .*CRC"),
    ("links.npz", pickled, "is damaged"),
    ("links.npz", outside, "is damaged"),
    ("links.npz", without_data, "is damaged"),
    ("links.npz", lambda path: save_npz(path, coo_matrix(SPARSE)), "is damaged .*coo_matrix"),
    ("links.npz", lambda path: save_npz(path, SPARSE[:2]), r"is float32 of shape \(2, 4\)"),
]


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGES)
def test_a_damaged_file_is_refused_by_its_name(
    stored: StoredArrays, name: str, damage: Damage, message: str
) -> None:
    damage(stored.folder / name)

    read, size = (stored.dense, (3, 4)) if name == "factors.npy" else (stored.sparse, (4, 4))
    with pytest.raises(InputError, match=rf"{re.escape(name)} {message}"):
        read(name.partition(".")[0], np.float32, *size)
