"""How well ALS finds artists it was not trained on, from their first few listeners.

python benchmarks/new_artists.py FILE [--artists 200] [--known 1 3 10] [--set factors=64 ...]

Hides artists, trains on the rest, folds each in from 1, 3 and 10 of its listeners, and asks all
its other listeners: is it in their top 10, their top 50? Beside it, for how many of the listeners
who do not play it, and popularity: the artist ranked by the listeners that are known.
"""

import argparse
import time
from pathlib import Path

from recsys import sources
from recsys.data.config import FilterConfig
from recsys.data.filtering import apply_filters
from recsys.evaluation.new_items import hide, judge_newcomers
from recsys.models.als import Als
from recsys.models.params import AlsConfig
from recsys.seeds import seed_for
from recsys.settings import parse_value

KS = (10, 50)


def main() -> None:
    """Print a line for each number of known listeners."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--artists", type=int, default=200, help="how many are hidden, at most")
    parser.add_argument("--known", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="of ALS")
    args = parser.parse_args()
    given = (each.partition("=") for each in args.set)
    config = AlsConfig.model_validate({name: parse_value(value) for name, _, value in given})
    events, _ = apply_filters(sources.read(args.file).events, None, FilterConfig(), args.seed)
    hidden = hide(events.cells(), args.artists, max(args.known), args.seed)
    start = time.perf_counter()
    model = Als(config, seed_for(args.seed, "train", "als")).fit(hidden.train)
    fitted = time.perf_counter() - start
    start = time.perf_counter()
    worth = judge_newcomers(hidden, model, args.known, KS)
    print(
        f"{len(events.users):,} listeners, {len(hidden.train.items):,} artists trained in "
        f"{fitted:.1f} s, {worth[0].artists} hidden; {worth[0].asked:,} listeners asked; judged in "
        f"{time.perf_counter() - start:.1f} s\n{config}"
    )
    print("share of an artist's other listeners, and in brackets of those who do not play it")
    print("known  " + "".join(f"{name:>22}" for name in _heads()))
    for each in worth:
        rates = (
            (each.hit_rate[model][k], each.elsewhere[model][k])
            for model in ("als", "popularity")
            for k in KS
        )
        print(f"{each.known:>5}  " + "".join(f"{hit:>13.4f} ({no:.4f})" for hit, no in rates))


def _heads() -> list[str]:
    return [f"{model} @{k}" for model in ("als", "popularity") for k in KS]


if __name__ == "__main__":
    main()
