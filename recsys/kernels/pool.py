"""Threads for compiled loops, which run side by side because they hold no lock of Python."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Part], Result], parts: Iterable[Part], threads: int = 0
) -> list[Result]:
    """The results of `work` of each part, in the order of the parts.

    Args:
        work: Called for several parts at once; what it gives may not depend on the others.
        parts: Of the work.
        threads: 0 for all cores. None is started for a single part.
    """
    parts, threads = list(parts), threads or os.cpu_count() or 1
    if threads == 1 or len(parts) < 2:
        return list(map(work, parts))
    with ThreadPoolExecutor(min(threads, len(parts))) as pool:
        return list(pool.map(work, parts))
