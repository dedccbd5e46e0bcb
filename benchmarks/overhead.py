"""What a study costs beyond training and judging, by part; how long commands take to start.

python benchmarks/overhead.py                  a 12-trial `paper` study at the reference scale
python benchmarks/overhead.py --tiny 10,100,1000   tiny trials: does the cost of one grow?
python benchmarks/overhead.py --quick          fewer trials on less data
python benchmarks/overhead.py --json FILE      the figures as `bench.py` takes them

The study runs through the same flow as `recsys experiment`, Prefect's embedded server included. A
part counts its own time only: what it calls in another part is counted there. CPU is that of the
process of the study; where other programs use the cores it says more than the wall.
"""

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flows import environment
from tasks.workspace.layout import Workspace

FIXED = ("start", "data", "tracking")
COMPUTE = ("fit", "judge", "final", "compare", "choose")
GOAL, SHARE = 0.1, 0.03  # seconds of a trial beyond fit and judge; of the study
STARTS = (("--help",), ("models",), ("study", "list"), ("similar", "an item"))
IDLE = 5.0  # seconds of looking at a server that does nothing
TINY = {"factors": 2, "iterations": 1, "weighting": "binary"}


class Parts:
    """Own seconds of wrapped functions, by part, and CPU of some."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)
        self._open: list[float] = []  # seconds of parts inside the open ones

    def wrap(self, owner: Any, name: str, part: str) -> None:
        """Count the calls of `owner.name` towards `part`."""
        call: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(call)
        def counted(*args: Any, **more: Any) -> Any:
            with self.counting(part):
                return call(*args, **more)

        setattr(owner, name, counted)

    def wrap_cpu(self, owner: Any, name: str) -> None:
        """Count the CPU of the process during calls of `owner.name`."""
        call: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(call)
        def counted(*args: Any, **more: Any) -> Any:
            start = time.process_time()
            try:
                return call(*args, **more)
            finally:
                self.cpu[name] += time.process_time() - start

        setattr(owner, name, counted)

    @contextmanager
    def counting(self, part: str) -> Iterator[None]:
        """Count the block towards `part`."""
        start = time.perf_counter()
        self._open.append(0.0)
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[part] += spent - self._open.pop()
            if self._open:
                self._open[-1] += spent


def main() -> None:
    """Print the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--artists", type=int, default=70_000)
    parser.add_argument("--per-user", type=int, default=68)
    parser.add_argument("--tiny", metavar="N,N,...", help="numbers of tiny trials instead")
    parser.add_argument("--sampler", default="tpe", help="of the tiny trials")
    parser.add_argument("--quick", action="store_true", help="4,000 users, 6 trials")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.quick:
        args.trials, args.users, args.artists = 6, 4_000, 20_000
    rows: list[dict[str, Any]] = []
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.at(Path(folder) / "mlruns")
        environment.prepare(workspace)
        with prefect(workspace) as ready:
            import flows.experiment  # noqa: F401 - what takes long to import, before the clock

            ready()
            print(f"fixed start (imports, Prefect's server): {time.perf_counter() - begin:.1f} s")
            if args.tiny:
                tiny(workspace, [int(n) for n in args.tiny.split(",")], args.sampler)
            else:
                rows += paper(workspace, args)
        if not args.tiny:
            rows += starts(workspace)
    if args.json:
        args.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


@contextmanager
def prefect(workspace: Workspace) -> Iterator[Callable[[], None]]:
    """A server of our own, as the command line starts it."""
    from tasks.orchestration.server import serving

    with serving(os.environ, workspace.prefect_home / "server.log") as server:
        environment.use_prefect_server(server.api)
        from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            yield server.wait


def starts(workspace: Workspace) -> list[dict[str, Any]]:
    """Commands from their start to their end, warm, and a server that does nothing."""
    from tasks.orchestration.server import serving

    rows = []
    for words in STARTS:
        command = [sys.executable, "-m", "flows.cli.main", *words]
        where = [] if words == ("--help",) else ["--workspace", str(workspace.root)]
        before, start = _cpu_of_children(), time.perf_counter()
        subprocess.run([*command, *where], capture_output=True, check=False)
        rows.append(
            {
                "work": f"recsys {' '.join(words)}",
                "seconds": time.perf_counter() - start,
                "cpu": _cpu_of_children() - before,
            }
        )
    before, start = _cpu_of_children(), time.perf_counter()
    with serving(os.environ, workspace.prefect_home / "server.log") as server:
        server.wait()
        up = time.perf_counter() - start
        used = _cpu_of(server._process.pid)
        time.sleep(IDLE)
        idle = (_cpu_of(server._process.pid) - used) / IDLE
    rows.append({"work": "Prefect's server starts", "seconds": up, "cpu": used, "idle": idle})
    for row in rows:
        print(f"{row['work']:<28} {row['seconds']:6.2f} s  {row['cpu']:6.2f} CPU s")
    print(f"the idle server takes {idle:.1%} of a core")
    return rows


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def paper(workspace: Workspace, args: argparse.Namespace) -> list[dict[str, Any]]:
    """The `paper` study on made-up data of the reference scale."""
    plays = workspace.root / "plays.parquet"
    print(f"made {made_up(plays, args.users, args.artists, args.per_user):,} rows", flush=True)
    table = {"user": "user", "item": "artist", "plays": "plays"}
    found, parts = run(workspace, plays, "paper", trials=args.trials, columns=table)
    data = found.as_json()["data"]
    print(f"{data['users']:,} users, {data['items']:,} artists, {data['cells']:,} cells")
    return report(found.seconds, parts, args.trials)


