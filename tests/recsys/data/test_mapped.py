"""Arrays that several processes map into memory."""

import subprocess
import sys
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pytest

from recsys.data.mapped import load_mapped, save_mapped

ARRAYS = {
    "rows": np.arange(1000, dtype=np.int32),
    "a": np.array([], dtype=np.float64),
    "plays": np.linspace(0, 1, 999),
    "block": np.asfortranarray(np.arange(12, dtype=np.int64).reshape(3, 4)),
}
SHARED = """
import sys
from pathlib import Path
from recsys.data.mapped import load_mapped
array = load_mapped(Path(sys.argv[1]))["large"]
array.sum()
print(sum(int(line.split()[1]) for line in open("/proc/self/smaps_rollup")
          if line.startswith("Anonymous")))
"""


def test_arrays_come_back_and_numpy_reads_them_too(tmp_path: Path) -> None:
    save_mapped(tmp_path / "x.npz", ARRAYS)
    back = load_mapped(tmp_path / "x.npz")

    assert list(back) == list(ARRAYS)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as known:
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(back[name], array)
            np.testing.assert_array_equal(known[name], array)
            assert back[name].dtype == array.dtype
            assert back[name].flags.aligned
            assert back[name].flags.writeable


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_files_of_numpy_are_read(tmp_path: Path, save: object) -> None:
    assert callable(save)
    save(tmp_path / "x.npz", **ARRAYS)
    back = load_mapped(tmp_path / "x.npz")

    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(back[name], array)


def test_a_change_stays_in_the_process(tmp_path: Path) -> None:
    save_mapped(tmp_path / "x.npz", ARRAYS)
    load_mapped(tmp_path / "x.npz")["plays"][:] = 7.0

    np.testing.assert_array_equal(load_mapped(tmp_path / "x.npz")["plays"], ARRAYS["plays"])


def test_a_mapped_array_outlasts_its_file(tmp_path: Path) -> None:
    save_mapped(tmp_path / "x.npz", ARRAYS)
    back = load_mapped(tmp_path / "x.npz")
    (tmp_path / "x.npz").unlink()

    np.testing.assert_array_equal(back["rows"], ARRAYS["rows"])


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    save_mapped(tmp_path / "x.npz", ARRAYS)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[2000] ^= 1
    (tmp_path / "x.npz").write_bytes(content)

    with pytest.raises(BadZipFile, match="CRC"):
        load_mapped(tmp_path / "x.npz")


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="of Linux alone")
def test_the_memory_of_an_array_is_that_of_the_file(tmp_path: Path) -> None:
    save_mapped(tmp_path / "x.npz", {"large": np.ones(8 << 20)})  # 64 MB

    anonymous = int(
        subprocess.run(
            [sys.executable, "-c", SHARED, str(tmp_path / "x.npz")],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )

    assert anonymous < 48 << 10  # kB: without the array
