"""Confidence intervals of means over users, and of the difference between two models.

Non-parametric bootstrap over users, percentile method (Efron and Tibshirani 1993, An Introduction
to the Bootstrap, chapter 13): draw as many users as there are, with replacement, take the mean,
repeat; the 2.5 % and 97.5 % quantiles of these means are the 95 % interval. Two models are
compared on the same drawn users (paired), so the difficulty of a user cancels out.

Coverage and Gini get no interval: a resample has fewer distinct lists, which lowers
coverage and raises Gini for any model, so the interval would miss the value itself.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from recsys.dtypes import Float64Array, Int32Array, Int64Array
from recsys.evaluation.report import Report
from recsys.progress import Progress, silent

Exponents = npt.NDArray[np.int32]

N_RESAMPLES = 2000
LEVEL = 0.95
_BLOCK_BYTES = 2**26
_USERS_AT_ONCE = 2**12
_DRAWN = 2**20  # users that are drawn at once,
_AHEAD = 8  # and how often before they are used


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the ends of its 95 % interval, both None where it has none."""

    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """The value and its interval, as every table shows them: `0.1235 [0.1000, 0.2000]`."""
        return self._text("")

    @property
    def signed_text(self) -> str:
        """The difference and its interval with signs: `+0.0100 [-0.0050, +0.0250]`."""
        return self._text("+")

    def _text(self, sign: str) -> str:
        form = f"{sign}.{4 if abs(self.mean) < 10 else 1}f"
        if self.low is None or self.high is None:
            return f"{self.mean:{form}}"
        return f"{self.mean:{form}} [{self.low:{form}}, {self.high:{form}}]"


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric of two models.

    Attributes:
        metric: Its name, such as `ndcg@10`.
        a: The first model, usually the baseline.
        b: The second model.
        difference: b - a, over the same resampled users.
        improvement: b / a - 1; None where a is 0.
    """

    metric: str
    a: Estimate
    b: Estimate
    difference: Estimate
    improvement: float | None


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two models on the same users, metric by metric.

    Attributes:
        rows: One per metric, in the order of `Report.summary()`.
        n_users: Number of users judged.
        n_resamples: Number of bootstrap resamples.
        seed: Seed of the resamples.
    """

    rows: tuple[MetricRow, ...]
    n_users: int
    n_resamples: int
    seed: int

    def __getitem__(self, metric: str) -> MetricRow:
        """The row of `metric`; KeyError if there is none."""
        for row in self.rows:
            if row.metric == metric:
                return row
        raise KeyError(metric)

    def frame(self) -> pd.DataFrame:
        """One row per metric (index "metric"), float64 columns, NaN where there is no value.

        Columns are mean, low and high of a, b and difference, as `mean_a`, and `improvement`.
        """
        table = {
            row.metric: {
                f"{part}_{name}": value
                for name, estimate in (("a", row.a), ("b", row.b), ("difference", row.difference))
                for part, value in asdict(estimate).items()
            }
            | {"improvement": row.improvement}
            for row in self.rows
        }
        return pd.DataFrame.from_dict(table, orient="index", dtype=float).rename_axis("metric")


def interval(
    report: Report, seed: int, n_resamples: int = N_RESAMPLES, progress: Progress = silent
) -> dict[str, Estimate]:
    """Every value of `report.summary()` with its 95 % interval; none for coverage and Gini.

    Args:
        report: Per-user values of a model.
        seed: The same seed gives the same numbers, and the same resamples as `paired`.
        n_resamples: Number of bootstrap resamples.
        progress: Reports "bootstrap resamples", block by block.
    """
    drawn = resampled_deviations(report.per_user.to_numpy(), seed, n_resamples, progress)
    return _estimates(report.summary(), list(report.per_user.columns), drawn)


