"""Two published results on Last.fm 360K beside ours: six iALS libraries, and the reference study.

python benchmarks/lastfm_360k.py usersha1-artmbid-artname-plays.tsv [--parts libraries study]
python benchmarks/lastfm_360k.py FILE --sample

`libraries`: the notebooks of the folder `benchmark` of github.com/david-cortes/cmfrec (January
2022). Rows without MBID or plays are dropped; 10,000 users who would have two or more are drawn,
and round(30 %) of the artists of each held out; all else trains. Every library has 50 factors,
regularization 5 and 15 iterations on the plays as they are, untuned. Which users and artists they
drew cannot be repeated: that generator is in C++ (recometrics, seed 123). The draw here is ours of
the same seed, so of its sizes only that of the test can differ, and numbers by the noise of a
draw, about 0.001 in precision. Their NDCG takes plays as gains and is not shown.

`study`: `--config paper` of `recsys experiment`, without its server: the 20,000 users with most
artists, 20 % of each held out, ALS on raw plays, 12 random points of a small grid, of which the
best on validation by precision@10 is trained again and judged once. Beside it ALS with our
defaults, untuned, and popularity.

Anything but the published file is refused, by its MD5; with --sample any file in its format goes,
and the counts beside are then not its own.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flows.cli.inputs import CONFIGS
from flows.cli.progress import ProgressDisplay
from recsys import sources
from recsys.config import ExperimentConfig, load_config
from recsys.data.filtering import Step, apply_filters
from recsys.data.interactions import Events, Interactions
from recsys.errors import InputError
from recsys.evaluation.fitting import fit_and_judge
from recsys.evaluation.report import Report
from recsys.models.als import AlsConfig
from recsys.models.config import ModelConfig
from recsys.models.popularity import PopularityConfig
from recsys.protocols.draws import n_able, of_drawn_users
from recsys.protocols.others import DRAW, LASTFM_360K, SHARE
from recsys.search.space import grid
from recsys.seeds import seed_for
from recsys.splitting.config import RandomSplit
from recsys.splitting.split import Fold, Split, random_split

MD5 = "be672526eb7c69495c27ad27803148f1"
BLOCK = 1 << 24  # bytes hashed between two lines of progress
K = 10
N_TEST_USERS = 10_000
FRACTION = SHARE
SEED = DRAW

PLAIN = AlsConfig(factors=50, regularization=5.0, iterations=15, alpha=1.0, weighting="linear")
"""What the six libraries were given."""
MODELS: dict[str, ModelConfig] = {
    "popularity": PopularityConfig(kind="popularity-users"),
    "ALS as those": PLAIN,
    "ALS, our defaults": AlsConfig(),
}

READ = {"rows": 17_559_530}
# Cells: what both sides of the split add up to, in which rows of the same pair are one.
USABLE = {"rows": 17_309_518, "users": 358_858, "artists": 160_112, "cells": 17_309_151}
SIDES = {"test users": 10_000, "train cells": 17_164_027, "test cells": 145_124}
STUDY = {"rows": 1_357_087, "users": 20_000, "artists": 66_959, "cells": 1_357_032}

SHOWN = ("precision", "recall", "map", "hit_rate", "mrr")
LIBRARIES: dict[str, tuple[float, ...]] = {row.model: row.values for row in LASTFM_360K.published}
"""SHOWN at 10, as the notebooks at commit 56f43b7 print them; map is their TAP, which divides by
min(10, held out). rsparse, the sixth, is in an R notebook."""
IN_STUDY = ("precision", "recall", "ndcg", "coverage")
PAPER = (0.1368, 0.1049, 0.1543, 0.0650)
"""IN_STUDY at 10 of its ALS."""


def main() -> None:
    """Print the counts and a table for each part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="user, artist MBID, artist name, plays")
    parser.add_argument("--sample", action="store_true", help="take any file in this format")
    parser.add_argument(
        "--parts", nargs="+", choices=("libraries", "study"), default=("libraries", "study")
    )
    parser.add_argument("--trials", type=int, default=12, help="of the search of the study")
    parser.add_argument("--seed", type=int, default=0, help="of the study")
    args = parser.parse_args()
    tell = ProgressDisplay(sys.stderr)
    try:
        if not args.sample:
            refuse_others(args.file, tell)
        events = read(args.file, args.sample, tell)
        for part in args.parts:
            try:
                if part == "libraries":
                    libraries(events, args.sample, tell)
                else:
                    study(events, args.trials, args.seed, args.sample, tell)
            except InputError as error:
                if not args.sample:
                    raise
                print(f"not on this sample: {error}")
    except InputError as error:
        tell.close()
        sys.exit(f"error: {error}")


def refuse_others(path: Path, tell: ProgressDisplay) -> None:
    """Hash the file and go on only if it is the published one.

    Raises:
        InputError: it is not, or cannot be read.
    """
    digest = hashlib.md5(usedforsecurity=False)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
                tell("hashing, MiB", file.tell() >> 20, size >> 20)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    tell.close()
    if digest.hexdigest() != MD5:
        raise InputError(
            f"{path} has MD5 {digest.hexdigest()}, Last.fm 360K has {MD5}; give its "
            "usersha1-artmbid-artname-plays.tsv as it is unpacked, or --sample to run on this "
            "file, whose numbers are then not comparable"
        )


