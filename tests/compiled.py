"""Compiles the kernels once; otherwise each process of `make test` would do it for itself.

python -m tests.compiled     seconds where the cache has them, see recsys.kernels.compiler
"""

import tempfile
from pathlib import Path

import numpy as np

import recsys.kernels.ranking  # noqa: F401  (compiled as it is imported)
from recsys.models import build
from recsys.models.recommender import Relating
from recsys.sources import read, reading
from recsys.sources.sample import make_sample, write_sample
from tests.conftest import cells_of, two_camps
from tests.recsys.models.test_contract import CONFIGS

CELLS = cells_of(two_camps(9, 8))
USERS = np.arange(9, dtype=np.int32)
COMPILED = (
    *("als", "als-nu", "als-bm25", "ease", "item-knn", "rp3beta", "slim", "sparse-ease"),
    "user-knn",
)


def use_all(folder: Path) -> None:
    """Read a log and fit the models that use kernels."""
    plays, profiles = folder / "plays.tsv", folder / "profiles.tsv"
    write_sample(make_sample(20, 15, 0), plays, profiles)
    reading.LARGE = 0  # smaller files are not worth it
    read(plays)
    for name in COMPILED:
        model = build(CONFIGS[name], 0).fit(CELLS)
        model.recommend(USERS, 3)
        model.fold_in(CELLS, USERS, 3)
        if isinstance(model, Relating):
            model.similar(0, 3)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        use_all(Path(place))