def made_up(path: Path, users: int, artists: int, per_user: int) -> int:
    """Plays of users with artists of very different popularity; how many rows."""
    rng = np.random.default_rng(0)
    weights = 1.0 / (np.arange(artists) + 60.0) ** 0.75
    drawn = rng.choice(artists, (users, per_user), p=weights / weights.sum())
    rows = np.repeat(np.arange(users), drawn.shape[1])
    frame = pd.DataFrame({"user": rows, "artist": drawn.ravel()}).drop_duplicates()
    frame["plays"] = np.ceil(rng.lognormal(4.0, 1.4, len(frame))).astype(np.int64)
    frame.to_parquet(path)
    return len(frame)


def run(
    workspace: Workspace, plays: Path, config: str, columns: Any, **study: Any
) -> tuple[Any, Parts]:
    """An experiment with every part counted."""
    from flows.cli.inputs import CONFIGS
    from flows.experiment import experiment
    from recsys.config import load_config

    overrides = {f"study.{name}": value for name, value in study.items()}
    settings = load_config(CONFIGS / f"{config}.toml", {**overrides, "data.columns": columns})
    parts = counted()
    return experiment(plays, settings, workspace.root, None, f"{config}-study"), parts


def counted() -> Parts:
    """Wrap the doors of every outside system."""
    from optuna.storages import JournalStorage

    from flows import experiment, searching
    from recsys.evaluation import fitting
    from recsys.models.als import Als
    from tasks.study import attempt
    from tasks.tracking.reading import DatabaseReader
    from tasks.tracking.runs import Run
    from tasks.tracking.writing import DatabaseWriter
    from tasks.tuning.sampling import Points

    parts = Parts()
    for door in (DatabaseWriter, DatabaseReader):
        for name in vars(door):
            if not name.startswith("_"):
                parts.wrap(door, name, "MLflow's database")
    for name in vars(JournalStorage):
        if not name.startswith("_") and callable(getattr(JournalStorage, name)):
            parts.wrap(JournalStorage, name, "Optuna storage")
    parts.wrap(Points, "point", "Optuna sampler")
    parts.wrap(experiment, "with_prefect", "Prefect, around trials")
    parts.wrap(attempt, "attempt", "our own code in trials")
    parts.wrap(Als, "fit", "(training and curves)")
    parts.wrap(fitting, "recommend", "(judging)")
    parts.wrap(fitting, "scored", "(judging)")
    parts.wrap(attempt, "save_measured", "writing files")
    parts.wrap(Run, "files", "files to disk for good")
    parts.wrap_cpu(searching, "_timed")
    parts.wrap_cpu(attempt, "measure")
    return parts


def report(seconds: dict[str, float], parts: Parts, trials: int) -> list[dict[str, Any]]:
    """Where the time went, printed and as rows."""
    computed = sum(seconds.get(name, 0.0) for name in COMPUTE)
    total = seconds["total"] - sum(seconds.get(name, 0.0) for name in FIXED)
    per_trial = seconds.get("trial overhead", 0.0) + seconds.get("optuna", 0.0)
    print(f"study without its fixed start: {total:.1f} s, training and judging {computed:.1f} s")
    for name in (*COMPUTE, "trial overhead", "optuna", "reporting"):
        print(f"  {name:<26} {seconds.get(name, 0.0):8.2f} s")
    print("own seconds of the parts, all told:")
    for name, spent in sorted(parts.seconds.items(), key=lambda item: -item[1]):
        print(f"  {name:<26} {spent:8.2f} s")
    each, share = per_trial / trials, per_trial / total
    cpu = (parts.cpu["_timed"] - parts.cpu["measure"]) / trials
    print(
        f"overhead: {each * 1000:.0f} ms a trial, {cpu * 1000:.0f} ms of CPU, {share:.1%} of the "
        f"study; with the rest {total - computed:.1f} s, {(total - computed) / total:.1%}"
    )
    work = "a trial beyond fit and judge"
    goal = f"{GOAL * 1000:.0f} ms"
    return [
        {"work": work, "against": goal, "ratio": GOAL / each, "target": 1.0, "seconds": each},
        {"work": f"{work}, CPU", "against": goal, "ratio": GOAL / cpu, "seconds": cpu},
        {
            "work": f"{work}, share",
            "against": f"{SHARE:.0%}",
            "ratio": SHARE / share,
            "target": 1.0,
        },
    ]


def tiny(workspace: Workspace, sizes: list[int], sampler: str) -> None:
    """Milliseconds of a tiny trial in studies of several sizes, all of it but fit and judge."""
    import flows.experiment as flow_module
    from flows.clock import Clock
    from recsys.config import checked

    plays = workspace.root / "plays.parquet"
    made_up(plays, 60, 40, 12)
    columns = {"user": "user", "item": "artist", "plays": "plays"}
    first = 0.0
    for n in sizes:
        settings = checked(
            {
                "data": {"columns": columns},
                "search": {
                    "alpha": {"low": 0.01, "high": 100, "log": True},
                    "regularization": {"low": 0.01, "high": 100, "log": True},
                    **TINY,
                },
                "study": {"trials": n, "sampler": sampler, "fresh": True, "keep_factors": "none"},
                "judge": {"ks": [10], "curve_metrics": ["ndcg@10"], "resamples": 100},
            },
            "of the benchmark",
        )
        clock = Clock()
        result = flow_module.experiment(plays, settings, workspace.root, None, f"tiny-{n}")
        spent = result.seconds["trial overhead"] + result.seconds["optuna"]
        first = first or spent / n
        print(
            f"{n:>5} trials: {spent / n * 1000:6.1f} ms a trial besides fit and judge "
            f"({spent / n / first:.2f} x the first), whole study {clock.total:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
