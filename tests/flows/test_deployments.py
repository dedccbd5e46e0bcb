"""prefect.yaml: what it deploys, and that it runs, with a worker and without."""

import json
import os
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from flows import deploying, environment
from flows.alerting import alert
from flows.cli import retrain
from recsys.config import ExperimentConfig, changed, load_config
from recsys.sources.sample import make_sample, write_sample
from tasks.serving.published import open_store
from tasks.tracking.client import open_client
from tasks.tracking.registry import champion
from tasks.workspace.layout import Workspace
from tests.flows.deployed import PREFECT, SECONDS, Site, until, webhook
from tests.flows.processes import RECSYS, ROOT

ENTRIES = {each["name"]: each for each in deploying.deployment_specs(ROOT / "prefect.yaml")}
SMALL = {
    "name": "small",
    "search": {"factors": [4, 8], "iterations": [2, 3]},
    "study": {"sampler": "tpe", "trials": 2},
    "judge": {"resamples": 50},
}


def flow_of(name: str) -> Flow[..., Any]:
    return load_flow_from_entrypoint(ENTRIES[name]["entrypoint"])


def test_the_deployments_are_the_flows_of_recsys() -> None:
    assert list(ENTRIES) == ["experiment", "compare", "retrain", "publish"]
    assert {name: flow_of(name).name for name in ENTRIES} == {name: name for name in ENTRIES}


@pytest.mark.parametrize("name", ENTRIES)
def test_parameters_of_a_deployment_are_those_of_its_flow(name: str) -> None:
    flow_of(name).validate_parameters(ENTRIES[name]["parameters"])

    assert ENTRIES[name]["enforce_parameter_schema"] is True


@pytest.mark.parametrize("name", ENTRIES)
def test_the_form_knows_the_type_of_every_field(name: str) -> None:
    schema = parameter_schema(flow_of(name)).model_dump()
    objects = {"parameters": schema, **schema["definitions"]}
    untyped = [
        f"{owner}.{field}"
        for owner, each in objects.items()
        for field, described in each.get("properties", {}).items()
        if not {"type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"} & described.keys()
    ]

    assert untyped == []


@pytest.mark.parametrize("name", ENTRIES)
def test_every_field_of_the_form_has_help_and_a_place(name: str) -> None:
    schema = parameter_schema(flow_of(name)).model_dump()
    objects = {"parameters": schema, **schema["definitions"]}
    fields = {owner: each.get("properties", {}) for owner, each in objects.items()}
    silent = [
        f"{owner}.{field}"
        for owner, every in fields.items()
        for field, described in every.items()
        if not described.get("description", "").endswith((".", ")"))
    ]
    places = {
        owner: [each.get("position") for each in every.values()] for owner, every in fields.items()
    }

    assert silent == []
    assert places == {owner: list(range(len(every))) for owner, every in fields.items()}


def test_deployments_have_the_default_configuration() -> None:
    default = load_config(ROOT / "flows" / "configs" / "default.toml")
    deployed = {
        "experiment": (ENTRIES["experiment"]["parameters"], default),
        "compare": (ENTRIES["compare"]["parameters"]["request"], default),
        "retrain": (
            ENTRIES["retrain"]["parameters"]["request"],
            changed(default, {"study.trials": retrain.TRIALS}),
        ),
    }

    for parameters, config in deployed.values():
        assert ExperimentConfig.model_validate(parameters["config"]) == config


