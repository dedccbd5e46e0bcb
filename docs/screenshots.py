"""Makes the pictures of docs/looks.md again.

python docs/screenshots.py

Runs an experiment on invented data in a new workspace, opens the pages in a headless Chromium and
writes docs/images/*.png, in few colours so that they are small. Takes three to four minutes.
"""

import base64
import io
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tasks.workspace.layout import Workspace  # noqa: E402
from tests.browser import Tab, found, tab  # noqa: E402

IMAGES = ROOT / "docs" / "images"
RECSYS = (sys.executable, "-m", "flows.cli.start")
STUDY = "first"
WIDTH, HEIGHT = 1400, 800
PHONE = 390, 844
COLOURS = 64
EXPAND = """(() => {
  const button = document.querySelector(".ag-root [data-component-id*=runnamecellrenderer]");
  button?.click();
  return Boolean(button);
})()"""
"""Show the runs of the study; true once that was possible."""
LOGIN = """localStorage.setItem("prefect-password", "LOGIN");
localStorage.setItem("prefect-show-promotional-content", "false");"""
TEXT = "document.body ? document.body.innerText : ''"
WAIT = 60.0  # seconds until a page shows its text,
DRAWING = 4.0  # and from one look at its pictures to the next, which no longer differs: these
LOOKS = 8  # pages do not say when they are done, and some move for ever


def main() -> None:
    """Make them all."""
    if found() is None:
        sys.exit("no Chromium is installed")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        here = ("--workspace", str(place / "mlruns"))
        run("sample", str(place / "sample"), *here)
        plays, profiles = place / "sample" / "plays.tsv", place / "sample" / "profiles.tsv"
        data = ("--plays", str(plays), "--profiles", str(profiles))
        run("experiment", *data, "--trials", "20", "--study", STUDY, *here)
        run("report", STUDY, "--out", str(place / "report.html"), *here)
        with tab(place / "browser") as page:
            page.open(place / "report.html", WIDTH, "light")
            page.value("document.querySelector('#comparison').scrollIntoView()")
            shoot(page, "report")
            page.open(place / "report.html", 390, "dark")
            page.value("document.querySelector('#comparison').scrollIntoView()")
            shoot(page, "report-phone")
            with interface(*here) as address:
                look(page, address, "ndcg_at_10", "mlflow", EXPAND)
            with interface("--optuna", *here) as address:
                look(page, f"{address}/dashboard/studies/0", "Hyperparameter", "optuna")
            with interface("--prefect", *here) as address:
                look_at_prefect(page, address, Workspace.at(place / "mlruns").prefect_secret)


def run(*words: str) -> None:
    """A command."""
    print("recsys", *words[:1], flush=True)
    subprocess.run([*RECSYS, *words], cwd=ROOT, check=True, capture_output=True)


@contextmanager
def interface(*words: str) -> Iterator[str]:
    """Pages that `recsys ui` serves, at the address it prints."""
    command: Sequence[str] = [*RECSYS, "ui", "--port", str(_free_port()), *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        match = re.match(r"http\S+", process.stdout.readline())
        assert match is not None
        yield match[0]
    finally:
        process.terminate()
        process.wait()


def look_at_prefect(page: Tab, address: str, secret: Path) -> None:
    """Take pictures of the run of the experiment and of its leaderboard."""
    login = base64.b64encode(secret.read_text(encoding="utf-8").strip().encode()).decode()
    page.call("Page.addScriptToEvaluateOnNewDocument", source=LOGIN.replace("LOGIN", login))
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}
    request = urllib.request.Request(f"{address}/api/artifacts/filter", b"{}", headers)
    with urllib.request.urlopen(request) as answer:
        artifacts = {each["key"]: each for each in json.load(answer)}
    board = artifacts[f"leaderboard-{STUDY}"]
    run = f"{address}/runs/flow-run/{board['flow_run_id']}"
    look(page, run, "Artifacts", "prefect")
    table = f"{address}/artifacts/artifact/{board['id']}"
    look(page, table, "ndcg@10", "prefect-leaderboard")
    look(page, table, "ndcg@10", "prefect-phone", size=PHONE)


def look(
    page: Tab,
    address: str,
    text: str,
    name: str,
    script: str = "true",
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> None:
    """Take a picture of a page once it shows a text and a script is true."""
    light = [{"name": "prefers-color-scheme", "value": "light"}]
    page.call("Emulation.setEmulatedMedia", features=light)
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=size[0],
        height=size[1],
        deviceScaleFactor=1,
        mobile=size == PHONE,
    )
    page.call("Page.navigate", url=address)
    wait_for(page, f"({TEXT}).includes({json.dumps(text)})", f"{address} with {text!r}")
    wait_for(page, script, f"what {name}.png shows, on {address}")
    before = ""
    for _ in range(LOOKS):
        time.sleep(DRAWING)
        now = picture(page)
        if now == before:
            break
        before = now
    shoot(page, name)


def wait_for(page: Tab, script: str, what: str) -> None:
    """Run a script until it is true."""
    end = time.monotonic() + WAIT
    while not page.value(script):
        if time.monotonic() > end:
            sys.exit(f"no {what} after {WAIT:.0f} s; no picture is taken")
        time.sleep(0.5)


def shoot(page: Tab, name: str) -> None:
    """Write what the page shows."""
    image = Image.open(io.BytesIO(base64.b64decode(picture(page)))).convert("RGB")
    path = IMAGES / f"{name}.png"
    image.quantize(COLOURS).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e3:.0f} kB", flush=True)


def picture(page: Tab) -> str:
    """What the page shows: a PNG in base64."""
    return str(page.call("Page.captureScreenshot", format="png")["data"])


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    main()
