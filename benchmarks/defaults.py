"""Every model at its default point, on the validation side of one split.

python benchmarks/defaults.py FILE [--columns user=0,item=1,plays=2] [--models als,ease]

Users with 5 or more items and items with 5 or more users stay; of each user 20 % are the test side,
which is not read, and 20 % of the rest the validation side. Models that need an extra are left out.
"""

import argparse
import time
from pathlib import Path

import recsys
from recsys.models import MODELS, config_class

SEED = 42


def main() -> None:
    """Print a line for each model, the best first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    plain = [name for name in MODELS if config_class(name).library is None]
    parser.add_argument("file", type=Path)
    parser.add_argument("--columns", help="as that of recsys experiment, with numbers")
    parser.add_argument("--models", default=",".join(plain))
    args = parser.parse_args()
    roles = dict(each.split("=") for each in args.columns.split(",")) if args.columns else {}
    columns = {role: int(column) for role, column in roles.items()}
    log = recsys.read(args.file, columns or None).filter(min_items=5, min_users=5)
    split = log.split(fraction=0.2, seed=SEED)
    seconds = {}
    for model in args.models.split(","):
        begin = time.perf_counter()
        recsys.fit(model, split, side="validation")
        seconds[model] = time.perf_counter() - begin
    table = recsys.compare(list(seconds), split, side="validation")
    print("model                ndcg@10       95 % interval     fit s")
    for row in table.itertuples():
        interval = f"[{row.low:.4f}, {row.high:.4f}]"
        print(f"{row.Index:<20} {row[1]:.4f}  {interval:>20} {seconds[row.Index]:8.1f}")


if __name__ == "__main__":
    main()
