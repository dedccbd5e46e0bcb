"""The reference study from the whole file to the table, beside the steps of its notebook.

python benchmarks/paper.py [FILE] [--parts study whole] [--quick] [--rounds 1] [--json FILE]

Ours is `recsys experiment --config paper` in a new workspace, a process with all that it starts:
imports, Prefect's server, reading, split, 12 trials judged on all users of a validation side, the
winner and popularity judged once on test, comparison, tracking, plots. Beside it runs
`benchmarks/notebook.py`, which reads with pandas, trains with implicit, TUNES ON ITS TEST SIDE and
judges a trial by 1,000 users; what it chooses has seen the test, so its precision@10 flatters it.
It searches the same points and is judged on the same held-out cells. implicit runs with one BLAS
thread, as it asks for. Memory is that of all processes at one time, shared pages counted once.

FILE is in the format of Last.fm 360K. Without FILE the script makes one of 17.4 million rows; its
20,000 most active users know 66,000 artists. --quick makes 0.2 million rows and runs 3 trials. The
time to start counts most there, so the targets do not hold. The part `whole` keeps all users: all
train, and all are judged in every trial. Its targets are ten minutes and five GB.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from reading import middles
from watched import Cost, watched

METRIC = "precision@10"
SIZES = {"full": (350_000, 78_000), "quick": (4_000, 10_000)}  # users and artists of the sample
MINUTES, GIGABYTES = 10, 5
EVERYBODY = 10_000_000


def main() -> None:
    """Run both in turn and print the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true", help="0.2 million rows, 3 trials")
    parser.add_argument("--parts", nargs="+", choices=("study", "whole"), default=["study"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    trials = args.trials = args.trials or (3 if args.quick else 12)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = args.file or made(folder / "plays.tsv", *SIZES["quick" if args.quick else "full"])
        found: dict[str, Any] = {"rows": []}
        for part in args.parts:
            one = whole(path, folder, trials) if part == "whole" else study(path, folder, args)
            found[part] = one
            found["rows"] += one.pop("rows")
    if args.quick:
        found["rows"] = [{**row, "target": 0.0} for row in found["rows"]]
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


def made(path: Path, users: int, artists: int) -> Path:
    """A file of the sample generator."""
    from recsys.sources.sample import make_sample, write_sample

    write_sample(make_sample(users, artists), path, path.with_name("profiles.tsv"))
    return path


def study(path: Path, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Ours and the notebook in turn."""
    costs: dict[str, list[Cost]] = {"ours": [], "notebook": []}
    for number in range(args.rounds):
        workspace = folder / f"workspace-{number}"
        costs["ours"].append(ours(path, workspace, args.trials))
        told = json.loads(costs["ours"][-1].out)
        points, test = folder / "points.json", folder / "test.parquet"
        points.write_text(json.dumps([each["params"] for each in told["trials"]]))
        held_out(workspace).to_parquet(test)
        command = [sys.executable, str(Path(__file__).with_name("notebook.py")), str(path)]
        command += ["--points", str(points), "--test", str(test)]
        costs["notebook"].append(watched(command, OPENBLAS_NUM_THREADS="1"))
        theirs = json.loads(costs["notebook"][-1].out)
        for who, each in costs.items():
            print(f"{who:<10} {each[-1]}", flush=True)
    print("ours:     " + parts(told["seconds"]))
    print("notebook: " + parts(theirs["seconds"]))
    size = {**theirs["size"], "rows read": told["data"]["read"]["rows"]}
    print(", ".join(f"{n:,} {what}" for what, n in size.items()))
    middle = {who: middles([each.figures() for each in some]) for who, some in costs.items()}
    middle["notebook"]["seconds"] -= theirs["outside"]
    values = {"ours": told["models"]["als"]["test"][METRIC]["mean"]}
    values |= {"notebook": theirs[METRIC]["als"], "popularity": theirs[METRIC]["popularity"]}
    ends = told["models"]["als"]["test"][METRIC]
    print(
        f"{METRIC} on the same cells: "
        + ", ".join(f"{n} {v:.4f}" for n, v in values.items())
        + f"; 95 % interval of ours [{ends['low']:.4f}, {ends['high']:.4f}]"
    )
    print(f"chosen: ours {told['best']['params']}, notebook {theirs['best']}")
    return {"measured": middle, "rows": ratios(middle, values), METRIC: values, "size": size}


def ours(path: Path, workspace: Path, trials: int, *more: str) -> Cost:
    """The study as a user runs it."""
    options = ["--config", "paper", "--trials", str(trials), "--json", "--quiet", *more]
    command = [sys.executable, "-m", "flows.cli.main", "experiment", "--plays", str(path)]
    return watched([*command, "--workspace", str(workspace), *options])


def held_out(workspace: Path) -> pd.DataFrame:
    """The cells of the test side: columns user and mbid."""
    from recsys.splitting.store import load_fold

    fold = load_fold(next(workspace.glob("cache/split/*/test")))
    users, items = (
        ids.ids.to_numpy(zero_copy_only=False) for ids in (fold.train.users, fold.train.items)
    )
    cells = fold.held_out
    return pd.DataFrame({"user": users[cells.rows], "mbid": items[cells.cols]})


def ratios(
    middle: dict[str, dict[str, float]], values: dict[str, float]
) -> list[dict[str, str | float]]:
    """Print and give the ratios to the targets of `make bench`."""
    mine, theirs = middle["ours"], middle["notebook"]
    rows: list[dict[str, str | float]] = []
    for what, ratio, target in (
        ("time", theirs["seconds"] / mine["seconds"], 4.0),
        ("CPU", theirs["cpu"] / mine["cpu"], 0.0),
        ("memory", theirs["mb"] / mine["mb"], 4.0),
        (METRIC, values["ours"] / values["notebook"], 1.0),
    ):
        work = f"study, file to table, {what}"
        rows.append({"work": work, "against": "the notebook", "ratio": ratio, "target": target})
        print(f"{work}: {ratio:.2f} times" + (f", target {target:g}" if target else ""))
    return rows


def whole(path: Path, folder: Path, trials: int) -> dict[str, Any]:
    """The study without a cut of users."""
    cost = ours(path, folder / "whole", trials, "--set", f"filter.top_users={EVERYBODY}")
    told = json.loads(cost.out)
    data = told["data"]
    print(f"whole      {cost}   {parts(told['seconds'])}")
    print(f"{data['users']:,} users, {data['items']:,} artists, {data['cells']:,} cells")
    print(f"{METRIC} {told['models']['als']['test'][METRIC]['mean']:.4f}, {told['best']['params']}")
    rows = []
    for what, ratio in (
        (f"under {MINUTES} minutes", MINUTES * 60 / cost.seconds),
        (f"under {GIGABYTES} GB", GIGABYTES * 1000 / (cost.mb * 1.048576)),
    ):
        row = {"work": f"whole file, {trials} trials, all users", "against": what}
        rows.append(row | {"ratio": ratio, "target": 1.0})
        print(f"{row['work']} {what}: {ratio:.2f} times")
    return {"measured": cost.figures(), "seconds": told["seconds"], "rows": rows}


def parts(seconds: dict[str, float]) -> str:
    """Seconds of the parts, the most first."""
    most = sorted(seconds.items(), key=lambda each: -each[1])
    return ", ".join(f"{name} {value:.1f}" for name, value in most)


if __name__ == "__main__":
    main()
