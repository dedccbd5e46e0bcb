from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import Flow, flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock

from flows import alerting, environment
from flows.alerting import ALERTS
from flows.compare import compare
from flows.experiment import experiment
from flows.retrain import retrain
from tasks.orchestration.server import Server
from tests.flows.deployed import webhook

pytestmark = pytest.mark.flow


@flow(name="bound to fail", flow_run_name="tried once", on_failure=ALERTS, on_crashed=ALERTS)
def bound_to_fail() -> None:
    raise ValueError("no luck")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Mapping[str, str | None]]]:
    every: list[tuple[str, Mapping[str, str | None]]] = []
    monkeypatch.setattr(alerting, "post", lambda address, message: every.append((address, message)))
    return every


def test_the_webhook_gets_a_failure(
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


def test_without_a_webhook_nothing_is_sent(
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


@pytest.fixture
def block(prefect: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A notification block on the server of the tests, and the messages that it has sent."""
    with webhook() as (address, messages):
        CustomWebhookNotificationBlock(
            name="recsys", url=address, json_data={"subject": "{{subject}}", "body": "{{body}}"}
        ).save("recsys", overwrite=True)
        monkeypatch.setenv(environment.NOTIFY, "custom-webhook/recsys")
        yield messages


def test_a_notification_block_gets_failures_in_place_of_the_webhook(
    block: Any,
    told: list[tuple[str, Mapping[str, str | None]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(environment.WEBHOOK, "http://127.0.0.1:9/secret")
    with pytest.raises(ValueError, match="no luck"):
        bound_to_fail()

    message = block.get_nowait()
    assert message["subject"] == "bound to fail: Failed"
    assert "no luck" in message["body"]
    assert told == []


def test_a_notification_block_gets_the_verdict_of_a_retraining(block: Any) -> None:
    @flow(name="a retraining", on_completion=[alerting.send_verdict])
    def retraining() -> Any:
        return SimpleNamespace(name="recsys", verdict="refused", reasons=("one", "two"))

    retraining()

    message = block.get_nowait()
    assert message["subject"] == "a retraining: recsys refused"
    assert message["body"].startswith("one\ntwo\n")
    assert alerting.send_verdict in retrain.on_completion_hooks


@pytest.mark.parametrize("name", ["custom-webhook/absent", "nonsense", "custom-webhook/gone"])
def test_without_its_block_a_failure_goes_to_the_webhook(
    prefect: Server,
    told: list[tuple[str, Mapping[str, str | None]]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    gone = CustomWebhookNotificationBlock(name="gone", url="http://127.0.0.1:9/")
    gone.save("gone", overwrite=True)
    monkeypatch.setenv(environment.NOTIFY, name)
    monkeypatch.setenv(environment.WEBHOOK, "http://127.0.0.1:9/secret")
    with pytest.raises(ValueError, match="no luck"):
        bound_to_fail()

    assert len(told) == 1


@pytest.mark.parametrize("deployed", [experiment, compare], ids=lambda each: each.name)
def test_deployed_flows_send_failures_and_crashes(deployed: Flow[..., Any]) -> None:
    assert alerting.alert in deployed.on_failure_hooks
    assert alerting.alert in deployed.on_crashed_hooks
