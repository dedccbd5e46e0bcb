"""What a command and all that it starts take: seconds, CPU seconds, memory. Linux only."""

import os
import resource
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
EVERY = 0.5  # seconds between two looks
_OURS = ("OMP_", "OPENBLAS_", "MKL_", "RECSYS_")  # variables that a user has not


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took.

    Attributes:
        seconds: On the wall.
        cpu: Of all threads of all processes.
        mb: The most memory of all processes at one time, shared pages counted once (PSS).
        out: Standard output.
    """

    seconds: float
    cpu: float
    mb: float
    out: str

    def figures(self) -> dict[str, float]:
        """All but the output."""
        return {name: value for name, value in asdict(self).items() if name != "out"}

    def __str__(self) -> str:
        return f"{self.seconds:7.1f} s {self.cpu:7.1f} CPU s {self.mb:7,.0f} MB"


def watched(command: Sequence[str], root: Path = ROOT, **variables: str) -> Cost:
    """Run a command in a checkout, with its packages and the number of threads a user has.

    Raises:
        subprocess.CalledProcessError: it fails; its errors are printed first.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    env |= {"PYTHONPATH": str(root)} | variables
    start, before = time.perf_counter(), _cpu_of_children()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, cwd=root, env=env, stdout=out, stderr=err)
        tree, ended = Tree(process.pid), threading.Event()
        looking = threading.Thread(target=tree.look, args=(ended,))
        looking.start()
        code = process.wait()
        seconds = time.perf_counter() - start
        ended.set()
        looking.join()
        out.seek(0)
        err.seek(0)
        if code:
            print(err.read().decode(errors="replace")[-2000:])
            raise subprocess.CalledProcessError(code, command)
        cpu = max(_cpu_of_children() - before, tree.cpu)
        return Cost(seconds, cpu, tree.mb, out.read().decode())


class Tree:
    """A process and all that it starts, also what outlives its parent."""

    def __init__(self, root: int) -> None:
        """Look at nothing yet."""
        self.mb = 0.0
        self._seen = {root}
        self._cpu: dict[int, float] = {}

    @property
    def cpu(self) -> float:
        """Seconds of all, as far as they were seen."""
        return sum(self._cpu.values())

    def look(self, ended: threading.Event) -> None:
        """Look again and again until it has ended."""
        while not ended.wait(EVERY):
            kilobytes = 0
            for pid, parent, cpu in _processes():
                if pid in self._seen or parent in self._seen:
                    self._seen.add(pid)
                    self._cpu[pid] = cpu
                    kilobytes += _pss(pid)
            self.mb = max(self.mb, kilobytes / 1024)


def _processes() -> Iterator[tuple[int, int, float]]:
    """Each process: its id, that of its parent, and its CPU seconds; parents have lower ids."""
    tick = os.sysconf("SC_CLK_TCK")
    for pid in sorted(int(each) for each in os.listdir("/proc") if each.isdigit()):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        yield pid, int(fields[1]), (int(fields[11]) + int(fields[12])) / tick


def _pss(pid: int) -> int:
    """Kilobytes of a process, of shared pages its share."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
