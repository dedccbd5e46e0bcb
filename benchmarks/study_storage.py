"""What a trial costs in Optuna, by storage: a file journal against SQLite, in turn.

python benchmarks/study_storage.py [--trials 40] [--rounds 3]
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

optuna.logging.set_verbosity(optuna.logging.ERROR)
CURVE = 15  # values reported along a trial


def main() -> None:
    """Print milliseconds per trial of both storages, with and without a curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    for curve in (0, CURVE):
        found: dict[str, list[float]] = {"journal": [], "sqlite": []}
        for _ in range(args.rounds):
            for name, milliseconds in found.items():
                milliseconds.append(per_trial(name, args.trials, curve))
        ratio = median(s / j for s, j in zip(found["sqlite"], found["journal"], strict=True))
        times = ", ".join(f"{name} {median(each):.1f} ms" for name, each in found.items())
        print(f"{curve:>2} reports a trial: {times}, sqlite/journal {ratio:.1f}")


def per_trial(name: str, trials: int, curve: int) -> float:
    """Milliseconds of a trial with four parameters, two attributes and `curve` reports."""
    with tempfile.TemporaryDirectory() as folder:
        storage = opened(name, Path(folder))
        study = optuna.create_study(storage=storage, direction="maximize")
        start = time.perf_counter()
        for slot in range(trials):
            study.sampler = optuna.samplers.RandomSampler(seed=slot)
            trial = study.ask()
            for parameter in "abcd":
                trial.suggest_float(parameter, 0, 1)
            trial.set_user_attr("slot", slot)
            trial.set_user_attr("run", "0" * 32)
            for step in range(curve):
                trial.report(step / CURVE, step)
            study.tell(trial, slot)
        return (time.perf_counter() - start) / trials * 1000


def opened(name: str, folder: Path) -> BaseStorage:
    """A fresh storage in a folder."""
    if name == "sqlite":
        return RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    return JournalStorage(JournalFileBackend(str(folder / "optuna.journal")))


if __name__ == "__main__":
    main()
