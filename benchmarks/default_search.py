"""The default search now, beside the same search of an older checkout: how fast, and as good.

python benchmarks/default_search.py PLAYS --before DIR [--trials 40] [--seeds 42 43 44]

`git worktree add DIR d2d4104` makes a checkout of before compiled ranking and ALS. Both run as
users run them, `recsys experiment` in a new workspace with all that it starts, in turn, with the
same environment. Seconds are those of the whole command; `fit` and `judge` are their parts as the
search reports them. A search is as good where the test ndcg@10 of its winner lies in the interval
of the other's; the two find other points, for they round otherwise.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import mean, median
from typing import Any

from watched import ROOT, Cost, watched

METRIC = "ndcg@10"
TARGET = 4.0


def main() -> None:
    """Run both in turn and print the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plays", type=Path)
    parser.add_argument("--before", type=Path, required=True, help="the older checkout")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    roots = {"before": args.before.resolve(), "now": ROOT}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in roots}
    with tempfile.TemporaryDirectory() as folder:
        for root in roots.values():  # compiles, and fills the caches of the system
            searched(args.plays, root, Path(folder) / "warm" / root.name, 1, args.seeds[0])
        for seed in args.seeds:
            for name, root in roots.items():
                workspace = Path(folder) / f"{seed}-{name}"
                cost, told = searched(args.plays, root, workspace, args.trials, seed)
                found[name].append(line(name, seed, cost, told))
    rows = ratios(found)
    if args.json:
        args.json.write_text(json.dumps({"measured": found, "rows": rows}, indent=1) + "\n")


def searched(
    plays: Path, root: Path, workspace: Path, trials: int, seed: int
) -> tuple[Cost, dict[str, Any]]:
    """One search by the code in `root`."""
    command = [sys.executable, "-m", "flows.cli.main", "experiment", "--plays", str(plays)]
    command += ["--trials", str(trials), "--seed", str(seed), "--workspace", str(workspace)]
    cost = watched([*command, "--json", "--quiet"], root)
    return cost, json.loads(cost.out)


def line(name: str, seed: int, cost: Cost, told: dict[str, Any]) -> dict[str, Any]:
    """Print one search, and give its figures."""
    test, parts = told["models"]["als"]["test"][METRIC], told["seconds"]
    some = {part: parts[part] for part in ("fit", "judge", "total")}
    value = f"{test['mean']:.4f} [{test['low']:.4f}, {test['high']:.4f}]"
    print(
        f"seed {seed} {name:<7} {cost}  {METRIC} {value}  "
        + ", ".join(f"{part} {seconds:.1f}" for part, seconds in some.items()),
        flush=True,
    )
    return {"seed": seed, **cost.figures(), METRIC: test, "seconds of": some}


def ratios(found: dict[str, list[dict[str, Any]]]) -> list[dict[str, str | float]]:
    """Print and give the ratios to the target of `make bench`."""
    pairs = list(zip(found["before"], found["now"], strict=True))
    ways = {
        "time": [one["seconds"] / two["seconds"] for one, two in pairs],
        "CPU": [one["cpu"] / two["cpu"] for one, two in pairs],
        "fit and judge": [work(one) / work(two) for one, two in pairs],
    }
    rows: list[dict[str, str | float]] = []
    for name, each in ways.items():
        target = TARGET if name == "time" else 0.0
        row = {"work": f"default search, {name}", "against": "before", "ratio": median(each)}
        rows.append({**row, "target": target})
        print(
            f"{row['work']}: {median(each):.2f} times as fast ({min(each):.2f} to {max(each):.2f})"
        )
    inside = sum(
        one[METRIC]["low"] <= two[METRIC]["mean"] <= one[METRIC]["high"] for one, two in pairs
    )
    values = {name: mean(one[METRIC]["mean"] for one in each) for name, each in found.items()}
    print(
        f"{METRIC} in the mean of {len(pairs)} seeds: "
        + ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        + f"; now within the interval of before: {inside} of {len(pairs)}"
    )
    return rows


def work(one: dict[str, Any]) -> float:
    """Seconds of training and judging."""
    return float(one["seconds of"]["fit"] + one["seconds of"]["judge"])


if __name__ == "__main__":
    main()
