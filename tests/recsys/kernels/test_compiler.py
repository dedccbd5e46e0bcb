"""Machine code of kernels: where it lies, and when it is made anew."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

from recsys.kernels.compiler import FOLDER, fingerprint

RANKED = """
import numpy as np
from recsys.kernels import descent, log_lines, products
from recsys.kernels.ranking import rank
best, values = np.full((1, 2), 9, np.int32), np.full((1, 2), -1e9, np.float32)
items = np.zeros((256, 1), np.float32)
items[:6, 0] = order = np.arange(6, dtype=np.int32)[::-1].copy()
reach = np.array([9.0])
users, seen = np.ones((1, 1), np.float32), np.array([4], np.int32)
ends = np.array([0, 1])
rank(users, np.array([1.0]), items, order, reach, ends, seen, best, values)
print(best.tolist(), rank.stats.cache_path, len(rank.stats.cache_hits))
"""


def test_every_kernel_uses_the_njit_of_this_project() -> None:
    for path in FOLDER.glob("*.py"):
        if path.name != "compiler.py":
            taken = re.search(r"from numba import .*\bn?jit\b|numba\.n?jit", path.read_text())
            assert taken is None, f"{path.name}: its cache ignores the other kernels"


def test_a_change_of_any_kernel_is_a_change_of_all(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "a.py").write_text("one")
        (folder / "b.py").write_text("two")
    (second / "b.py").write_text("three")

    assert fingerprint(first) != fingerprint(second)


@pytest.mark.slow
def test_kernels_work_where_no_place_may_be_written_and_recompile_after_a_change(
    tmp_path: Path,
) -> None:
    recsys, compiled = tmp_path / "recsys", shutil.ignore_patterns("__pycache__")
    shutil.copytree(FOLDER.parent, recsys, ignore=compiled)
    beside = recsys / "kernels/__pycache__"

    def ranked() -> list[str]:
        nowhere = {"HOME": os.devnull, "XDG_CACHE_HOME": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", RANKED]
        env = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | nowhere
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.rsplit(maxsplit=2)

    beside.touch()  # a file where numba would make a folder
    assert ranked() == ["[[5, 3]]", "None", "0"]
    beside.unlink()
    assert ranked() == ["[[5, 3]]", str(beside), "0"]
    assert ranked() == ["[[5, 3]]", str(beside), "1"]
    (beside.parent / "descent.py").write_text((FOLDER / "descent.py").read_text() + "# changed\n")
    assert ranked() == ["[[5, 3]]", str(beside), "0"]
