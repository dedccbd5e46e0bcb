"""How reading, training and judging grow with rows, users, items and factors: exponents.

python benchmarks/growth.py [--quick] [--json FILE]

Data is made by our generator. `rows`: 1.4, 5 and 17 million rows (--quick: a tenth), in which users
grow and artists do not; the file is read and filtered, ALS trained for 3 iterations with 64 factors
on four fifths of the cells, and every user judged by all metrics at 20. "user rows" and "item rows"
are the two halves of one sweep on the same cells. `users`: as many cells for ever more
users, who each have fewer. `items`: ever more artists for the same users. `factors`: 32 to 256 on
the smallest data. Times are CPU seconds of all threads, the least of so many repeats as fit into a
few seconds, so other work on the machine matters little. An exponent is the slope of the
logarithm of time over that of size: 1 is a straight line. It says nothing about what is constant.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recsys.data.config import FilterConfig
from recsys.data.filtering import apply_filters
from recsys.data.interactions import Interactions
from recsys.evaluation.protocol import judge
from recsys.models.als import Als, AlsConfig
from recsys.models.als_scaled import Regularization
from recsys.models.als_sweeps import Sweeps, padded
from recsys.models.blas import one_blas_thread
from recsys.sources import read
from recsys.sources.sample import make_sample, write_sample
from recsys.splitting.split import Fold, drawn

USERS, ARTISTS, FACTORS = (28_000, 100_000, 347_000), 67_000, 64
MORE_ARTISTS, MORE_FACTORS = (17_000, 67_000, 268_000), (32, 64, 128, 256)
ITERATIONS, K, LEAST = 3, 20, 5
ENOUGH, TIMES = 4.0, 4  # CPU seconds after which nothing is repeated, and how often at most
TARGET = 1.1  # in rows
USER_ROWS, ITEM_ROWS = "user rows", "item rows"


@dataclass(slots=True)
class Axis:
    """What grows, and what it costs.

    Attributes:
        name: What grows.
        sizes: How much of it there is.
        seconds: Of each kind of work, one for each size.
    """

    name: str
    sizes: list[int] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, size: int, **seconds: float) -> None:
        """One more size."""
        self.sizes.append(size)
        for work, each in seconds.items():
            self.seconds.setdefault(work, []).append(each)
        found = ", ".join(f"{work} {each:.2f}" for work, each in seconds.items())
        print(f"{size:>12,} {self.name:<8} {found} CPU s", flush=True)

    def exponents(self) -> dict[str, float]:
        """The slope of each kind of work."""
        sizes = np.log(self.sizes)
        return {
            work: float(np.polyfit(sizes, np.log(each), 1)[0])
            for work, each in self.seconds.items()
        }


def main() -> None:
    """Print times and exponents."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    scale = 10 if args.quick else 1
    warm()
    with tempfile.TemporaryDirectory() as folder:
        rows, data = by_rows(Path(folder), [n // scale for n in USERS], ARTISTS // scale)
    axes = [rows, by_users(data), by_items(USERS[0] // scale, [n // scale for n in MORE_ARTISTS])]
    axes.append(by_factors(data[0], MORE_FACTORS))
    found = table(axes)
    if args.json:
        sizes = {axis.name: {"sizes": axis.sizes, "seconds": axis.seconds} for axis in axes}
        args.json.write_text(json.dumps({"measured": sizes, "rows": found}, indent=1) + "\n")


def warm() -> None:
    """Load and compile everything."""
    fitted(cells_of(3_000, 6_000), FACTORS)


def by_rows(folder: Path, users: Sequence[int], artists: int) -> tuple[Axis, list[Interactions]]:
    """A file for each number of users, from reading to the metrics; and the cells of each."""
    axis, data = Axis("rows"), []
    for n in users:
        plays = folder / f"{n}.tsv"
        write_sample(make_sample(n, artists), plays, plays.with_name("profiles.tsv"))
        reading = read(plays, item_key="mbid")
        seconds, cells = least(lambda plays=plays: filtered(plays))
        axis.add(reading.n_rows, reading=seconds, **fitted(cells, FACTORS), **halves(cells))
        data.append(cells)
        plays.unlink()
    return axis, data


def filtered(plays: Path) -> Interactions:
    """The cells of a file."""
    config = FilterConfig(min_items=LEAST, min_users=LEAST, count="rows")
    return apply_filters(read(plays, item_key="mbid").events, None, config, 0)[0].cells()


def by_users(data: Sequence[Interactions]) -> Axis:
    """As many cells as the smallest data has, drawn from each."""
    axis, least_cells = Axis("users"), min(map(len, data))
    for cells in data:
        some = np.zeros(len(cells), dtype=bool)
        some[np.random.default_rng(0).choice(len(cells), least_cells, replace=False)] = True
        thinned = cells.where(some)
        axis.add(len(thinned.users_with_cells()), **fitted(thinned, FACTORS))
    return axis


def by_items(users: int, artists: Sequence[int]) -> Axis:
    """The same users with ever more artists."""
    axis = Axis("items")
    for n in artists:
        axis.add(n, **fitted(cells_of(users, n), FACTORS))
    return axis


def by_factors(cells: Interactions, factors: Sequence[int]) -> Axis:
    """The same cells with ever more factors."""
    axis = Axis("factors")
    for n in factors:
        axis.add(n, **fitted(cells, n))
    return axis


def cells_of(users: int, artists: int) -> Interactions:
    """Cells of the generator."""
    with tempfile.TemporaryDirectory() as folder:
        plays = Path(folder) / "plays.tsv"
        write_sample(make_sample(users, artists), plays, plays.with_name("profiles.tsv"))
        return read(plays, item_key="mbid").events.cells()


def fitted(cells: Interactions, factors: int) -> dict[str, float]:
    """CPU seconds of a training and of judging all users."""
    train, hidden = sides(cells)
    fold = Fold(train, train, hidden)
    config = AlsConfig(factors=factors, iterations=ITERATIONS)
    fit, model = least(lambda: Als(config, 0).fit(train))
    return {"fit": fit, "judge": least(lambda: judge(model, fold, [K]))[0]}


def sides(cells: Interactions) -> tuple[Interactions, Interactions]:
    """What is trained on, and a fifth of the cells that is held out."""
    hidden = drawn(cells, 0.2, LEAST, 1)
    return cells.where(~hidden), cells.where(hidden)


def halves(cells: Interactions) -> dict[str, float]:
    """CPU seconds of both halves of a sweep: users by the items that they have, then items."""
    weights = sides(cells)[0].matrix().astype(np.float32)
    scaled = Regularization.of(AlsConfig(factors=FACTORS), weights)
    rng = np.random.default_rng(1)
    users, items = (
        padded(rng.normal(0, 0.01, (n, FACTORS)).astype(np.float32)) for n in weights.shape
    )
    sweeps = Sweeps(weights, scaled, FACTORS, 0)
    with one_blas_thread():
        return {
            USER_ROWS: least(lambda: sweeps.move_users(users, items))[0],
            ITEM_ROWS: least(lambda: sweeps.move_items(users, items, False))[0],
        }


def least(call: Callable[[], Any]) -> tuple[float, Any]:
    """The least CPU seconds of some calls, and what the last one gave."""
    found: list[float] = []
    while len(found) < TIMES and sum(found) < ENOUGH:
        start = time.process_time()
        result = call()
        found.append(time.process_time() - start)
    return min(found), result


def table(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """Print and give the exponents."""
    rows = []
    for axis in axes:
        for work, exponent in axis.exponents().items():
            whole = work not in (USER_ROWS, ITEM_ROWS)
            target = TARGET if axis.name == "rows" and whole else None
            rows.append({"work": work, "by": axis.name, "exponent": exponent, "target": target})
            print(
                f"{work:<9} grows with {axis.name:<8} to the power of {exponent:5.2f}"
                + (f"   target: at most {target}" if target else "")
            )
    return rows


if __name__ == "__main__":
    main()
