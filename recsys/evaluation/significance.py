"""Significance: which of many models differ, for all pairs, over splits with different users.

Models are tested on the same resampled users (paired); Holm's
correction accounts for the number of pairs. The caller negates metrics where less is better
(`recsys.evaluation.objectives`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.dtypes import Float64Array
from recsys.evaluation.bootstrap import LEVEL, Estimate, resampled_deviations
from recsys.progress import Progress, silent

N_RESAMPLES = 10_000
"""More than for an interval: the least p there can be, 1 / (1 + resamples), is multiplied."""
SURE = 0.05
"""A corrected p above it: the difference may be chance."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models on the same users.

    Attributes:
        a: The first model.
        b: The second model.
        difference: Mean of b - a over users, with the 95 % interval of this pair alone.
        p: Two-sided p-value of this pair alone, in (0, 1].
        p_holm: The p-value corrected for all compared pairs.
    """

    a: str
    b: str
    difference: Estimate
    p: float
    p_holm: float

    def swapped(self) -> "Pair":
        """The same pair as b and a."""
        mean, low, high = self.difference.mean, self.difference.low, self.difference.high
        turned = Estimate(-mean, None if high is None else -high, None if low is None else -low)
        return Pair(self.b, self.a, turned, self.p, self.p_holm)


@dataclass(frozen=True, slots=True)
class Significance:
    """Many models on the same users, pair by pair.

    Attributes:
        means: Mean of each model over users, with its 95 % interval.
        pairs: The compared pairs, in the order of the models.
        n_users: Number of users judged.
        n_resamples: Number of bootstrap resamples.
        seed: Seed of the resamples.
    """

    means: Mapping[str, Estimate]
    pairs: tuple[Pair, ...]
    n_users: int
    n_resamples: int
    seed: int

    @property
    def best(self) -> str:
        """The model with the highest mean, the first of several."""
        return max(self.means, key=lambda name: self.means[name].mean)

    def __getitem__(self, models: tuple[str, str]) -> Pair:
        """The pair (a, b) in this order; KeyError if it was not compared."""
        for pair in self.pairs:
            if (pair.a, pair.b) == models:
                return pair
            if (pair.b, pair.a) == models:
                return pair.swapped()
        raise KeyError(models)

    def against_best(self) -> tuple[Pair, ...]:
        """Each other model as b against the best as a, so no difference is above 0.

        p_holm stays corrected for all pairs: the same users decide which model is best, so a
        correction for these few pairs alone would be too optimistic.

        Raises:
            KeyError: the best was not compared with all others.
        """
        return tuple(self[self.best, name] for name in self.means if name != self.best)

    def frame(self) -> pd.DataFrame:
        """One row per pair: a, b, difference, low, high, p and p_holm."""
        names = {"mean": "difference", "low": "low", "high": "high"}
        rows = [
            {"a": pair.a, "b": pair.b}
            | {names[part]: value for part, value in asdict(pair.difference).items()}
            | {"p": pair.p, "p_holm": pair.p_holm}
            for pair in self.pairs
        ]
        return pd.DataFrame(rows, columns=["a", "b", *names.values(), "p", "p_holm"])


@dataclass(frozen=True, slots=True)
class SeedSpread:
    """A value over split seeds.

    Attributes:
        mean: Mean over seeds.
        sd: Standard deviation of a single seed's value (divided by n - 1); None for one seed.
    """

    mean: float
    sd: float | None


def holm(p_values: npt.ArrayLike) -> Float64Array:
    """p-values adjusted for their number: rejecting all <= 0.05 errs anywhere in 5 % of cases.

    Holm 1979 (Scandinavian Journal of Statistics 6, 65-70), stepping down: of n sorted p-values
    the i-th from 1 becomes the largest of (n - j + 1) p_j over j <= i, and at most 1. It bounds
    the chance of any wrong rejection, however the tests depend on each other.

    Args:
        p_values: float, shape (n,), each from 0 to 1.

    Returns:
        float64, shape (n,), in the order given; equal p-values stay equal.

    Raises:
        ValueError: a value is NaN or not within 0 to 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if wrong := p[~((p >= 0) & (p <= 1))].tolist():
        raise ValueError(f"p-values must lie within 0 to 1, got {wrong}")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order])
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def compare_models(
    values: Mapping[str, Float64Array],
    seed: int,
    n_resamples: int = N_RESAMPLES,
    progress: Progress = silent,
    against: str | None = None,
) -> Significance:
    """Pairs of models, each with interval, p-value and p-value corrected for all pairs (`holm`).

    Paired bootstrap over users with the null hypothesis made true by a shift (Efron and
    Tibshirani 1993, An Introduction to the Bootstrap, section 16.4; for retrieval Smucker, Allan
    and Carterette 2007, CIKM): p is the share of resamples whose mean difference lies at least as
    far from the observed one as this lies from 0, the observed one counted as one more resample
    (Davison and Hinkley 1997, Bootstrap Methods and their Application, chapter 4), so

        p = (1 + resamples with |resampled - observed| >= |observed|) / (1 + n_resamples)

    No corrected value is below n_pairs / (1 + n_resamples): the default can tell apart up to 32
    models, all pairs, at 0.05. The null says that means are equal, so models equal for all users
    have p = 1, and one that is better by the same for each user has the least p. Differences as
    small as rounding count as 0. A single user proves nothing: p = 1. Spread is estimated as that
    of m users and not m - 1, which is exact enough for hundreds of users, not for tens.

    Args:
        values: Model to a metric of each user, more is better, float64, shape (m,), all of the
            same users in the same order.
        seed: The same seed gives the same resamples as `recsys.evaluation.bootstrap.paired`.
        n_resamples: Number of bootstrap resamples.
        progress: Reports "bootstrap resamples", block by block.
        against: A model to compare every other with, in place of all pairs; one chosen before
            the values were seen, such as a baseline, because only then is the correction for
            fewer pairs valid. For the best see `Significance.against_best`.

    Raises:
        ValueError: fewer than two models, no users, different numbers of them, or a value that
            is not finite.
        KeyError: no model is called `against`.
    """
    table = _table(values)
    names = list(values)
    chosen = _chosen(names, against)
    means = table.mean(axis=0)
    drawn = resampled_deviations(table, seed, n_resamples, progress)
    m = len(table)
    noise = m * np.finfo(np.float64).eps * float(np.abs(table).max()) if m > 1 else np.inf
    gaps = [(float(means[b] - means[a]), drawn[:, b] - drawn[:, a]) for a, b in chosen]
    p = np.array([_p_value(gap, deviations, noise) for gap, deviations in gaps])
    pairs = tuple(
        Pair(names[a], names[b], _estimate(*gap), float(alone), corrected)
        for (a, b), gap, alone, corrected in zip(chosen, gaps, p, holm(p).tolist(), strict=True)
    )
    estimates = {name: _estimate(float(means[n]), drawn[:, n]) for n, name in enumerate(names)}
    return Significance(estimates, pairs, m, n_resamples, seed)


