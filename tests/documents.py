"""Commands of a document with their output: run them, compare, write them again.

    python -m tests.documents docs/tutorial.md      run the commands and write what they print

A document has them in blocks of ```console, each command after "$ ", its output below:

- "&" at the end of a command keeps it running until the document ends; it is waited for its output.
- A comment above a block, <!-- first 8 lines -->, keeps so many lines of each output, then "...".
- Port 4200 is a free one when the commands run, and the folder where they run is /home/ann/music.

What is equal: words and whole numbers exactly; a number with a decimal point, or a per cent, within
0.02 or 10 % of it, as the last bits of a training depend on the processor; ids, times and seconds
by their shape alone. Widths of tables do not count.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.flows.deployed import free_port

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120  # that a command may take
SHOWN = "/home/ann/music"
BLOCK = re.compile(r"(?:<!-- first (\d+) lines -->\n)?```console\n(.*?)```", re.DOTALL)
PROGRESS = re.compile(r"^.*, \d+:\d\d$\n?", re.MULTILINE)
NUMBER = re.compile(r"[+-]?\d+\.\d+%?|[+-]?\d+(?:\.\d+)?%")
MASKS = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f-]*(?:…|[0-9a-f]{12}\b)"), "UUID"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?"), "TIME"),
    (re.compile(r"(?<=retrain-recsys-)[0-9a-f]{12}"), "DATA"),
    (re.compile(r"^seconds: .*"), "SECONDS"),
    (re.compile(r"[━─┄]+"), "-"),
)


@dataclass(frozen=True)
class Step:
    """A command and what it prints."""

    command: str
    output: list[str]
    most: int | None = None

    def shortened(self, output: list[str]) -> list[str]:
        """What the document shows of an output."""
        if self.most is None or len(output) <= self.most:
            return output
        return [*output[: self.most], "..."]


def steps(text: str) -> list[Step]:
    """The commands of a document."""
    found = []
    for most, block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *output = part.rstrip("\n").split("\n")
            while command.endswith("\\"):  # the next line belongs to it
                command += "\n" + output.pop(0)
            found.append(Step(command, output, int(most) if most else None))
    return found


@dataclass
class Session:
    """A folder where commands run, as in one terminal after the other."""

    folder: Path
    port: int
    environment: dict[str, str]
    exports: list[str] = field(default_factory=list)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, step: Step) -> list[str]:
        """The lines that a command prints; it has to succeed."""
        command = step.command.replace("4200", str(self.port))
        if command.startswith("export "):
            self.exports.append(command)
            return []
        script = "\n".join([*self.exports, command.removesuffix("&")])
        if command.endswith("&"):
            return self._kept_running(script, max(1, len(step.output)))
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{step.command}: {done.stdout}{done.stderr}"
        return self._shown(done.stdout)

    def _kept_running(self, script: str, n_lines: int) -> list[str]:
        said = self.folder / f"running-{len(self.running)}.log"
        with said.open("wb") as output:
            self.running.append(
                subprocess.Popen(
                    ["bash", "-c", f"exec {script}" if "\n" not in script else script],
                    cwd=self.folder,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,  # as a terminal shows it
                    start_new_session=True,
                )
            )
        deadline = time.monotonic() + SECONDS
        while len(lines := self._shown(PROGRESS.sub("", said.read_text("utf-8")))) < n_lines:
            assert self.running[-1].poll() is None, f"{script} ended: {lines}"
            assert time.monotonic() < deadline, f"{script} printed {lines}"
            time.sleep(0.2)
        return lines

    def _shown(self, text: str) -> list[str]:
        text = text.replace(str(self.folder), SHOWN).replace(str(self.port), "4200")
        return [line.rstrip() for line in text.rstrip("\n").split("\n") if text.strip()]

    def end(self) -> None:
        """End what still runs, the last first."""
        for process in reversed(self.running):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def session(folder: Path) -> Iterator[Session]:
    """A terminal in an empty folder, with `recsys` and `prefect` of this checkout on its PATH."""
    programs = folder.parent / f"{folder.name}-bin"
    for place in (folder, programs):
        place.mkdir()
    for name, module in (("recsys", "flows.cli.start"), ("prefect", "prefect")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        program.chmod(0o755)
    (folder / "prefect.yaml").write_bytes((ROOT / "prefect.yaml").read_bytes())
    ours = ("PREFECT_", "RECSYS_", "MLFLOW_")
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(ours)}
    environment = inherited | {
        "HOME": str(programs),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "110",
        "LC_ALL": "C.UTF-8",
    }
    made = Session(folder, free_port(), environment)
    try:
        yield made
    finally:
        made.end()


def differences(documented: list[str], printed: list[str]) -> list[str]:
    """The lines of an output that are not what a document says, in words."""
    if len(documented) != len(printed):
        return [f"{len(documented)} lines documented, {len(printed)} printed: {printed}"]
    pairs = zip(documented, printed, strict=True)
    return [f"{old!r} is now {new!r}" for old, new in pairs if not alike(old, new)]


def alike(old: str, new: str) -> bool:
    """Whether two lines are equal by the rule of this module."""
    old, new = masked(old), masked(new)
    numbers = [[float(n.rstrip("%")) for n in NUMBER.findall(line)] for line in (old, new)]
    if NUMBER.sub("N", old).split() != NUMBER.sub("N", new).split():
        return False
    return all(abs(a - b) <= max(0.02, 0.1 * abs(a)) for a, b in zip(*numbers, strict=True))


def masked(line: str) -> str:
    """A line without what differs from run to run."""
    for pattern, word in MASKS:
        line = pattern.sub(word, line)
    return line


def written_again(path: Path, folder: Path) -> str:
    """A document with what its commands print now."""
    with session(folder) as terminal:

        def block(match: re.Match[str]) -> str:
            head = match.group(0).partition("```console\n")[0]
            lines = []
            for step in steps(match.group(0)):
                begin = time.monotonic()
                output = step.shortened(terminal.run(step))
                if not differences(step.output, output):  # only what changed is written
                    output = step.output
                lines += [f"$ {step.command}", *output]
                sys.stderr.write(f"{time.monotonic() - begin:6.1f} s  {step.command}\n")
            return f"{head}```console\n" + "\n".join(lines) + "\n```"

        return BLOCK.sub(block, path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    document = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as place:
        document.write_text(written_again(document, Path(place) / "music"), encoding="utf-8")
