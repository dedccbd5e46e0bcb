import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from flows import environment
from flows.experiment import work
from recsys.config import load_config
from tasks.workspace.layout import Workspace
from tests.flows.processes import ROOT, SECONDS, benchmark, workers

pytestmark = [pytest.mark.flow, pytest.mark.slow]

same_study = benchmark("same_study")

CONFIG = """
name = "tiny"
[search]
factors = [2, 4]
iterations = { low = 1, high = 3 }
alpha = { low = 0.5, high = 5.0 }
[study]
trials = 40
[judge]
resamples = 50
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def killed(*arguments: str, by: str = "kill_study") -> str:
    """The last line of the benchmark, which went well."""
    command = [sys.executable, str(ROOT / "benchmarks" / f"{by}.py"), *arguments]
    made = subprocess.run(
        command, capture_output=True, text=True, timeout=3 * SECONDS, check=False, cwd=ROOT
    )
    assert made.returncode == 0, made.stdout[-4000:] + made.stderr[-4000:]
    return made.stdout.splitlines()[-1]


def test_a_study_killed_before_any_of_its_writes_ends_like_one_that_was_not() -> None:
    line = killed("--kills", "0", "--at-writes", "search", "--trials", "1")

    kills, _, faults = line.removeprefix("kills ").partition(": ")
    assert faults == "lost 0, doubled 0, orphaned 0, different 0"
    assert int(kills) > 25


def test_a_study_killed_at_random_instants_ends_like_one_that_was_not() -> None:
    line = killed("--kills", "4", "--trials", "3", "--seed", "1")

    assert line == "kills 4: lost 0, doubled 0, orphaned 0, different 0"


INTERRUPTED = """
import sys
from flows.cli import main, start

def interrupted():
    try:
        exec("raise KeyboardInterrupt")  # as dataclasses do
    except KeyboardInterrupt:
        return 130

main.main = interrupted
sys.exit(start.main())
"""


def test_an_interrupt_within_an_import_ends_with_130_and_not_by_a_signal(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(INTERRUPTED, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])

    made = subprocess.run(
        [sys.executable, "-m", "interrupted"], env={**os.environ, "PYTHONPATH": path}, check=False
    )

    assert made.returncode == 130


def test_no_signal_is_lost_and_a_server_that_is_killed_alone_changes_no_result() -> None:
    several = ("--signals", "3", "--server-kills", "1", "--only", "experiment")
    line = killed(*several, by="interrupt")

    counts, _, faults = line.partition("): ")
    assert counts.startswith("signals 3 (")
    assert faults == (
        "lost 0, stuck 0, wrong code 0, traceback 0, left open 0, not resumable 0, different 0"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_is_stopped_says_how_to_resume_and_leaves_nothing_running(
    number: signal.Signals, sample: tuple[Path, Path], config: Path, tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    place = ["--workspace", root]
    asked = ["study", "work", "stopped", "--plays", sample[0], "--config", config, *place]
    with workers(1, asked, os.environ) as (worker,):
        worker.training(n_done=2)
        worker.send(number)
        code, out, err = worker.end()

    n_done = same_study.ended(Workspace.at(root), "stopped")
    assert code == 130
    assert out == ""
    assert 2 <= n_done < 40
    assert f"recsys: interrupted; {n_done} of 40 trials done: {n_done} measured, best" in err
    assert f"recsys study resume stopped --workspace {root} resumes it" in err
    assert "Traceback" not in err
    assert same_study.orphans(Workspace.at(root)) == []


@pytest.fixture(scope="module")
def whole(
    sample: tuple[Path, Path], config: Path, tmp_path_factory: pytest.TempPathFactory
) -> Workspace:
    """With a study of two trials."""
    place = environment.place(tmp_path_factory.mktemp("whole") / "runs")
    asked = load_config(config, {"study.trials": 2})
    work(sample[0], asked, place, None, "tiny", [], through_prefect=False)
    return place


Damage = Callable[[Workspace], object]
OF_TRIAL_1 = "run_uuid in (select run_uuid from tags where key = 'trial' and value = '1')"


def in_mlflow(query: str) -> Damage:
    def damage(place: Workspace) -> None:
        with closing(sqlite3.connect(place.tracking_database)) as store, store:
            assert store.execute(query).rowcount > 0

    return damage


def in_trial_1(name: str, change: Callable[[Path], object]) -> Damage:
    def damage(place: Workspace) -> None:
        (run,) = [run for run in same_study.runs(place, "tiny") if run.subject == "trial 1"]
        change(Path(run.folder) / name)

    return damage


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Damage] = {
    "lost": in_trial_1("per_user.parquet", Path.unlink),
    "doubled": in_mlflow("update tags set value = '1' where key = 'trial'"),
    "orphaned": in_mlflow(f"update runs set status = 'RUNNING' where {OF_TRIAL_1}"),
    "different": in_trial_1("factors/item_factors.npy", flip),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_the_check_of_the_benchmark_finds_each_kind_of_damage(
    kind: str, whole: Workspace, tmp_path: Path
) -> None:
    copied = Workspace.at(Path(shutil.copytree(whole.root, tmp_path / "copied")))
    DAMAGES[kind](copied)

    assert kind in {found for found, _ in same_study.faults(copied, whole, "tiny")}
