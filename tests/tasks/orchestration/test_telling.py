import logging

import pytest

from tasks.orchestration import telling


def test_a_line_is_logged_inside_a_flow_run_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(telling, "get_run_logger", lambda: logging.getLogger("run"))

    telling.tell("outside")
    monkeypatch.setattr(telling.FlowRunContext, "get", classmethod(lambda cls: object()))
    telling.tell("als finds 0.3 ndcg@10")

    assert caplog.messages == ["als finds 0.3 ndcg@10"]
