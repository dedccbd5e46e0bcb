from collections.abc import Mapping
from typing import Any

import pytest
from prefect import Flow, flow

from flows import alerting, environment
from flows.alerting import ALERTS
from flows.compare import compare
from flows.experiment import experiment
from tasks.orchestration.server import Server

pytestmark = pytest.mark.flow


@flow(name="bound to fail", flow_run_name="tried once", on_failure=ALERTS, on_crashed=ALERTS)
def bound_to_fail() -> None:
    raise ValueError("no luck")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Mapping[str, str | None]]]:
    every: list[tuple[str, Mapping[str, str | None]]] = []
    monkeypatch.setattr(alerting, "post", lambda address, message: every.append((address, message)))
    return every


def test_the_webhook_hears_of_a_flow_that_failed(
    prefect: Server,
    told: list[tuple[str, Mapping[str, str | None]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(environment.WEBHOOK, "http://127.0.0.1:9/secret")
    with pytest.raises(ValueError, match="no luck"):
        bound_to_fail()
    ((address, message),) = told

    assert address == "http://127.0.0.1:9/secret"
    assert message["flow"] == "bound to fail"
    assert message["run"] == "tried once"
    assert message["state"] == "Failed"
    assert "no luck" in str(message["message"])
    assert str(message["url"]).startswith(f"http://127.0.0.1:{prefect.port}/")


def test_without_a_webhook_nobody_is_told(
    prefect: Server,
    told: list[tuple[str, Mapping[str, str | None]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(environment.WEBHOOK, raising=False)
    with pytest.raises(ValueError, match="no luck"):
        bound_to_fail()

    assert told == []


@pytest.mark.parametrize("error", [OSError("nobody there"), ValueError("no address")])
def test_a_webhook_that_fails_changes_nothing(
    prefect: Server, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(address: str, message: object) -> None:
        raise error

    monkeypatch.setattr(alerting, "post", refuse)
    monkeypatch.setenv(environment.WEBHOOK, "http://127.0.0.1:9/secret")
    state = bound_to_fail(return_state=True)

    assert state.is_failed()
    assert "no luck" in str(state.message)


@pytest.mark.parametrize("deployed", [experiment, compare], ids=lambda each: each.name)
def test_what_is_deployed_tells_of_failures_and_crashes(deployed: Flow[..., Any]) -> None:
    assert alerting.alert in deployed.on_failure_hooks
    assert alerting.alert in deployed.on_crashed_hooks
