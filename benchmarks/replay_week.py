"""A week of new plays, one file a day, retrained every day; what was promoted, refused, stopped.

python benchmarks/replay_week.py [--users 1000] [--artists 600] [--trials 4] [--keep DIR]

Every listen of an invented sample falls on a day; a fifth of the artists appear in the course of
the week. On the fourth day every second row has no number of plays: the retraining has to stop. The
file is then corrected, and the same command repeated. The day after the week nothing new has come.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from recsys.sources.sample import make_sample

DAYS = 7
BROKEN = 3  # the fourth
RECSYS = (sys.executable, "-c", "import sys; from flows.cli.main import main; sys.exit(main())")
NEW_ARTISTS = 0.2


def days_of(users: int, artists: int, seed: int) -> list[list[str]]:
    """The lines of each day, of all listeners in mixed order."""
    table = make_sample(users, artists, seed).plays
    columns = (table[name].to_pylist() for name in ("user", "mbid", "name", "plays"))
    rows = list(zip(*columns, strict=True))
    rng = np.random.default_rng(seed)
    names = sorted({name for _, _, name, _ in rows})
    late = rng.random(len(names)) < NEW_ARTISTS
    debut = dict(zip(names, np.where(late, rng.integers(1, DAYS, len(names)), 0), strict=True))
    days: list[list[str]] = [[] for _ in range(DAYS)]
    for row, share in zip(rows, rng.random(len(rows)), strict=True):
        first = int(debut[row[2]])
        days[first + int(share * (DAYS - first))].append("\t".join(row) + "\n")
    for lines in days:
        rng.shuffle(lines)
    return days


def broken(lines: list[str]) -> list[str]:
    """Every second row has no number of plays, but for the first, by which a format is known."""
    return [
        line.rpartition("\t")[0] + "\tmany\n" if n % 2 and n > 100 else line
        for n, line in enumerate(lines)
    ]


def retrained(folder: Path, workspace: Path, trials: int) -> tuple[int, dict[str, Any], str]:
    """Exit code, what was decided, and the last line on stderr."""
    words = ["retrain", "--plays", str(folder), "--trials", str(trials), "--json"]
    done = subprocess.run(
        [*RECSYS, *words, "--workspace", str(workspace)],
        capture_output=True,
        text=True,
        check=False,
    )
    told = json.loads(done.stdout) if done.stdout else {}
    return done.returncode, told, (done.stderr.splitlines() or [""])[-1]


def shown(day: str, code: int, told: dict[str, Any], error: str) -> str:
    """A line of the table."""
    if code:
        return f"{day:<12} {'stopped' if code == 2 else 'failed':<10} {'':>7}  {error}"
    serves = f"{told['version']}/{told['champion']}"
    return f"{day:<12} {told['verdict']:<10} {serves:>7}  " + "\n".ljust(34).join(told["reasons"])


def main() -> None:
    """Print a line for each retraining."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--artists", type=int, default=600)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="an empty folder for what is made")
    args = parser.parse_args()
    print(
        f"{'day':<12} {'verdict':<10} {'version':>7}  why (version: challenger/champion after it)"
    )
    place = nullcontext(args.keep) if args.keep else tempfile.TemporaryDirectory()
    with place as made:
        folder, workspace = Path(made) / "days", Path(made) / "mlruns"
        folder.mkdir(parents=True)
        for n, lines in enumerate([*days_of(args.users, args.artists, args.seed), []]):
            day = f"2026-01-{n + 5:02}"
            file = folder / f"{day}.tsv"
            if n == BROKEN:
                file.write_text("".join(broken(lines)), encoding="utf-8")
                print(shown(day, *retrained(folder, workspace, args.trials)), flush=True)
            if lines:
                file.write_text("".join(lines), encoding="utf-8")
            print(shown(day, *retrained(folder, workspace, args.trials)), flush=True)


if __name__ == "__main__":
    main()
