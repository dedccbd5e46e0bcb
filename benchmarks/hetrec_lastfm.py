r"""Every model on HetRec Last.fm-2K, beside what an independent script measured there.

python benchmarks/hetrec_lastfm.py $RECSYS_DATA/hetrec-lastfm-2k/user_artists.dat \
    [--trials 60] [--seeds 5] [--models als,ease,...] [--workspace DIR] [--name NAME]

Users with 5 or more artists, artists with 5 or more listeners, 20 % per user held out, several
split seeds; every model tuned on validation with the same number of trials, for each split anew,
and judged once. It is `recsys compare` with a column more; with the same --workspace and --name
it resumes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

MEASURED = {
    "als": 0.2914,
    "ease": 0.279,
    "slim": 0.277,
    "rp3beta": 0.265,
    "item-knn": 0.256,
    "user-knn": 0.251,
    "bpr": 0.197,
}
"""Test ndcg@10 of an independent script with 60 trials each, the better where it gave two."""

METRIC = "ndcg@10"


def main() -> int:
    """Compare and print; 1 where a model stays below its figure by more than noise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plays", type=Path)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", help="default: all that need no extra installation")
    parser.add_argument("--workspace", type=Path, help="default: a new one, removed at the end")
    parser.add_argument("--name", default="hetrec")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = args.workspace or Path(scratch)
        argv = ["compare", "--plays", args.plays, "--workspace", place, "--name", args.name]
        argv += ["--trials", args.trials, "--seeds", args.seeds, "--keep-factors", "none"]
        argv += ["--models", args.models] if args.models else []
        command = [Path(sys.executable).with_name("recsys"), *argv, "--json"]
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, check=True)
    told = json.loads(done.stdout)
    below = show(told)
    if told["ensemble"] is not None:
        members = " and ".join(told["ensemble"]["members"])
        print(f"the ensemble is of {members}, the best two on validation")
    print(
        f"best: {told['best']}; below the figure by more than noise: {', '.join(below) or 'none'}"
    )
    print("seconds: " + ", ".join(f"{part} {s:.0f}" for part, s in told["seconds"].items()))
    return 1 if below else 0


def show(told: dict) -> list[str]:
    """Print a line per model; gives those whose interval ends below the figure."""
    print(f"{'model':<22}{METRIC:>9}  {'95 % interval':>18}  {'sd':>7}  {'p vs best':>9}  figure")
    below = []
    models = told["models"]
    for model in sorted(models, key=lambda name: -models[name]["test"][METRIC]["mean"]):
        of = models[model]
        value, against = of["test"][METRIC], of["against_best"]
        p = "best" if against is None else f"{against['p_holm']:.4f}"
        figure = MEASURED.get(model)
        if figure is not None and value["high"] < figure:
            below.append(model)
        sd = "" if value["sd"] is None else f"{value['sd']:.4f}"
        interval = f"[{value['low']:.4f}, {value['high']:.4f}]"
        known = "" if figure is None else f"{figure:.4f}"
        print(f"{model:<22}{value['mean']:>9.4f}  {interval:>18}  {sd:>7}  {p:>9}  {known:>6}")
    for model, why in told["failed"].items():
        print(f"{model:<22} took no part: {why}")
    return below


if __name__ == "__main__":
    sys.exit(main())
