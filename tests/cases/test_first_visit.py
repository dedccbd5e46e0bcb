"""What a browser shows that opens MLflow for the first time."""

from pathlib import Path

import pytest

from tests import browser
from tests.cases.test_attacks import interface

pytestmark = pytest.mark.slow

BUTTON = """(async () => {
  const end = performance.now() + 60000;
  const button = () => document.querySelector("[data-assistant-ui] .assistant-fab-label");
  while (!button() && performance.now() < end) await new Promise(requestAnimationFrame);
  return Boolean(button());
})()"""
"""Whether the button of the assistant is there: MLflow hides it while the panel is open."""


@pytest.mark.skipif(browser.found() is None, reason="no Chromium is installed")
def test_the_panel_of_the_assistant_is_shut_and_its_button_is_there(tmp_path: Path) -> None:
    with interface(tmp_path / "runs", ("ui",)) as port, browser.tab(tmp_path / "home") as page:
        page.call("Page.navigate", url=f"http://127.0.0.1:{port}/#/experiments")

        assert page.value(BUTTON)