def read(path: Path, sample: bool, tell: ProgressDisplay) -> Events:
    """The rows with an MBID and plays, and the counts on the way.

    Raises:
        InputError: the file cannot be used.
    """
    start = time.perf_counter()
    reading = sources.read(path, format="lastfm-360k", item_key="mbid", progress=tell)
    tell.close()
    events = reading.events
    print(f"{path}, read in {time.perf_counter() - start:.0f} s")
    compare("as read", {"rows": reading.n_rows}, READ, sample)
    for reason, n in reading.rejects.counts.items():
        print(f"  dropped: {reason} {n:,}")
    compare("with MBID and plays", sizes(events), USABLE, sample)
    return events


def sizes(events: Events) -> dict[str, int]:
    """Rows, users, artists and distinct pairs."""
    cells = int(np.count_nonzero(np.diff(events.keys, prepend=-1)))
    return {
        "rows": len(events),
        "users": len(events.users),
        "artists": len(events.items),
        "cells": cells,
    }


def compare(
    what: str, ours: dict[str, int], theirs: dict[str, int], sample: bool, exact: bool = True
) -> None:
    """Counts beside those published."""
    for name, count in ours.items():
        if sample:
            note = "not those published: a sample"
        elif count == theirs[name]:
            note = "as published"
        else:
            note = "DIFFERS from what is published" if exact else "another draw"
        print(f"{what:<22} {name:<12} {count:>12,}  published {theirs[name]:>12,}  {note}")


def libraries(events: Events, sample: bool, tell: ProgressDisplay) -> None:
    """The comparison of six libraries."""
    print("\nsix libraries, untuned")
    fold = joined_split(events.cells(), SEED)
    ours = {
        "test users": len(fold.judged),
        "train cells": len(fold.train),
        "test cells": len(fold.held_out),
    }
    compare("split", ours, SIDES, sample, exact=False)
    head(SHOWN)
    for name, values in LIBRARIES.items():
        row(f"{name}, published", values)
    for name, config in MODELS.items():
        row(f"{name}, ours", means(fitted(name, config, fold, SEED, tell), SHOWN))
    if sample:
        print("the published rows are of other data")


def joined_split(cells: Interactions, seed: int) -> Fold:
    """Users drawn at random lose a part of their artists; all else, other users too, trains.

    A user with n artists gives round(0.3 n), half rounded up, and can be drawn if that is at
    least 2.

    Args:
        cells: All.
        seed: Of the draw of users and of their artists.

    Raises:
        InputError: no user has so many.
    """
    n_users = min(N_TEST_USERS, n_able(cells, FRACTION))
    if not n_users:
        raise InputError("no user has artists enough to hold two out; give a larger file")
    hidden = of_drawn_users(cells, n_users, FRACTION, seed)
    train = cells.where(~hidden)
    return Fold(train, train, cells.where(hidden))


def study(events: Events, trials: int, seed: int, sample: bool, tell: ProgressDisplay) -> None:
    """The reference study."""
    print("\nthe reference study, --config paper")
    config = load_config(CONFIGS / "paper.toml", {"seed": seed})
    kept, steps = apply_filters(events, None, config.filter, seed)
    for step in steps:
        print(f"  {step.name}: {step.users:,} users, {step.items:,} artists, {step.rows:,} rows")
    compare("filtered", last(steps), STUDY, sample)
    seeds = seed_for(seed, "split", "test"), seed_for(seed, "split", "validation")
    assert isinstance(config.split, RandomSplit)
    split = random_split(kept.cells(), config.split.fraction, config.split.min_items, seeds)
    winner = searched(split, config, trials, tell)
    head(IN_STUDY)
    row("ALS, published", PAPER)
    models = {**MODELS, "ALS as those": winner}
    for name, model in models.items():
        label = "ALS, tuned alike" if model is winner else name
        row(f"{label}, ours", means(fitted(label, model, split.test, seed, tell), IN_STUDY))
    print(f"chosen: {winner.model_dump(exclude_defaults=True)}")
    if sample:
        print("the published row is of other data")


def last(steps: Sequence[Step]) -> dict[str, int]:
    """Counts after the last filter."""
    end = steps[-1]
    return {"rows": end.rows, "users": end.users, "artists": end.items, "cells": end.cells}


def searched(
    split: Split, config: ExperimentConfig, trials: int, tell: ProgressDisplay
) -> AlsConfig:
    """The best by precision@10 on validation of so many random points of the grid."""
    points = grid(config.space)
    rng = np.random.default_rng(seed_for(config.seed, "lastfm-360k", "points"))
    drawn = rng.choice(len(points), min(trials, len(points)), replace=False).tolist()
    found = []
    for n, at in enumerate(drawn):
        model = AlsConfig.model_validate(points[at])
        report = fitted(
            f"trial {n + 1} of {len(drawn)}", model, split.validation, config.seed, tell
        )
        found.append((means(report, ("precision",))[0], model))
    return max(found, key=lambda each: each[0])[1]


def fitted(name: str, config: ModelConfig, fold: Fold, seed: int, tell: ProgressDisplay) -> Report:
    """A model fitted and judged on a fold."""
    tell(f"training {name}", 0, None)
    seed = seed_for(seed, "lastfm-360k", "train")
    judged = fit_and_judge(config, seed, fold, [K], progress=tell)
    tell.close()
    return judged.report


def means(report: Report, metrics: Sequence[str]) -> tuple[float, ...]:
    """Metrics at 10."""
    summary = report.summary()
    return tuple(summary[f"{metric}@{K}"] for metric in metrics)


def head(metrics: Sequence[str]) -> None:
    """First line of a table."""
    print(f"{'':<32}" + "".join(f"{f'{metric}@{K}':>14}" for metric in metrics))


def row(name: str, values: Sequence[float]) -> None:
    """A line of a table."""
    print(f"{name:<32}" + "".join(f"{value:>14.4f}" for value in values), flush=True)


if __name__ == "__main__":
    main()
