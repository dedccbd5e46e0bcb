"""Every speed we promise, measured beside what people use instead: one table, one JSON.

python benchmarks/bench.py [--quick] [--json bench.json] [--only reading ranking]

Each part is a benchmark of its own that alternates ours and others in one run. A part that is not
there, or whose peer is not installed, is skipped by name.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Part:
    """A benchmark and its arguments.

    Attributes:
        script: In this folder; takes --json FILE.
        full: Arguments of the full run.
        quick: Arguments of --quick.
        peers: Modules that it measures against.
    """

    script: str
    full: Sequence[str] = ()
    quick: Sequence[str] = ()
    peers: Sequence[str] = ()


PARTS = {
    "reading": Part("reading.py", quick=("--quick", "--rounds", "1"), peers=("pandas", "pyarrow")),
    "ranking": Part(
        "ranking.py",
        quick=("--users", "4000", "--items", "20000", "--factors", "64", "--repeat", "2"),
        peers=("implicit",),
    ),
    "linear": Part(
        "linear.py",
        quick=("--scale", "0.1", "--top-items", "3000", "--repeat", "1"),
        peers=("implicit", "sklearn"),
    ),
    "als": Part("als_sweep.py", quick=("--quick",), peers=("implicit",)),
    "trial": Part("overhead.py", quick=("--quick",)),
    "growth": Part("growth.py", quick=("--quick",)),
    "paper": Part(
        "paper.py",
        full=("--parts", "study", "whole"),
        quick=("--quick",),
        peers=("pandas", "implicit"),
    ),
}


def main() -> None:
    """Run the parts and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small data")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found: dict[str, Any] = {}
    for name in args.only:
        found[name] = measured(PARTS[name], args.quick)
    table(found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


def measured(part: Part, quick: bool) -> Any:
    """What a part writes as JSON, or why it was skipped."""
    if why := missing(part):
        print(f"{part.script}: skipped, {why}", flush=True)
        return {"skipped": why}
    print(f"{part.script}:", flush=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "found.json"
        more = [*(part.quick if quick else part.full), "--json", str(written)]
        done = subprocess.run([sys.executable, str(HERE / part.script), *more], check=False)
        print(f"{part.script}: {time.perf_counter() - start:.0f} s", flush=True)
        if done.returncode:
            return {"skipped": f"it ended with {done.returncode}"}
        return json.loads(written.read_text(encoding="utf-8"))


def missing(part: Part) -> str:
    """Why a part cannot run; "" where it can."""
    path = HERE / part.script
    if not path.exists() or "--json" not in path.read_text(encoding="utf-8"):
        return "not there"
    for peer in part.peers:
        code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({peer!r}) is None)"
        if subprocess.run([sys.executable, "-c", code], check=False).returncode:
            return f"{peer} is not installed"
    return ""


def table(found: dict[str, Any]) -> None:
    """Print a line for each ratio and each exponent, and one for each part that was skipped."""
    print(f"{'part':<8} {'work':<40} {'against':<26} {'ratio':>7} {'target':>7}")
    for name, each in found.items():
        rows = each.get("rows", []) if isinstance(each, dict) else each
        for row in rows:
            if "ratio" in row:
                target = f"{row['target']:.2f}" if row.get("target") else ""
                work, against = str(row.get("work", "")), str(row.get("against", ""))
                print(f"{name:<8} {work:<40} {against:<26} {row['ratio']:>7.2f} {target:>7}")
            if "exponent" in row:
                most = f"<= {row['target']:.1f}" if row["target"] else ""
                power = f"{row['by']}, to the power of"
                print(f"{name:<8} {row['work']:<40} {power:<26} {row['exponent']:>7.2f} {most:>7}")
        if isinstance(each, dict) and "skipped" in each:
            print(f"{name:<8} skipped: {each['skipped']}")


if __name__ == "__main__":
    main()
