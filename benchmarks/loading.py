"""What it saves that a registered model is not fitted when it is loaded.

python benchmarks/loading.py user_artists.dat [--top-items 8000]

Each model with its default parameters is fitted on all plays, packed as for the registry, and
loaded. Both are timed in the same run; what is loaded has to answer with the same bits.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from recsys.config import ExperimentConfig
from recsys.data.interactions import Interactions
from recsys.models import build, make_config
from recsys.serving.answers import Served
from recsys.serving.package import pack, unpack
from tasks.data.stages import DataFiles, everything
from tasks.workspace.layout import Workspace

MODELS = (
    "popularity-users",
    "item-knn",
    "user-knn",
    "rp3beta",
    "gf-cf",
    "turbo-cf",
    "puresvd",
    "sparse-ease",
    "pair-ease",
    "slim",
    "ease",
    "bpr",
    "fm",
    "als",
)
K = 20
ASKED = 200  # users; their lists are compared


def main() -> None:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plays", type=Path, metavar="FILE")
    parser.add_argument("--top-items", type=int, default=8000, help="artists that ease learns")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        config = ExperimentConfig.model_validate({"filter": {"min_items": 0, "min_users": 0}})
        cells = everything(Workspace.at(Path(place)), DataFiles(args.plays), config).cells
        print(f"{cells.shape[0]:,} listeners, {cells.shape[1]:,} artists, {len(cells):,} cells")
        print(f"{'model':<21} {'fit':>8} {'load':>8} {'fit/load':>9} {'size':>9}")
        for kind in MODELS:
            folder = Path(place) / kind
            folder.mkdir()
            print(line(kind, cells, folder, args.top_items), flush=True)


def line(kind: str, cells: Interactions, folder: Path, top_items: int) -> str:
    """Seconds to fit and to load, their ratio, and the size of the files."""
    config = make_config(kind, {"top_items": top_items} if kind == "ease" else {})
    start = time.perf_counter()
    model = build(config, 0).fit(cells)
    fitted = time.perf_counter()
    pack(Served(config, model, cells), 0, folder)
    packed = time.perf_counter()
    loaded = unpack(folder).model
    seconds = time.perf_counter() - packed
    users = np.arange(min(ASKED, len(cells.users)), dtype=np.int32)
    ours, theirs = (each.recommend(users, K) for each in (model, loaded))
    if not np.array_equal(ours.items, theirs.items) or not np.array_equal(
        ours.scores, theirs.scores, equal_nan=True
    ):
        raise SystemExit(f"{kind}: what was loaded answers otherwise")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    fit = fitted - start
    return f"{kind:<21} {fit:>6.2f} s {seconds:>6.2f} s {fit / seconds:>9.1f} {size:>6.1f} MB"


if __name__ == "__main__":
    main()
