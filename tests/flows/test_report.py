"""`recsys report` on real runs: of a study, of a comparison, of what an earlier version left."""

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli.main import main
from flows.compare import CompareRequest, CompareResult, compare
from flows.result import Result
from recsys.config import ExperimentConfig
from tests import browser
from tests.flows.conftest import Lab, quick
from tests.flows.recorded import artifact

pytestmark = [pytest.mark.flow, pytest.mark.slow]

EVERY = {
    *("answer", "data", "split", "comparison", "cutoffs", "convergence", "sensitivity"),
    *("trials", "tradeoff", "exposure", "groups", "users", "similar", "map", "again"),
}
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"
EMPTY = """[...document.querySelectorAll(".plot")]
  .filter((each) => !each.querySelector(".point, .bars path, .contour, .js-line"))
  .map((each) => each.ariaLabel)"""
COVERED = """[...document.querySelectorAll("[data-figure]")].filter((each) => {
  const legend = each.querySelector(".legend")?.getBoundingClientRect();
  return legend && legend.bottom > each.getBoundingClientRect().top + each._fullLayout._size.t;
}).map((each) => each.ariaLabel)"""
"""Pictures that a legend lies on."""
TURNED = """(async () => {
  const frame = () => new Promise(requestAnimationFrame);
  const holder = document.querySelector("[data-figure]");
  const fits = () => Math.abs((holder._fullLayout?.width ?? 0) - holder.clientWidth) < 1;
  const end = performance.now() + 60000;
  while (!fits() && performance.now() < end) await frame();
  return fits();
})()"""
"""Whether the first picture takes all the room that a turned phone has."""
LOOKUP = """(() => {
  const form = document.querySelector(".lookup");
  const look = (id) => {
    form.querySelector("input").value = id;
    form.querySelector("button").click();
    return document.querySelector(".found").innerText;
  };
  const data = JSON.parse(document.getElementById(form.dataset.lookup).textContent);
  return [look(data.users.at(-1)[0]), look("<i>nobody</i>"), data.users.at(-1)];
})()"""


@pytest.fixture(scope="module")
def compared(lab: Lab) -> CompareResult:
    config = quick(study={"trials": 2, "sampler": "random"})
    request = CompareRequest(
        lab.plays, lab.profiles, config, ("popularity-users", "als"), 2, False, "looked-at"
    )
    return compare(request, lab.workspace.root)


def report(lab: Lab, name: str, out: Path) -> str:
    words = ["report", name, "-o", str(out), "--workspace", str(lab.workspace.root), "--quiet"]
    assert main(words) == 0
    return out.read_text(encoding="utf-8")


def sections(html: str) -> set[str]:
    return set(re.findall(r'<section id="([^"]+)"', html))


def test_the_command_writes_what_the_experiment_attached(
    lab: Lab, first: Result, tmp_path: Path
) -> None:
    attached = artifact(lab, first.runs["study"], "report.html").read_text(encoding="utf-8")

    by_study = report(lab, first.study, tmp_path / "new" / "study.html")
    by_run = report(lab, first.runs["final"], tmp_path / "run.html")

    assert by_study == by_run == attached
    assert sections(attached) >= EVERY


def test_the_settings_in_a_report_are_those_of_the_study(lab: Lab, first: Result) -> None:
    html = artifact(lab, first.runs["study"], "report.html").read_text(encoding="utf-8")

    (code,) = re.findall(r"<code>(name = .*?)</code>", html, flags=re.DOTALL)
    text = code.replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">")
    assert ExperimentConfig.model_validate(tomllib.loads(text)) == first.config


def test_a_run_of_an_earlier_version_has_fewer_sections_and_no_error(
    lab: Lab, first: Result, tmp_path: Path
) -> None:
    study, final = (artifact(lab, first.runs[each], ".") for each in ("study", "final"))
    gone = [study / "report", study / "search" / "importance.json", final / "similar.json"]
    gone += [final / "factors", final / "lists.npz"]
    kept = tmp_path / "kept"
    kept.mkdir()
    for each in gone:
        each.rename(kept / each.name)
    try:
        html = report(lab, first.study, tmp_path / "old.html")
    finally:
        for each in gone:
            shutil.move(kept / each.name, each)

    # The map is then one of the training data, as for models without factors of items.
    assert EVERY - sections(html) == {"users", "similar"}


def test_a_report_of_a_comparison_is_attached_and_written_again(
    lab: Lab, compared: CompareResult, tmp_path: Path
) -> None:
    attached = artifact(lab, compared.run, "report.html").read_text(encoding="utf-8")

    assert report(lab, "looked-at", tmp_path / "a.html") == attached
    assert report(lab, compared.run, tmp_path / "b.html") == attached
    parts = {"answer", "models", "tradeoff", "groups", "splits", "cost", "again"}
    assert sections(attached) == parts
    best = compared.comparison.models[0]
    assert f"{best} is best with" in attached


@pytest.mark.parametrize("name", ["nothing", "0" * 32])
def test_a_name_of_nothing_is_one_line(
    lab: Lab, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", name, "-o", str(tmp_path / "x.html"), "--workspace", str(lab.workspace.root)]

    assert main(words) == 2

    (line,) = capsys.readouterr().err.strip().splitlines()
    assert name in line
    assert not (tmp_path / "x.html").exists()


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Tab]:
    if browser.found() is None:
        pytest.skip("no Chromium is installed, which the page is looked at with")
    with browser.tab(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
)
def test_a_browser_shows_every_picture_and_asks_for_nothing(
    lab: Lab, first: Result, compared: CompareResult, tab: browser.Tab, width: int, scheme: str
) -> None:
    for run in (first.runs["study"], compared.run):
        page = artifact(lab, run, "report.html")
        tab.open(page, width, scheme)

        assert tab.value("document.querySelectorAll('.plot').length") > 5
        assert tab.value(EMPTY) == []
        assert tab.value(OVERFLOW) <= 0
        assert tab.requests == [page.as_uri()]
        assert tab.faults == []


def test_no_legend_lies_on_its_picture_when_a_phone_prints_or_is_turned(
    lab: Lab, first: Result, compared: CompareResult, tab: browser.Tab
) -> None:
    for run in (first.runs["study"], compared.run):
        tab.open(artifact(lab, run, "report.html"), 390, "light")
        assert tab.value(COVERED) == []

        tab.value("dispatchEvent(new Event('beforeprint'))")
        assert tab.value(COVERED) == []
        tab.value("dispatchEvent(new Event('afterprint'))")

        tab.value("scrollTo(0, 0)")
        turned = {"width": 844, "height": 8000, "deviceScaleFactor": 1, "mobile": True}
        tab.call("Emulation.setDeviceMetricsOverride", **turned)
        assert tab.value(TURNED)
        assert tab.value(COVERED) == []


def test_a_user_is_looked_up_by_id_and_foreign_text_stays_text(
    lab: Lab, first: Result, tab: browser.Tab
) -> None:
    tab.open(artifact(lab, first.runs["study"], "report.html"), 1280, "light")

    known, unknown, user = tab.value(LOOKUP)

    assert f"listener {user[0]}" in known
    assert "popularity-users" in known
    assert "als" in known
    assert json.dumps(unknown).endswith(': <i>nobody</i>"')