def paired(
    a: Report, b: Report, seed: int, n_resamples: int = N_RESAMPLES, progress: Progress = silent
) -> PairedComparison:
    """Two models with 95 % intervals of both and of the paired difference b - a.

    Args:
        a: Per-user values of the first model, usually the baseline.
        b: Those of the second, of the same users.
        seed: The same seed gives the same numbers, and the same resamples as `interval`.
        n_resamples: Number of bootstrap resamples.
        progress: Reports "bootstrap resamples", block by block.

    Raises:
        ValueError: the reports are not of the same users, or not of the same metrics.
    """
    if differing := np.setxor1d(a.users, b.users).size:
        raise ValueError(f"{differing} users are in one of the two reports only")
    columns, of_a, of_b = list(a.per_user.columns), a.summary(), b.summary()
    if of_a.keys() != of_b.keys() or columns != list(b.per_user.columns):
        raise ValueError(f"metrics differ: {sorted(of_a.keys() ^ of_b.keys()) or 'their order'}")
    both = [a.per_user.to_numpy(), b.per_user.to_numpy()]
    drawn_a, drawn_b = _deviations(both, seed, n_resamples, progress)
    of_both = {metric: of_b[metric] - of_a[metric] for metric in of_a}
    first, second = _estimates(of_a, columns, drawn_a), _estimates(of_b, columns, drawn_b)
    difference = _estimates(of_both, columns, drawn_b - drawn_a)
    rows = tuple(
        MetricRow(m, first[m], second[m], difference[m], improvement(of_a[m], of_b[m]))
        for m in of_a
    )
    return PairedComparison(rows, len(a.users), n_resamples, seed)


def column_intervals(
    values: Float64Array, seed: int, n_resamples: int = N_RESAMPLES, progress: Progress = silent
) -> list[Estimate]:
    """The mean of each column with its 95 % interval, all on the same resamples of users.

    Args:
        values: Per-user values, float64, shape (m, n_columns).
        seed: The same seed gives the same resamples as `interval` and `paired`.
        n_resamples: Number of bootstrap resamples.
        progress: Reports "bootstrap resamples", block by block.
    """
    drawn = resampled_deviations(values, seed, n_resamples, progress)
    means = np.asfortranarray(values).mean(axis=0).tolist()
    names = [str(n) for n in range(len(means))]
    estimates = _estimates(dict(zip(names, means, strict=True)), names, drawn)
    return [estimates[name] for name in names]


def unpaired(
    a: Float64Array, b: Float64Array, seeds: tuple[int, int], n_resamples: int = N_RESAMPLES
) -> tuple[Estimate, Estimate, Estimate]:
    """Means of a, of b and of b - a with 95 % intervals, where a and b are of other users.

    Args:
        a: Per-user values, float64, shape (m,).
        b: Per-user values of other users, float64, shape (n,).
        seeds: Of the resamples of a and of b.
        n_resamples: Number of bootstrap resamples.
    """
    drawn = [
        resampled_deviations(values[:, None], seed, n_resamples)
        for values, seed in zip((a, b), seeds, strict=True)
    ]
    means = {"a": float(a.mean()), "b": float(b.mean())}
    means["difference"] = means["b"] - means["a"]
    deviations = np.hstack([*drawn, drawn[1] - drawn[0]])
    found = _estimates(means, list(means), deviations)
    return found["a"], found["b"], found["difference"]


def resampled_deviations(
    values: Float64Array, seed: int, n_resamples: int = N_RESAMPLES, progress: Progress = silent
) -> Float64Array:
    """Resampled means minus the mean of all users, all columns on the same resamples.

    Equal columns have equal results to the last bit, in any position.

    Args:
        values: Per-user values, float64, shape (m, n_columns).
        seed: The same seed gives the same resamples as `interval` and `paired`.
        n_resamples: Number of bootstrap resamples.
        progress: Reports "bootstrap resamples", block by block.

    Returns:
        float64, shape (n_resamples, n_columns).
    """
    [drawn] = _deviations([values], seed, n_resamples, progress)
    return drawn


def improvement(a: float, b: float) -> float | None:
    """How much more b is than a, b / a - 1; None where a is 0."""
    return b / a - 1 if a else None


def excludes_zero(difference: Estimate) -> bool:
    """Whether the whole interval is above or below 0: only then is a difference shown.

    False without an interval. The metric decides which sign is better: more is better for accuracy,
    while mean popularity and novelty only describe.
    """
    if difference.low is None or difference.high is None:
        return False
    return difference.low > 0 or difference.high < 0


def _estimates(
    values: dict[str, float], columns: Sequence[str], deviations: Float64Array
) -> dict[str, Estimate]:
    """`values` with intervals where `deviations`, (n_resamples, len(columns)), has a column."""
    tail = (1 - LEVEL) / 2
    ends = np.quantile(deviations, [tail, 1 - tail], axis=0).T.tolist()
    estimates = {
        name: Estimate(values[name], values[name] + low, values[name] + high)
        for name, (low, high) in zip(columns, ends, strict=True)
    }
    return {name: estimates.get(name, Estimate(value)) for name, value in values.items()}


