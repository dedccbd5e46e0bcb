"""A workspace with something of everything, to be copied: two tests of cases share it."""

import os
import subprocess
from pathlib import Path

from tests.flows.processes import RECSYS, ROOT

READING = ("--columns", "user=user,item=item,plays=plays")
FAST = ("--trials", "2", "--quiet", "--set", "study.pruner=none", "--set", "study.first=[]")
FAST += ("--set", "search.factors=8", "--set", "search.iterations=3", "--set", "judge.resamples=50")
ROWS = [f"u{u},a{(u * 7 + n * n) % 30},{1 + (u * n) % 9}" for u in range(40) for n in range(12)]
LOADED = """
import mlflow, pandas
frame = pandas.DataFrame([{"user": "u1"}])
print(len(mlflow.pyfunc.load_model("models:/recsys@champion").predict(frame, {"k": 5})))
"""
KEPT_AWAY = ("PREFECT_", "MLFLOW_", "XDG_", "RECSYS_", "MPL")


class Here:
    """A folder with a workspace, plays, an empty home and an empty current folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plays, self.days = folder / "plays.csv", folder / "days"
        self.home, self.current = folder / "home", folder / "current"

    def fill(self) -> None:
        for each in (self.days, self.home, self.current):
            each.mkdir()
        for path, rows in (
            (self.plays, ROWS),
            (self.days / "1.csv", ROWS),
            (self.days / "2.csv", ROWS[::3]),
        ):
            path.write_text("user,item,plays\n" + "\n".join(rows) + "\n", encoding="utf-8")

    def run(self, words: tuple[object, ...], environment: dict[str, str]) -> tuple[int, str, str]:
        """Exit code, output and errors of a process with nothing of ours in its environment."""
        mine = {k: v for k, v in os.environ.items() if not k.startswith(KEPT_AWAY)}
        mine |= {"HOME": str(self.home), "PYTHONPATH": str(ROOT), **environment}
        done = subprocess.run(
            list(map(str, words)), cwd=self.current, env=mine, capture_output=True, text=True
        )
        return done.returncode, done.stdout, done.stderr

    def recsys(self, workspace: Path, *words: object) -> str:
        """What a command prints, on both streams; it ends well and without a traceback."""
        code, out, err = self.run((*RECSYS, *words, "--workspace", workspace), {})
        assert (code, "Traceback" in err) == (0, False), (words, out, err)
        return out + err

    def load(self, workspace: Path) -> int:
        """How many items MLflow's own client gets of the champion."""
        uri = f"sqlite:///{workspace}/mlflow.db"
        code, out, err = self.run((RECSYS[0], "-c", LOADED), {"MLFLOW_TRACKING_URI": uri})
        assert code == 0, err
        return int(out.splitlines()[-1])


def fill(folder: Path) -> None:
    """Prepare it: a study, two versions, published lists and a sample."""
    here = Here(folder)
    here.fill()
    runs = folder / "runs"
    request = ("--plays", here.plays, *READING, *FAST)
    here.recsys(runs, "experiment", "--study", "s1", *request)
    here.recsys(runs, "experiment", "--study", "s2", *request, "--seed", 1)
    here.recsys(runs, "promote", "s1")
    days = ("--plays", here.days, *READING, "--trials", 0, "--gate", "always")
    here.recsys(runs, "retrain", *days, "--set", "judge.resamples=50")
    here.recsys(runs, "sample", "--users", 60, "--items", 30)
