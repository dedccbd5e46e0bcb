"""What curves, pruning and samples of users save a `default` search, and whether it costs quality.

python benchmarks/search.py PLAYS [--seeds 5] [--trials 40] [--variants plain,found,...]

Every variant searches the same data with the same seeds, in turn. `plain` draws the iterations of
each trial and judges nothing along the training; `default` is the built-in configuration as it
is. Time is that of training and judging, as a ratio to `plain` with the same seed; work is the
multiplications of the trainings alone, which no other process disturbs.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import pandas as pd

from flows import environment
from tasks.workspace.layout import Workspace

DRAWS = 1000
SAMPLES = (200, 500, 1000)
OFF: dict[str, Any] = {"study.pruner": "none", "study.patience": 1000}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {**OFF, "search.iterations": list(range(5, 16)), "judge.curve_every": 1000},
    "found": OFF,
    "patience": {"study.pruner": "none"},
    "halving": {"study.pruner": "halving"},
    "hyperband": {"study.pruner": "hyperband"},
    "default": {},
    "default-500-users": {"judge.validation_users": 500},
}


@dataclass(frozen=True)
class Found:
    """One search.

    Attributes:
        test: ndcg@10 of the winner on test, with its interval.
        seconds: Of training and judging.
        work: Multiplications of all trainings.
        ran: Share of the iterations that were asked for.
        same: Share of draws of so many users in which the best trial is also best on all, and in
            which it is among the best five, by size of the draw.
    """

    test: tuple[float, float, float]
    seconds: float
    work: float
    ran: float
    same: Mapping[int, tuple[float, float]]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plays", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    args = parser.parse_args()
    names = [name for name in VARIANTS if name in args.variants.split(",")]
    found: dict[str, list[Found]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        home = Workspace.at(Path(folder) / "home")
        environment.prepare(home)
        from tasks.orchestration.server import serving

        with serving(os.environ, home.prefect_home / "server.log") as server:
            environment.use_prefect_server(server.api)
            server.wait()
            for seed in range(args.seeds):
                for name in names:
                    where = Path(folder) / f"{seed}-{name}"
                    one = searched(args.plays, where, seed, args.trials, VARIANTS[name])
                    found[name].append(one)
                    show(seed, name, one, found)
    print()
    table(found)


def searched(plays: Path, where: Path, seed: int, trials: int, changed: Mapping[str, Any]) -> Found:
    """One search in a separate workspace."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.cli.inputs import CONFIGS
    from flows.experiment import experiment
    from recsys.config import load_config

    asked = {"seed": seed, "study.trials": trials, "study.keep_factors": "none", **changed}
    config = load_config(CONFIGS / "default.toml", asked)
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        result = experiment(plays, config, where, None, "study")
    test = result.models["als"]["ndcg@10"]
    assert test.low is not None
    assert test.high is not None
    seconds = result.seconds
    return Found(
        (test.mean, test.low, test.high),
        seconds["fit"] + seconds["judge"] + result.chosen.judge_seconds,
        work(result),
        result.saved.ran / result.saved.asked,
        agreement(Workspace.at(where), [trial.run for trial in result.trials], seed),
    )


def work(result: Any) -> float:
    """Multiplications of the iterations that were run, of all trials."""
    from recsys.models.als import AlsConfig

    size = result.facts["split"]["validation"]["train"]
    return sum(
        AlsConfig.model_validate({**done.params, "iterations": max(done.facts.ran, 1)}).cost(
            size["users"], size["items"], size["nonzeros"]
        )
        for done in (*result.trials, *result.pruned)
    )


def agreement(workspace: Workspace, runs: list[str], seed: int) -> dict[int, tuple[float, float]]:
    """How often a sample of users picks the trial that all users pick."""
    values = np.column_stack(
        [
            pd.read_parquet(next(workspace.artifacts.glob(f"*/{run}/artifacts/per_user.parquet")))[
                "ndcg@10"
            ]
            for run in runs
        ]
    )
    rng = np.random.default_rng(seed)
    best = int(values.mean(axis=0).argmax())
    same: dict[int, tuple[float, float]] = {}
    for n_users in SAMPLES:
        if n_users >= len(values):
            continue
        ranked = [
            np.argsort(-values[rng.choice(len(values), n_users, replace=False)].mean(axis=0))
            for _ in range(DRAWS)
        ]
        first = mean(float(order[0] == best) for order in ranked)
        same[n_users] = first, mean(float(best in order[:5]) for order in ranked)
    return same


def show(seed: int, name: str, one: Found, found: Mapping[str, list[Found]]) -> None:
    """A line for each search."""
    plain = found["plain"][seed] if "plain" in found else one
    ratio = f"{one.seconds / plain.seconds:.2f} x plain, work {one.work / plain.work:.2f} x"
    print(
        f"seed {seed} {name:<20} test ndcg@10 {one.test[0]:.4f} [{one.test[1]:.4f}, "
        f"{one.test[2]:.4f}]  {one.seconds:6.1f} s {ratio}  iterations {one.ran:.0%}",
        flush=True,
    )


def table(found: Mapping[str, list[Found]]) -> None:
    """The means over the seeds."""
    plain = found.get("plain")
    for name, each in found.items():
        inside = ""
        ratio = ""
        if plain is not None:
            n_inside = sum(one.test[0] >= two.test[1] for one, two in zip(each, plain, strict=True))
            inside = f"not below plain's interval: {n_inside} of {len(each)}"
            pairs = list(zip(each, plain, strict=True))
            time_ratio = median(one.seconds / two.seconds for one, two in pairs)
            work_ratio = median(one.work / two.work for one, two in pairs)
            ratio = f"time {time_ratio:.2f} x plain, work {work_ratio:.2f} x, "
        print(
            f"{name:<20} test ndcg@10 {mean(one.test[0] for one in each):.4f}, {ratio}"
            f"iterations {mean(one.ran for one in each):.0%}, {inside}"
        )
    for n_users in SAMPLES:
        drawn = [one.same[n_users] for one in (plain or []) if n_users in one.same]
        if drawn:
            print(
                f"{n_users} sampled users pick the winner of all in "
                f"{mean(first for first, _ in drawn):.0%} of {DRAWS} draws, and have it among "
                f"their best five in {mean(five for _, five in drawn):.0%}"
            )


if __name__ == "__main__":
    main()
