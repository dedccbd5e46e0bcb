"""From a whole file to the filtered matrix: pandas, pyarrow alone and ours, in turn, as ratios.

python benchmarks/reading.py [FILE] [--quick] [--rounds 3] [--json reading.json]

FILE is in the format of Last.fm 360K; without one, ours is made, of 17.3 million rows (--quick: one
million). pandas does what the reference notebook does: read_csv, rows without MBID or plays
dropped, users and artists with fewer than 5 rows dropped, the 20,000 users with most artists kept,
plays of a pair added up. pyarrow does the same with its fastest reader of CSV, without names.
Neither says which rows it cannot use; ours keeps them with line numbers, and the names. Each is
a process, measured in wall and CPU seconds of all threads, imports left out, and peak memory.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from scipy.sparse import csr_matrix

USERS, ARTISTS = 347_000, 292_000
QUICK_USERS, QUICK_ARTISTS = 20_600, 66_801
LEAST, TOP = 5, 20_000
FIELDS = ["user", "mbid", "artist", "plays"]


def by_pandas(path: Path) -> csr_matrix:
    """As the notebook."""
    import pandas as pd

    log = pd.read_csv(path, sep="\t", header=None, names=FIELDS, quoting=3)
    log = log.dropna(subset=["mbid"])
    log = log[log.plays > 0]
    log = log[log.groupby("user")["mbid"].transform("size") >= LEAST]
    log = log[log.groupby("mbid")["user"].transform("size") >= LEAST]
    log = log[log.user.isin(log.user.value_counts().head(TOP).index)]
    log = log.groupby(["user", "mbid"], as_index=False)["plays"].sum()
    rows, cols = (log[name].astype("category").cat.codes for name in ("user", "mbid"))
    return csr_matrix((log.plays.to_numpy("f4"), (rows, cols)))


def by_pyarrow(path: Path) -> csr_matrix:
    """Dictionary columns, numpy for the rest."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    texts = pa.dictionary(pa.int32(), pa.string())
    log = csv.read_csv(
        path,
        csv.ReadOptions(column_names=FIELDS, block_size=16 << 20),
        csv.ParseOptions(delimiter="\t", quote_char=False),
        csv.ConvertOptions(
            column_types={"user": texts, "mbid": texts, "plays": pa.int64()},
            include_columns=["user", "mbid", "plays"],
        ),
    ).unify_dictionaries()
    rows, cols = (
        np.concatenate([chunk.indices.to_numpy() for chunk in log[name].chunks])
        for name in ("user", "mbid")
    )
    plays = log["plays"].to_numpy()
    keep = (plays > 0) & (cols != pc.index(log["mbid"].chunk(0).dictionary, "").as_py())
    rows, cols, plays = rows[keep], cols[keep], plays[keep]
    keep = (np.bincount(rows) >= LEAST)[rows]
    rows, cols, plays = rows[keep], cols[keep], plays[keep]
    keep = (np.bincount(cols) >= LEAST)[cols]
    rows, cols, plays = rows[keep], cols[keep], plays[keep]
    sizes = np.bincount(rows)
    top = np.zeros(len(sizes), dtype=bool)
    top[np.argsort(-sizes, kind="stable")[:TOP]] = True
    rows, cols, plays = rows[top[rows]], cols[top[rows]], plays[top[rows]]
    rows, cols = (np.unique(each, return_inverse=True)[1] for each in (rows, cols))
    return csr_matrix((plays.astype("f4"), (rows, cols)))


def by_us(path: Path) -> csr_matrix:
    """The library, as the configuration `paper` uses it."""
    from recsys.data.config import FilterConfig
    from recsys.data.filtering import apply_filters
    from recsys.sources import read

    config = FilterConfig(min_items=LEAST, min_users=LEAST, count="rows", top_users=TOP)
    events, _ = apply_filters(read(path, item_key="mbid").events, None, config, 0)
    return events.cells().matrix()


READERS: dict[str, Callable[[Path], csr_matrix]] = {
    "pandas": by_pandas,
    "pyarrow": by_pyarrow,
    "ours": by_us,
}


def main() -> None:
    """Print seconds and memory of each, and the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true", help="a million rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=READERS, help="one reader, in this process")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measured(READERS[args.only], args.file)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = args.file or made(Path(folder) / "plays.tsv", args.quick)
        in_process("ours", path)  # compiles once, and the file is in the memory of the system
        found: dict[str, list[dict[str, float]]] = {name: [] for name in READERS}
        for _ in range(args.rounds):
            for name in READERS:
                found[name].append(in_process(name, path))
    middle = {name: middles(each) for name, each in found.items()}
    rows = report(middle)
    if args.json:
        args.json.write_text(json.dumps({"measured": middle, "rows": rows}, indent=1) + "\n")


def measured(reader: Callable[[Path], csr_matrix], path: Path) -> dict[str, float]:
    """Seconds, MB and the size of the matrix."""
    start, cpu = time.perf_counter(), time.process_time()
    matrix = reader(path)
    return {
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - cpu,
        "mb": peak() / 1024,
        "users": matrix.shape[0],
        "items": matrix.shape[1],
        "cells": matrix.nnz,
    }


def peak() -> int:
    """Most KB of memory so far; where Linux says it, without those of the process that began us."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_process(name: str, path: Path) -> dict[str, float]:
    """`measured` in a new process."""
    command = [sys.executable, __file__, str(path), "--only", name]
    root = str(Path(__file__).parents[1])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": paths}
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def made(path: Path, quick: bool) -> Path:
    """A file of the sample generator."""
    from recsys.sources.sample import make_sample, write_sample

    users, artists = (QUICK_USERS, QUICK_ARTISTS) if quick else (USERS, ARTISTS)
    write_sample(make_sample(users, artists), path, path.with_name("profiles.tsv"))
    return path


def middles(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: median(each[name] for each in rounds) for name in rounds[0]}


def report(middle: dict[str, dict[str, float]]) -> list[dict[str, str | float]]:
    """Print the figures; the ratios to the targets of `make bench`."""
    for name, each in middle.items():
        size = f"{each['users']:,.0f} x {each['items']:,.0f}, {each['cells']:,.0f} cells"
        print(
            f"{name:<8} {each['seconds']:6.2f} s {each['cpu']:6.2f} CPU s {each['mb']:6,.0f} MB"
            f"   {size}"
        )
    ours, pandas, pyarrow = (middle[name] for name in ("ours", "pandas", "pyarrow"))
    rows: list[dict[str, str | float]] = [
        {
            "work": "file to filtered matrix, CPU",
            "against": "pandas as in the notebook",
            "ratio": pandas["cpu"] / ours["cpu"],
            "target": 6.0,
        },
        {
            "work": "file to filtered matrix, time",
            "against": "pyarrow alone",
            "ratio": pyarrow["seconds"] / ours["seconds"],
            "target": 1 / 1.3,
        },
    ]
    for row in rows:
        print(f"{row['work']} against {row['against']}: {row['ratio']:.2f} times as fast")
    return rows


if __name__ == "__main__":
    main()
