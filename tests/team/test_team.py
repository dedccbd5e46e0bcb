"""Everything that `make up` starts, and two workers on a study, without Docker: see engine.py."""

import json
import re
import secrets
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from recsys.sources.sample import make_sample, write_sample
from tests.conftest import postgres_server
from tests.team.engine import DATABASES, Engine, Postgres, Running, engine, free_port

pytestmark = pytest.mark.postgres

STUDY, TRIALS, WORKERS = "shared", 6, 2
CONFIG = """
name = "tiny"
[search]
factors = { low = 2, high = 8 }
iterations = { low = 1, high = 3 }
alpha = { low = 0.5, high = 5.0 }
[study]
pruner = "none"
[judge]
resamples = 50
"""


@dataclass(frozen=True)
class Team:
    """What was started, and what became of it."""

    engine: Engine
    artifacts: Path
    deployed: str
    workers: list[str]
    admin: str
    password: str

    def ask(
        self,
        service: str,
        path: str,
        about: Any = None,
        *,
        member: bool = True,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[int, bytes]:
        """Status and body of an answer; `about` is posted."""
        account = f"admin:{self.admin}" if service == "mlflow" else f"recsys:{self.password}"
        login = b64encode(account.encode()).decode()
        known = {"Authorization": f"Basic {login}"} if member else {}
        request = urllib.request.Request(
            f"{self.engine.address(service)}{path}",
            None if about is None else json.dumps(about).encode(),
            {"Content-Type": "application/json", **known, **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return int(answer.status), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def told(self, service: str, path: str, about: Any = None) -> Any:
        """The object in a good answer."""
        status, body = self.ask(service, path, about)
        assert status == 200, body
        return json.loads(body)

    def runs(self) -> list[Any]:
        """Every run that MLflow knows."""
        mlflow = "/api/2.0/mlflow"
        found = self.told("mlflow", f"{mlflow}/experiments/search", {"max_results": 50})
        ids = [each["experiment_id"] for each in found["experiments"]]
        asked = {"experiment_ids": ids, "max_results": 100}
        runs: list[Any] = self.told("mlflow", f"{mlflow}/runs/search", asked)["runs"]
        return runs

    def trials(self) -> dict[str, Any]:
        """The run of each trial that was measured to its end; no trial has two."""
        found: dict[str, Any] = {}
        for run in self.runs():
            tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
            if "trial" in tags and run["info"]["status"] == "FINISHED":
                assert found.setdefault(tags["trial"], run) is run
        return found


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL whose databases of this test are removed with it."""
    found = Postgres(postgres_server(), f"recsys_{uuid4().hex[:12]}")
    yield found
    with psycopg.connect(found.url, autocommit=True) as admin:
        for name in map(sql.Identifier, map(found.own, DATABASES)):
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        role = sql.Identifier(found.own("studies"))
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Team]:
    """The team, when its study is done."""
    folder = tmp_path_factory.mktemp("team")
    admin, password = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    variables = {
        "POSTGRES_PASSWORD": postgres.password,
        "STUDIES_PASSWORD": secrets.token_urlsafe(24) + "'@:/?#%",
        "PREFECT_PASSWORD": password,
        "PREFECT_HOSTS": "prefect.example.org",
        "MLFLOW_HOSTS": "mlflow.example.org",
        "MLFLOW_ADMIN_PASSWORD": admin,
        "MLFLOW_SECRET_KEY": secrets.token_urlsafe(24),
        "MLFLOW_AUTH": "1",
        "MLFLOW_PORT": free_port(),
        "PREFECT_PORT": free_port(),
        "ARTIFACTS": str(folder / "artifacts"),
        "STUDY": STUDY,
        "WORK": asked_of_workers(folder),
    }
    with engine(folder, postgres, variables) as running:
        deployed, workers = working(running)
        yield Team(running, folder / "artifacts", deployed, workers, admin, password)


def asked_of_workers(folder: Path) -> str:
    plays, config = folder / "plays.tsv", folder / "tiny.toml"
    write_sample(make_sample(300, 200, 0), plays, folder / "profiles.tsv")
    config.write_text(CONFIG, encoding="utf-8")
    return f"--plays {plays} --config {config} --trials {TRIALS}"


def working(running: Engine) -> tuple[str, list[str]]:
    """Start everything in the order of its dependencies; what `deploy` and the workers said."""
    running.finish("init")
    servers = {name: running.start(name) for name in ("prefect", "mlflow")}
    for name, process in servers.items():
        running.until_healthy(name, process)
    joined = [running.start("worker") for _ in range(WORKERS)]
    deployed = running.finish("deploy")
    running.until_healthy("runner", running.start("runner"))
    return deployed, [ended_well(worker) for worker in joined]


def ended_well(worker: Running) -> str:
    assert worker.ended() == 0, worker.said
    return worker.said


def test_workers_do_each_trial_of_a_study_once(team: Team) -> None:
    said = f"{TRIALS} of {TRIALS} trials done"

    assert sorted(team.trials()) == [str(number) for number in range(TRIALS)]
    assert [said in worker for worker in team.workers] == [True] * WORKERS


def test_nothing_is_left_running_in_mlflow(team: Team) -> None:
    [study] = [run for run in team.runs() if run["info"]["run_name"] == STUDY]

    assert study["info"]["status"] == "FINISHED"
    assert {run["info"]["status"] for run in team.runs()} <= {"FINISHED", "KILLED"}


def test_metrics_and_files_of_trials_went_through_the_server(team: Team) -> None:
    for run in team.trials().values():
        at = run["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
        kept = next(path for path in (team.artifacts / at).rglob("*") if path.is_file())
        name = kept.relative_to(team.artifacts)
        answer = team.ask("mlflow", f"/api/2.0/mlflow-artifacts/artifacts/{name}")

        assert "validation/ndcg_at_10" in {metric["key"] for metric in run["data"]["metrics"]}
        assert run["info"]["artifact_uri"].startswith("mlflow-artifacts:/")
        assert answer == (200, kept.read_bytes())


def test_workers_are_to_be_seen_in_prefect(team: Team) -> None:
    runs = team.told("prefect", "/api/flow_runs/filter", {})
    names = [run["name"] for run in runs if run["state_type"] == "COMPLETED"]

    assert names == [f"work on {STUDY}"] * WORKERS


def test_the_runner_waits_for_work_in_the_pool(team: Team) -> None:
    pool = team.told("prefect", "/api/work_pools/recsys")
    workers = team.told("prefect", "/api/work_pools/recsys/workers/filter", {})

    assert (pool["type"], pool["status"]) == ("process", "READY")
    assert [worker["status"] for worker in workers] == ["ONLINE"]
    assert "recsys" in team.deployed


def test_init_again_keeps_what_is_there(team: Team) -> None:
    before = len(team.runs())
    said = team.engine.finish("init")

    assert "optuna storage upgrade" in said  # there are studies now, whose tables it looks after
    assert len(team.runs()) == before
    assert team.told("prefect", "/api/work_pools/recsys")["type"] == "process"


SERVERS = {
    "mlflow": "/api/2.0/mlflow/experiments/get?experiment_id=0",
    "prefect": "/api/work_pools/recsys",
}


@pytest.mark.parametrize("service", SERVERS)
def test_servers_answer_under_the_names_they_have_for_others(team: Team, service: str) -> None:
    port = team.engine.address(service).rpartition(":")[2]
    inside = {"mlflow": "mlflow:5000", "prefect": "prefect:4200"}[service]
    public = f"{service}.example.org"  # what a proxy with TLS in front of it passes on
    asked = [{"Host": host} for host in (inside, f"localhost:{port}", f"127.0.0.1:{port}", public)]
    asked.append({"Host": public, "Origin": f"https://{public}"})

    assert [team.ask(service, SERVERS[service], headers=each)[0] for each in asked] == [200] * 5


@pytest.mark.parametrize("service", SERVERS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:5000"},
        {"Host": "mlflow.evil.example:5000"},
        {"Host": "prefect.example.org.evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"},
    ],
    ids=lambda headers: " ".join(map(": ".join, headers.items())),
)
def test_servers_refuse_other_names_and_the_pages_of_other_sites(
    team: Team, service: str, headers: dict[str, str]
) -> None:
    """Also with the login, which a browser may send by itself."""
    before = len(team.told("prefect", "/api/deployments/filter", {}))
    asked = team.ask(service, SERVERS[service], headers=headers)
    posted = team.ask(service, "/api/deployments/", {"name": "evil"}, headers=headers)
    health = team.ask(service, "/health", headers=headers)

    assert [status for status, _ in (asked, posted, health)] == [403, 403, 403]
    assert len(team.told("prefect", "/api/deployments/filter", {})) == before


@pytest.mark.parametrize("path", ["/api/deployments/filter", "/api/work_pools/filter"])
def test_prefect_needs_the_password(team: Team, path: str) -> None:
    assert team.ask("prefect", path, {}, member=False)[0] == 401


def test_the_admin_makes_accounts(team: Team) -> None:
    assert team.ask("mlflow", "/signup")[0] == 200
    assert team.ask("mlflow", "/signup", member=False)[0] == 401


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/2.0/mlflow/experiments/get?experiment_id=0",
        "/api/2.0/mlflow-artifacts/artifacts?path=1",
    ],
)
def test_mlflow_needs_a_password(team: Team, path: str) -> None:
    assert team.ask("mlflow", path, member=False)[0] == 401


def test_workers_can_read_no_database_but_that_of_studies(team: Team, postgres: Postgres) -> None:
    worker = team.engine.environment(team.engine.service("worker"))
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    login: dict[str, Any] = {name: worker[variable] for name, variable in names.items()}
    with psycopg.connect(**login, dbname=worker["PGDATABASE"]) as connection:
        row = connection.execute("SELECT usesuper FROM pg_user WHERE usename = user").fetchone()

    assert row == (False,)
    for name in ("mlflow", "prefect"):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(**login, dbname=postgres.own(name))


def test_prefect_tells_its_page_where_it_is_and_the_page_may_ask(team: Team) -> None:
    page = team.engine.address("prefect")
    settings = team.told("prefect", "/ui-settings")
    own = (page, page.replace("127.0.0.1", "localhost"))

    assert settings["api_url"] == f"{page}/api"
    assert [_allowed(f"{page}/api/health", origin) for origin in own] == [True, True]


def _allowed(url: str, origin: str) -> bool:
    request = urllib.request.Request(url, headers={"Origin": origin})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bool(answer.headers.get("Access-Control-Allow-Origin") == origin)


def test_no_password_is_among_the_arguments_or_in_what_is_said(team: Team) -> None:
    said = "".join([team.deployed, *team.workers, *team.engine.said()])

    assert team.admin not in said
    assert team.password not in said
    assert not re.search(r"postgres(ql)?(\+\w+)?://[^\s/]*:[^\s/*]+@", said)
