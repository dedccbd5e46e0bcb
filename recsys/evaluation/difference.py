"""Two judged models user by user and item by item: whom one serves better, and what it shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.evaluation.bootstrap import N_RESAMPLES, PairedComparison, paired
from recsys.evaluation.objectives import lower_is_better
from recsys.evaluation.report import Report
from recsys.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class Change:
    """A user or an item in the reports of two models.

    Attributes:
        number: Its row in the id map.
        a: The user's value of the metric, or the number of lists with the item, by the first.
        b: By the second.
    """

    number: int
    a: float
    b: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How a second model differs from a first one.

    Attributes:
        metric: That users gain or lose, such as `ndcg@10`.
        comparison: Every metric, paired over users: the first is a, the second b.
        n_gained: Users with a better value.
        n_lost: Users with a worse value.
        gained: Those who gain most, most first.
        lost: Those who lose most, most first.
        shown_more: Items that more lists have, at the metric's k, most first.
        shown_less: Items that fewer lists have, most first.
    """

    metric: str
    comparison: PairedComparison
    n_gained: int
    n_lost: int
    gained: Sequence[Change]
    lost: Sequence[Change]
    shown_more: Sequence[Change]
    shown_less: Sequence[Change]


def difference(
    a: Report,
    b: Report,
    metric: str,
    n: int,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    progress: Progress = silent,
) -> Difference:
    """Compare two reports of the same users; of equal changes the lower number comes first.

    Args:
        a: Of the first model.
        b: Of the second.
        metric: A per-user metric of both, such as `ndcg@10`; its k is that of the lists.
        n: How many users and items are listed, at most.
        seed: Of the resamples.
        n_resamples: Number of bootstrap resamples.
        progress: As of `recsys.evaluation.bootstrap.paired`.

    Raises:
        ValueError: the reports differ in users, items or metrics, or have no such metric.
    """
    if metric not in a.per_user:
        raise ValueError(f"{metric} is not among the metrics of every user")
    k = int(metric.rpartition("@")[2])
    n_a, n_b = (len(report.exposure[k]) for report in (a, b))
    if n_a != n_b:
        raise ValueError(f"{n_a} items in one report, {n_b} in the other")
    comparison = paired(a, b, seed, n_resamples, progress)
    of_a, of_b = (report.per_user[metric].to_numpy(np.float64) for report in (a, b))
    gain = of_a - of_b if lower_is_better(metric) else of_b - of_a
    lists_a, lists_b = (report.exposure[k].astype(np.float64) for report in (a, b))
    every = np.arange(len(lists_a))
    return Difference(
        metric,
        comparison,
        int((gain > 0).sum()),
        int((gain < 0).sum()),
        _largest(a.users, of_a, of_b, gain, n),
        _largest(a.users, of_a, of_b, -gain, n),
        _largest(every, lists_a, lists_b, lists_b - lists_a, n),
        _largest(every, lists_a, lists_b, lists_a - lists_b, n),
    )


def _largest(
    numbers: npt.NDArray[np.integer],
    a: npt.NDArray[np.float64],
    b: npt.NDArray[np.float64],
    change: npt.NDArray[np.float64],
    n: int,
) -> list[Change]:
    """Those with the largest changes above 0."""
    order = np.argsort(-change, kind="stable")[:n]
    return [Change(int(numbers[i]), float(a[i]), float(b[i])) for i in order if change[i] > 0]