def _deviations(
    tables: Sequence[Float64Array],
    seed: int,
    n_resamples: int,
    progress: Progress = silent,
    block_bytes: int = _BLOCK_BYTES,
) -> list[Float64Array]:
    """Resampled means minus the mean of all users, of several tables on the same resamples.

    A resample is a row of counts, how often each user was drawn, so a block of resamples is a
    matrix product. The values enter as whole numbers with few enough bits that every sum is exact:
    neither the size of a block nor the threads of the matrix library change a result.

    Args:
        tables: Each float64, shape (m, n_columns) with any number of columns.
        seed: Seed of the resamples, which depend on it and on m alone.
        n_resamples: Number of resamples.
        progress: Reports each block.
        block_bytes: About how much memory the counts of a block may take.

    Returns:
        For each table float64, shape (n_resamples, n_columns).
    """
    m = len(tables[0])
    exponents = [_exponents(table) for table in tables]
    numbers = [np.rint(np.ldexp(t, e)) for t, e in zip(tables, exponents, strict=True)]
    totals = [table.sum(axis=0) for table in numbers]
    drawn = [np.empty((n_resamples, table.shape[1])) for table in tables]
    resamples = _resamples(np.random.default_rng(seed), n_resamples, m)
    block = max(1, min(n_resamples, block_bytes // (4 * m)))
    for start in range(0, n_resamples, block):
        end = min(start + block, n_resamples)
        with threadpool_limits(1, "blas"):  # more threads take longer for matrices so narrow
            sums = _sums(_counts(resamples, end - start, m), numbers)
        for deviations, resampled, whole, exponent in zip(
            drawn, sums, totals, exponents, strict=True
        ):
            deviations[start:end] = np.ldexp(resampled / m - whole / m, -exponent)
        progress("bootstrap resamples", end, n_resamples)
    return drawn


def _resamples(rng: np.random.Generator, n_resamples: int, m: int) -> Iterator[Int64Array]:
    """The m users of each resample; another thread draws them ahead of their use."""
    size = max(1, _DRAWN // m)  # resamples that are drawn at once
    sizes = [min(size, n_resamples - start) for start in range(0, n_resamples, size)]
    with ThreadPoolExecutor(1) as thread:
        ahead: deque[Future[Int64Array]] = deque()
        for n in [*sizes, *[0] * _AHEAD]:
            if n:
                ahead.append(thread.submit(rng.integers, 0, m, (n, m)))
            if len(ahead) > _AHEAD or (ahead and not n):
                yield from ahead.popleft().result()


def _counts(resamples: Iterator[Int64Array], n_resamples: int, m: int) -> Int32Array:
    """How often each of m users is in each of the next resamples, int32, (n_resamples, m)."""
    counts = np.empty((n_resamples, m), dtype=np.int32)
    for row in counts:
        row[:] = np.bincount(next(resamples), minlength=m)
    return counts


def _sums(counts: Int32Array, numbers: Sequence[Float64Array]) -> list[Float64Array]:
    """Sums over users of tables of whole numbers, a row per row of counts.

    In blocks of users: whole counts in float64 need much memory.
    """
    sums = [np.zeros((len(counts), table.shape[1])) for table in numbers]
    for start in range(0, counts.shape[1], _USERS_AT_ONCE):
        users = slice(start, start + _USERS_AT_ONCE)
        times = counts[:, users].astype(np.float64)
        for total, table in zip(sums, numbers, strict=True):
            total += times @ table[users]
    return sums


def _exponents(values: Float64Array) -> Exponents:
    """The e of each column for which round(values * 2^e) has as many bits as exact sums allow.

    The numbers are so small that m of them sum to less than 2^53 and thus exactly in float64;
    for 20,000 users they keep 38 bits, 11 decimal digits of the largest value of the column.
    """
    bits = 53 - len(values).bit_length()
    largest = np.maximum(values.max(axis=0), -values.min(axis=0))
    # With int64 instead of int32 ldexp takes ten times as long.
    return np.asarray(bits - np.frexp(largest)[1], dtype=np.int32)
