"""What a second run of the same file costs until it has its data, imports apart.

python benchmarks/second_run.py [FILE] [--quick]

Without a file the sample generator writes one of 17.4 million rows. The first run reads and
filters it in a new workspace. The second run is another process. It finds both stages in the cache,
compares their files with the hashes in the manifests, and maps the events. Seconds by the clock and
of CPU are printed for both runs.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from reading import made

from recsys.config import ExperimentConfig
from recsys.data.store import load_events
from tasks.data.stages import DataFiles, ingest, narrow
from tasks.workspace.layout import Workspace

Result = TypeVar("Result")


def main() -> None:
    """Two runs of the same file, in one process each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true", help="a million rows")
    parser.add_argument("--workspace", type=Path, help="one run in it, in this process")
    args = parser.parse_args()
    if args.workspace is not None:
        run(args.file, Workspace(args.workspace))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = args.file or made(Path(folder) / "plays.tsv", args.quick)
        for name in ("first", "second"):
            print(f"{name} run", flush=True)
            command = [sys.executable, __file__, str(path), "--workspace", f"{folder}/workspace"]
            subprocess.run(command, check=True)


def run(path: Path, workspace: Workspace) -> None:
    """Read, filter, load; print what each takes."""
    config = ExperimentConfig()
    start, cpu = time.perf_counter(), time.process_time()
    ingested = timed("read", lambda: ingest.fn(workspace, DataFiles(path), config.data))
    filtered = timed("filter", lambda: narrow.fn(workspace, ingested, config.filter, config.seed))
    events = timed("load", lambda: load_events(filtered.folder))
    seconds, spent = time.perf_counter() - start, time.process_time() - cpu
    print(f"  all    {seconds:6.2f} s {spent:6.2f} CPU s   {len(events):,} events", flush=True)


def timed(name: str, work: Callable[[], Result]) -> Result:
    """The result, after a line with its seconds."""
    start, cpu = time.perf_counter(), time.process_time()
    result = work()
    seconds, spent = time.perf_counter() - start, time.process_time() - cpu
    print(f"  {name:6} {seconds:6.2f} s {spent:6.2f} CPU s", flush=True)
    return result


if __name__ == "__main__":
    main()
