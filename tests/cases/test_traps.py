"""Files of the current folder, and proxies, at deployments and interfaces (cases 05 and 07)."""

import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from recsys.sources.sample import make_sample, write_sample
from tests.flows.deployed import SECONDS, Site, free_port, until, webhook
from tests.flows.processes import ROOT

pytestmark = [pytest.mark.flow, pytest.mark.slow]

TRAPS = (
    *("sitecustomize", "usercustomize", "tasks", "flows", "recsys", "prefect", "mlflow", "optuna"),
    *(
        "numpy",
        "scipy",
        "pandas",
        "implicit",
        "uvicorn",
        "httpx",
        "json",
        "clock",
        "experiment",
        "yaml",
        "sqlalchemy",
        "fastapi",
        "bottle",
    ),
)
TRAP = "from pathlib import Path\n(Path({folder!r}) / {name!r}).touch()\nraise SystemExit(9)\n"
DEAD = "http://127.0.0.1:9"
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
DELETE = "prefect --no-prompt deployment delete --all"
REQUEST = {
    "plays": "mlruns/sample/plays.tsv",
    "profiles": None,
    "config": {
        "name": "small",
        "search": {"factors": 4, "iterations": 2},
        "study": {"trials": 1},
        "judge": {"resamples": 50},
    },
}


class Trapped(Site):
    """A folder of a user with prefect.yaml, no recsys of its own, and files that are no business
    of ours; where the shell has proxies that are not there.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        super().__init__(folder, home)
        self.caught = home / "imported"
        self.caught.mkdir()
        for name in ("flows", "tasks", "recsys", "prefect.yaml"):
            (folder / name).unlink()
        shutil.copy(ROOT / "prefect.yaml", folder)
        (folder / "flows").mkdir()
        shutil.copy(ROOT / "flows" / "automations.yaml", folder / "flows")
        for name in TRAPS:
            trap = TRAP.format(folder=str(self.caught), name=name)
            (folder / f"{name}.py").write_text(trap, encoding="utf-8")
        for name in ("PREFECT_API_URL", "PREFECT_HOME", "no_proxy", "NO_PROXY"):
            self.environment.pop(name, None)
        self.environment |= dict.fromkeys(PROXIES, DEAD)
        self.terminals = documented(self.port)

    def terminal(self, number: int, *begins: str) -> str:
        """What is typed into a terminal: its variables, and the lines that begin so."""
        lines = [each for each in self.terminals[number] if each.startswith(("export ", *begins))]
        return "\n".join(["set -e", *lines, ""])

    def process_of_a_run(self) -> int:
        """The process that a worker, or `serve-flows`, started for a run."""
        for each in Path("/proc").iterdir():
            with suppress(OSError):
                words = (each / "cmdline").read_bytes()
                ours = self.api.encode() in (each / "environ").read_bytes()
                if ours and (b"flows.engine" in words or b"spawn_main" in words):
                    return int(each.name)
        raise AssertionError("no run has a process")

    def ended(self, run: str) -> str:
        """The state in which a run ended, in capitals."""

        def found() -> str | None:
            state: str = self.ask(f"flow_runs/{run}")["state_type"]
            return state if state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

        return str(until(found))


def documented(port: int) -> list[list[str]]:
    """The commands that docs/operations.md has for each terminal, at another port."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    part = text.partition("## Start")[2].partition("\n## Serve")[0].replace("4200", str(port))
    part = part.replace("recsys ui --prefect ", f"recsys ui --prefect --port {port} ")
    blocks = ["", *re.findall(r"(?:^ {4}.*\n)+", part, re.MULTILINE)]
    return [[line.strip() for line in block.splitlines()] for block in blocks]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trapped]:
    """The first terminal of the document, in a folder full of traps."""
    made = Trapped(tmp_path_factory.mktemp("folder"), tmp_path_factory.mktemp("home"))
    write_sample(make_sample(300, 200, 0), made.workspace.sample_plays, made.logs / "profiles.tsv")
    command = made.terminal(1, "recsys ui").replace("recsys ui", "exec recsys ui")
    with made.running("sh", "-c", command, log="server") as said:
        until(lambda: str(made.port) in said.read_text(encoding="utf-8"))
        made.secret = made.workspace.prefect_secret.read_text(encoding="ascii").strip()
        yield made


@pytest.mark.parametrize("option", [" --pool", ""], ids=["worker", "serve-flows"])
def test_runs_of_deployments_import_nothing_of_the_folder_and_need_no_proxy(
    site: Trapped, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = site.terminal(2, "recsys serve-flows").replace(" --pool", option)
    command = command.replace("recsys serve-flows", "exec recsys serve-flows")
    with webhook() as (address, told):
        monkeypatch.setitem(site.environment, "RECSYS_WEBHOOK", address)
        with site.running("sh", "-c", command, log=f"worker{option}") as said:
            until(lambda: "retrain/retrain" in said.read_text(encoding="utf-8"))
            ended = site.ended(site.start("retrain/retrain", {"request": REQUEST}))
            killed = site.start("experiment/experiment", {**REQUEST, "config": {}})
            site.reached(killed, "RUNNING")
            os.kill(site.process_of_a_run(), signal.SIGKILL)
            message = told.get(timeout=SECONDS)  # its hooks are imported by the worker
        typed = site.terminal(3, "prefect deployment ls") + DELETE
        listed = site.run("sh", "-c", typed)

    assert ended == "COMPLETED", said.read_text(encoding="utf-8")
    assert (message["flow"], message["state"]) == ("experiment", "Crashed")
    assert "experiment/experiment" in listed
    assert [path.name for path in site.caught.iterdir()] == []


@pytest.mark.parametrize("option", ["", "--optuna"], ids=["MLflow", "Optuna"])
def test_interfaces_import_nothing_of_the_folder_and_need_no_proxy(
    site: Trapped, option: str
) -> None:
    port = free_port()
    with site.running("sh", "-c", f"exec recsys ui {option} --port {port}", log="ui") as said:
        until(lambda: str(port) in said.read_text(encoding="utf-8"))  # printed once it answers

    assert [path.name for path in site.caught.iterdir()] == []
