"""What a training with a dense matrix of items needs, and what this machine has for it."""

import math
import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from recsys.errors import NeedsMemory

GIB = 1 << 30
SHARE = 0.8  # of the available memory that a model may take: lists and metrics need the rest
SIDE = 768  # of the matrices whose product is timed
CGROUPS = (  # version 2 and 1: the limit, what it holds, and what of that can be dropped
    ("", Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (
        *("memory", Path("/sys/fs/cgroup/memory")),
        *("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ),
)


@dataclass(frozen=True, slots=True)
class Need:
    """What one training needs beyond the data.

    Attributes:
        what: What the memory is for.
        items: Number of items of the matrix.
        pair: Bytes per pair of items.
        item: Bytes per item.
        fixed: Bytes besides.
        flops: Floating point operations in float64, on one core.
        seconds: For what else it does; 0 with flops of 0 where that is not known.
        remedy: What needs less; {most} stands for how many items would fit.
    """

    what: str
    items: int
    pair: float
    item: float
    fixed: float
    flops: float
    seconds: float
    remedy: str

    @property
    def memory(self) -> float:
        """Bytes at its peak."""
        return self.pair * self.items**2 + self.item * self.items + self.fixed

    def most_items(self, memory: float) -> int:
        """How many items fit into so many bytes."""
        left = max(0.0, memory - self.fixed)
        root = math.sqrt(self.item**2 + 4 * self.pair * left)
        return int((root - self.item) / (2 * self.pair)) if self.pair else self.items

    def line(self, model: str, available: int, rate: float) -> str:
        """What it needs and how long it takes, in one line."""
        time = ""
        if self.flops or self.seconds:
            spent = _duration(self.flops / rate + self.seconds)
            time = f"; a training takes about {spent} on this machine"
        return (
            f"{model}: {self.what} need {_gib(self.memory)}, {_gib(available)} are available{time}"
        )


def require_memory(model: str, need: Need, available: int) -> None:
    """Check that a training fits into the memory, with room beside it.

    Args:
        model: Its name.
        need: What it needs.
        available: Bytes.

    Raises:
        NeedsMemory: it needs more; the message says how much, and what helps.
    """
    room = SHARE * available
    if need.memory > room:
        remedy = need.remedy.format(most=need.most_items(room))
        raise NeedsMemory(
            f"{model} needs {_gib(need.memory)} for {need.what}; {_gib(available)} are available, "
            f"of which a model may take {SHARE:.0%}; {remedy}"
        )


def product_rate() -> float:
    """Floating point operations of a matrix product in a second, float64, on one core; timed."""
    side = np.random.default_rng(0).random((SIDE, SIDE))
    best = np.inf
    with threadpool_limits(1, "blas"):
        for _ in range(4):  # the first one also loads the library
            begin = time.perf_counter()
            side @ side
            best = min(best, time.perf_counter() - begin)
    return 2 * SIDE**3 / max(best, 1e-9)


def available_memory() -> int:
    """Bytes that are free without swapping, within the limits of the container and the process."""
    known = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError):
        lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
        known += [int(line[1]) * 1024 for line in lines if line[0] == "MemAvailable:"]
    known += _left_in_container()
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        with suppress(OSError):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            known.append(limit - pages * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(known))


def _left_in_container() -> Iterator[int]:
    """What each control group above this process has left of its limit."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    groups = [line.split(":", 2)[1:] for line in lines]
    for kind, root, *names in CGROUPS:
        for inside in (root / path.lstrip("/") for name, path in groups if name == kind):
            for folder in (inside, *inside.parents):
                if folder.is_relative_to(root):
                    yield from _left(folder, *names)


def _left(folder: Path, limit: str, usage: str, droppable: str) -> Iterator[int]:
    with suppress(OSError, ValueError):  # "max" is no number: no limit
        most, used = (int((folder / name).read_text()) for name in (limit, usage))
        fields = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        files = next((int(number) for name, number in fields if name == droppable), 0)
        yield most - used + files


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
