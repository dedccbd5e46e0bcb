"""What a trial costs in Optuna, by storage and number of workers: our journal against SQLite.

python benchmarks/study_storage.py [--trials 40] [--splits 3] [--workers 1,4]
"""

import argparse
import multiprocessing
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median

import optuna
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from tasks.tuning.storage import open_storage
from tasks.workspace.layout import Workspace

optuna.logging.set_verbosity(optuna.logging.ERROR)
CURVE = 15  # values reported along a trial
NAMES = ("journal", "sqlite")


def main() -> None:
    """Print milliseconds per trial of both storages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=40, help="of all workers together")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--workers", default="1,4")
    args = parser.parse_args()
    for workers in map(int, args.workers.split(",")):
        found: dict[str, list[float]] = {name: [] for name in NAMES}
        for _ in range(args.splits):
            for name, milliseconds in found.items():
                milliseconds.append(per_trial(name, args.trials, workers))
        ratio = median(s / j for s, j in zip(found["sqlite"], found["journal"], strict=True))
        times = ", ".join(f"{name} {median(each):.1f} ms" for name, each in found.items())
        print(f"{workers} workers, {CURVE} reports a trial: {times}, sqlite/journal {ratio:.1f}")


def per_trial(name: str, trials: int, workers: int) -> float:
    """Milliseconds until all trials are done, per trial."""
    with tempfile.TemporaryDirectory() as folder:
        study = opened(name, Path(folder)).create_new_study([StudyDirection.MAXIMIZE], "study")
        ready = multiprocessing.Barrier(workers + 1)
        every = [
            multiprocessing.Process(
                target=work, args=(name, Path(folder), study, trials // workers, ready)
            )
            for _ in range(workers)
        ]
        for each in every:
            each.start()
        ready.wait()
        start = time.perf_counter()
        for each in every:
            each.join()
        return (time.perf_counter() - start) / trials * 1000


def work(name: str, folder: Path, study: int, trials: int, ready: Barrier) -> None:
    """Write what our trials write."""
    storage = opened(name, folder)
    ready.wait()
    for slot in range(trials):
        storage.get_all_trials(study, deepcopy=False)
        template = optuna.create_trial(
            state=TrialState.RUNNING,
            params={"alpha": 0.5},
            distributions={"alpha": optuna.distributions.FloatDistribution(0, 1)},
            user_attrs={"slot": slot, "point": {"alpha": 0.5}, "attempt": 1, "worker": "w"},
        )
        trial = storage.create_new_trial(study, template)
        storage.set_trial_user_attr(trial, "run", "0" * 32)
        for step in range(CURVE):
            storage.set_trial_intermediate_value(trial, step, step / CURVE)
        storage.set_trial_user_attr(trial, "facts", {"iterations": 1, "ran": 1, "asked": 1})
        storage.set_trial_state_values(trial, TrialState.COMPLETE, [float(slot)])


def opened(name: str, folder: Path) -> BaseStorage:
    """The storage in a folder, made where it is missing."""
    if name == "sqlite":
        return get_storage(RDBStorage(f"sqlite:///{folder / 'optuna.db'}"))
    return open_storage(Workspace.at(folder))


if __name__ == "__main__":
    main()