def averaged_over_seeds(
    tables: Sequence["pd.Series[float]"],
) -> tuple[npt.NDArray[np.object_], Float64Array]:
    """Every user's metric, averaged over the split seeds in which that user was judged.

    Users of a split by users are judged in some seeds only, and each still counts once: the mean
    of the result is therefore the mean over users, and not exactly that over seeds. It is for
    comparing models over several splits with users as the units: seeds share users, so their
    rows are not independent and must not be stacked. All models need the tables of the same
    seeds.

    Args:
        tables: For each seed a metric by external user id, float64, without missing values.

    Returns:
        External user ids, rising, object array of shape (m,), and means, float64, shape (m,).

    Raises:
        ValueError: there is no table, a user is twice in one, or a value is missing.
    """
    if not tables:
        raise ValueError("no seeds to average over")
    for n, table in enumerate(tables):
        if twice := table.index[table.index.duplicated()].tolist():
            raise ValueError(f"user {twice[0]!r} is more than once in table {n}")
        if missing := table.index[table.isna()].tolist():
            raise ValueError(f"user {missing[0]!r} has no value in table {n}")
    means = pd.concat(tables).groupby(level=0, sort=True).mean()
    return np.asarray(means.index, dtype=object), np.asarray(means, dtype=np.float64)


def spread(values: Sequence[float]) -> SeedSpread:
    """Mean and standard deviation over split seeds.

    Seeds share users and most cells, so this describes the influence of the split; it is no test.

    Args:
        values: One value per seed, such as the mean NDCG of a model or its coverage.

    Raises:
        ValueError: there is no value.
    """
    if not len(values):
        raise ValueError("no seeds to take the spread over")
    array = np.asarray(values, dtype=np.float64)
    return SeedSpread(float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None)


def _table(values: Mapping[str, Float64Array]) -> Float64Array:
    """A column per model, float64, shape (m, n_models), laid out by columns."""
    if len(values) < 2:
        raise ValueError(f"a comparison needs two models, got {list(values)}")
    lengths = {name: len(column) for name, column in values.items()}
    if len(set(lengths.values())) > 1 or not any(lengths.values()):
        raise ValueError(f"models must be judged on the same users, got {lengths}")
    for name, column in values.items():
        if n_missing := int(np.count_nonzero(~np.isfinite(column))):
            raise ValueError(f"{n_missing} values of {name!r} are not finite")
    # Summed row by row, a mean would depend on the number of models beside it.
    return np.asfortranarray(np.column_stack(list(values.values())), dtype=np.float64)


def _chosen(names: Sequence[str], against: str | None) -> list[tuple[int, int]]:
    if against is None:
        return list(combinations(range(len(names)), 2))
    if against not in names:
        raise KeyError(f"no model {against!r} among {list(names)}")
    a = names.index(against)
    return [(a, b) for b in range(len(names)) if b != a]


def _p_value(gap: float, deviations: Float64Array, noise: float) -> float:
    n_as_far = np.count_nonzero(np.abs(deviations) >= abs(gap) - noise)
    return float((1 + n_as_far) / (1 + len(deviations)))


def _estimate(mean: float, deviations: Float64Array) -> Estimate:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(deviations, [tail, 1 - tail]).tolist()
    return Estimate(mean, mean + low, mean + high)