@pytest.mark.parametrize("name", ["retrain", "publish"])
def test_scheduled_runs_never_overlap(name: str) -> None:
    assert ENTRIES[name]["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


@pytest.mark.parametrize("name", ENTRIES)
def test_deployed_flows_report_failures_and_crashes(name: str) -> None:
    assert alert in flow_of(name).on_failure_hooks
    assert alert in flow_of(name).on_crashed_hooks


def test_a_run_is_missed_after_three_heartbeats() -> None:
    import yaml

    (automation,) = yaml.safe_load(deploying.AUTOMATIONS.read_text("utf-8"))["automations"]
    settings = deploying.job_environment(list(ENTRIES.values()))

    assert automation["trigger"]["within"] == 3 * int(settings["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
    assert automation["name"] in (ROOT / "docker" / "deploy.sh").read_text(encoding="utf-8")


def test_runs_of_deployments_send_no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = deploying.job_environment(list(ENTRIES.values()))
    for name in settings:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(environment.os, "environ", {})
    environment.prepare(Workspace.at(Path("mlruns")))
    prepared = environment.os.environ

    assert {n: v for n, v in settings.items() if prepared.get(n, v) != v} == {}
    assert settings["DO_NOT_TRACK"] == "1"
    assert settings["MLFLOW_DISABLE_TELEMETRY"] == "true"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with everything deployed, and a sample where prefect.yaml looks for one."""
    made = Site(tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("home"))
    server = (*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(made.port))
    with made.running(*server, log="server"):
        plays, profiles = made.workspace.sample_plays, made.workspace.sample_profiles
        write_sample(make_sample(300, 200, 0), plays, profiles)
        until(lambda: made.ask("health"))
        for words in (
            ("work-pool", "create", "--type", "process", "recsys"),
            ("--no-prompt", "deploy", "--all"),
        ):
            made.run(*PREFECT, *words)
        yield made


@pytest.mark.flow
@pytest.mark.slow
def test_requested_and_scheduled_runs_finish_and_the_webhook_gets_a_killed_run(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = {"config": SMALL, "study": "pooled"}
    worker = (*PREFECT, "worker", "start", "--pool", "recsys", "--type", "process")
    minute = ("schedule", "create", "retrain/retrain", "--cron", "* * * * *", "--timezone", "UTC")
    with webhook() as (address, told):
        monkeypatch.setitem(site.environment, environment.WEBHOOK, address)
        with site.running(*worker, log="worker"):
            site.run(*PREFECT, "deployment", "run", "retrain/retrain", "--watch")
            serving = champion(site.workspace)
            site.run(*PREFECT, "deployment", *minute)
            killed = site.start("experiment/experiment", parameters)
            os.kill(int(site.reached(killed, "RUNNING")["infrastructure_pid"]), signal.SIGKILL)
            message = told.get(timeout=SECONDS)
            site.reached(killed, "CRASHED")
            run = ("deployment", "run", "experiment/experiment", "--params", json.dumps(parameters))
            said = site.run(*PREFECT, *run, "--watch")
            fired = until(lambda: [each for each in retrained(site) if each["auto_scheduled"]])[0]
            site.run(*PREFECT, "deployment", "schedule", "clear", "-y", "retrain/retrain")

    assert (message["flow"], message["state"]) == ("experiment", "Crashed")
    assert "SIGKILL" in message["message"]
    assert message["url"].endswith(killed)
    assert "Completed" in said
    assert finished(site, "tags.study = 'pooled' and tags.stage = 'study'")
    assert told.empty()
    assert at(fired).second == 0
    (decided,) = finished(site, "tags.stage = 'retrain'")  # the schedule found the same plays
    assert serving is not None
    assert serving == champion(site.workspace)
    assert open_client(site.workspace).get_run(decided).data.tags["challenger"] == serving.run
    shelf = open_store(f"sqlite:///{site.workspace.published}").read()
    assert shelf is not None
    assert shelf.version == str(serving.number)


@pytest.mark.flow
@pytest.mark.slow
def test_an_input_error_is_one_failed_line(site: Site) -> None:
    worker = (*PREFECT, "worker", "start", "--pool", "recsys", "--type", "process")
    with site.running(*worker, log="failing") as printed:
        started = site.start("experiment/experiment", {"config": SMALL, "plays": "/nowhere/x.tsv"})
        run = site.reached(started, "FAILED")
        until(lambda: "Failed('Flow run" in printed.read_text(encoding="utf-8"))
    chosen = {"logs": {"flow_run_id": {"any_": [started]}, "level": {"ge_": 40}}}
    lines = [each["message"] for each in site.ask("logs/filter", chosen)]

    assert lines == ["/nowhere/x.tsv does not exist; give the path of an existing file"]
    assert run["name"].startswith("experiment small-")
    assert "InputError: /nowhere/x.tsv does not exist" in run["state"]["message"]
    assert "Traceback" not in printed.read_text(encoding="utf-8")


@pytest.mark.flow
@pytest.mark.slow
def test_schedules_create_runs_at_their_times(site: Site) -> None:
    site.run(*PREFECT, "--no-prompt", "deploy", "--name", "retrain")
    weekly = until(lambda: site.scheduled("retrain"))
    create = ("deployment", "schedule", "create", "experiment/experiment")
    site.run(*PREFECT, *create, "--cron", "* * * * *", "--timezone", "UTC")
    minutes = [at(run) for run in until(lambda: site.scheduled("experiment"))[:3]]

    assert {(at(run).weekday(), at(run).hour, at(run).minute) for run in weekly} == {(0, 3, 0)}
    assert [later - earlier for earlier, later in pairwise(minutes)] == [timedelta(minutes=1)] * 2


@pytest.mark.flow
@pytest.mark.slow
def test_serve_flows_runs_a_retraining_without_a_pool_until_it_is_terminated(
    site: Site,
) -> None:
    with pytest.raises(AssertionError, match="experiment/experiment belongs to work pool recsys"):
        site.run(*RECSYS, "serve-flows")
    site.run(*PREFECT, "--no-prompt", "deployment", "delete", "--all")
    before = len(finished(site, "tags.stage = 'retrain'"))
    request = {"plays": "mlruns/sample/plays.tsv", "profiles": None, "config": SMALL}
    parameters = json.dumps({"request": request})
    with site.running(*RECSYS, "serve-flows", log="serving") as said:
        until(lambda: "retrain/retrain" in said.read_text(encoding="utf-8"))
        run = ("deployment", "run", "retrain/retrain", "--params", parameters, "--watch")
        site.run(*PREFECT, *run)
        served = site.ask("deployments/name/retrain/retrain")["paused"]

    assert len(finished(site, "tags.stage = 'retrain'")) == before + 1
    assert "recsys-crash-silent-runs" in [e["name"] for e in site.ask("automations/filter", {})]
    assert (served, site.ask("deployments/name/retrain/retrain")["paused"]) == (False, True)


def retrained(site: Site) -> list[dict[str, Any]]:
    return site.those("retrain", "COMPLETED")


def at(run: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(run["expected_start_time"])


def finished(site: Site, which: str) -> list[str]:
    client = open_client(site.workspace)
    every = [each.experiment_id for each in client.search_experiments()]
    return [
        run.info.run_id for run in client.search_runs(every, which) if run.info.status == "FINISHED"
    ]
