"""`--model auto` beside a search of each model with the same number of trials, on many data sets.

    python benchmarks/auto.py $RECSYS_DATA [--sets hetrec,films,...] [--seeds 5] [--trials 25]
        [--models als,ease,...] [--workspace DIR]

For each data set `recsys compare` tunes each model with so many trials on each split, and `recsys
experiment --model auto` all of them together with as many, on the same splits. The table has test
values: means over the splits, the standard deviation over the splits (sd), and how far `auto` is
ahead. A split is judged once by each. With the same --workspace it resumes; seconds are those of
the last run.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from sets import SETS

USED = "hetrec,films,amazon,yelp,music,events"
METRIC = "ndcg@10"
MODELS = "item-knn,rp3beta,gf-cf,ease,als"


@dataclass(frozen=True)
class Row:
    """A data set.

    Attributes:
        name: Of the set.
        singles: Model to its test value, mean over the splits.
        auto: Test value of each split.
        winners: Who won, of each split.
        seconds: Of all single searches, and of all searches over models.
    """

    name: str
    singles: Mapping[str, float]
    auto: Sequence[float]
    winners: Sequence[str]
    seconds: tuple[float, float]

    @property
    def line(self) -> str:
        """For the table."""
        best = max(self.singles, key=lambda model: self.singles[model])
        mean = fmean(self.auto)
        sd = stdev(self.auto) if len(self.auto) > 1 else float("nan")
        of_best, of_als = self.singles[best], self.singles.get("als", float("nan"))
        won = ", ".join(sorted(set(self.winners)))
        return (
            f"{self.name:<8}{mean:>8.4f}{sd:>8.4f}"
            f"{of_best:>9.4f} {best:<9}{of_als:>8.4f}"
            f"{mean / of_best - 1:>+8.1%}{mean / of_als - 1:>+8.1%}"
            f"{self.seconds[1]:>7.0f}{self.seconds[0]:>7.0f}  {won}"
        )


def main() -> int:
    """Measure and print; 1 where the search over models is below als."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="the folder with the data sets")
    parser.add_argument("--sets", default=USED)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=25)
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--workspace", type=Path, help="default: a new one, removed at the end")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = args.workspace or Path(scratch)
        rows = []
        for name in args.sets.split(","):
            rows.append(measured(args.data, name, place, args))
            print(rows[-1].line, flush=True)
    print(f"\n{METRIC} on test, means of {args.seeds} splits; {args.trials} trials each")
    print(
        "set         auto      sd     best single         als  auto/best auto/als  s auto  "
        "s singles  won"
    )
    for row in rows:
        print(row.line)
    return int(any(fmean(r.auto) < r.singles.get("als", 0.0) for r in rows))


def measured(data: Path, name: str, place: Path, args: argparse.Namespace) -> Row:
    """All searches on a data set."""
    read = ["--plays", data / SETS[name].file, *SETS[name].options]
    common = [*read, "--trials", args.trials]
    common += ["--workspace", place / name, "--keep-factors", "none", "--json"]
    compared = recsys(
        "compare", *common, "--models", f"popularity-users,{args.models}", "--seeds", args.seeds,
        "--name", "singles",
    )  # fmt: skip
    found = [
        recsys("experiment", *common, "--model", "auto", "--seed", seed, "--study", f"auto-{seed}")
        for seed in range(args.seeds)
    ]
    singles = {
        model: of["test"][METRIC]["mean"]
        for model, of in compared["models"].items()
        if model != "ensemble"
    }
    winners = [each["best"]["model"] for each in found]
    values = [
        each["models"][winner][METRIC]["mean"] for each, winner in zip(found, winners, strict=True)
    ]
    seconds = compared["seconds"]["total"], sum(each["seconds"]["total"] for each in found)
    return Row(name, singles, values, winners, seconds)


def recsys(*words: object) -> Any:
    """What a command prints as JSON."""
    command = [sys.executable, "-m", "flows.cli.main", *map(str, words)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
