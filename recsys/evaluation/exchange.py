"""Whether a published test side looks as if it had been cut at random.

A baseline, which is not tuned, is judged on validation, on the test side, and on a random cut of
the log and the test side together. Where the test side was cut at random, the last two values
differ by chance alone. All of this belongs to the final report: nothing of it reaches a search.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recsys.dtypes import Float64Array
from recsys.evaluation.bootstrap import (
    N_RESAMPLES,
    Estimate,
    column_intervals,
    excludes_zero,
    unpaired,
)
from recsys.evaluation.metrics import parsed
from recsys.evaluation.protocol import judge
from recsys.models import build
from recsys.models.config import ModelConfig
from recsys.progress import Progress, silent
from recsys.seeds import seed_for
from recsys.splitting.split import Fold, drawn

NOTEWORTHY = 0.02  # of the value on a random cut: a smaller difference changes no decision
FEW_UNKNOWN = 0.01  # share of users or pairs that the log does not know


@dataclass(frozen=True, slots=True)
class Exchange:
    """A test side beside a random cut.

    Attributes:
        metric: What the baseline is judged by, such as `ndcg@10`.
        model: The baseline.
        validation: Its value on validation.
        test: On the test side.
        random: On a random cut of log and test side together, as large as the test side.
        difference: test - random.
        shares: Of the test side (first) and of that random cut: users without anything in
            training, pairs of items that nobody in training has.
        activity: Median number of items in training of the users judged on validation, on test
            and on the random cut.
    """

    metric: str
    model: str
    validation: Estimate
    test: Estimate
    random: Estimate
    difference: Estimate
    shares: Mapping[str, tuple[float, float]]
    activity: tuple[float, ...]

    @property
    def reasons(self) -> list[str]:
        """In which ways the test side differs from a random cut; none where it looks like one."""
        found = []
        value = abs(self.difference.mean) > NOTEWORTHY * self.random.mean
        if value and excludes_zero(self.difference):
            found.append(self.metric)
        return found + [
            name for name, (here, there) in self.shares.items() if here - there > FEW_UNKNOWN
        ]

    @property
    def sentence(self) -> str:
        """What was found, in one sentence."""
        values = (
            f"popularity {self.metric} {_text(self.validation)} on validation, "
            f"{_text(self.test)} on test, {_text(self.random)} on a random cut of its size"
        )
        if not self.reasons:
            return f"the test side looks like a random cut: {values}"
        others = [
            f"{self.shares[name][0]:.1%} {name} ({self.shares[name][1]:.1%} in a random cut)"
            for name in self.reasons
            if name in self.shares
        ]
        return "; ".join([f"the test side differs from a random cut: {values}", *others])

    def as_json(self) -> dict[str, Any]:
        """Every figure, and the sentence."""
        return {**asdict(self), "reasons": self.reasons, "sentence": self.sentence}


def _text(value: Estimate) -> str:
    if value.low is None or value.high is None:
        return f"{value.mean:.3f}"
    return f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"


def exchange(
    validation: Fold,
    test: Fold,
    config: ModelConfig,
    metric: str,
    min_items: int,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    progress: Progress = silent,
) -> Exchange | None:
    """The test side of a published cut beside a random cut; None where nothing can be cut.

    Args:
        validation: The validation fold.
        test: The test fold, whose training side holds that of the validation fold.
        config: Of the baseline.
        metric: With its cut-off.
        min_items: Users with fewer are not judged on the random cut.
        seed: Root seed.
        n_resamples: Of the intervals.
        progress: Takes each batch of judged users.
    """
    random = random_fold(test, min_items, seed_for(seed, "exchange", "cut"))
    if random is None:
        return None
    folds = (validation, test, random)
    values = [_values(config, fold, metric, progress) for fold in folds]
    seeds = [seed_for(seed, "exchange", name) for name in ("validation", "test", "random")]
    [shown] = column_intervals(values[0][:, None], seeds[0], n_resamples)
    of_random, of_test, difference = unpaired(
        values[2], values[1], (seeds[2], seeds[1]), n_resamples
    )
    shares = {name: (share(test), share(random)) for name, share in UNKNOWN.items()}
    medians = [float(np.median(fold.train.per_user()[fold.judged])) for fold in folds]
    return Exchange(
        metric, config.kind, shown, of_test, of_random, difference, shares, tuple(medians)
    )


def random_fold(test: Fold, min_items: int, seed: int) -> Fold | None:
    """Both sides of a test fold together, cut at random into sides of about the same sizes.

    Users with fewer than `min_items` items are not judged; where that is everybody, those with
    two are. None where nobody has two.
    """
    whole = test.train.merged(test.held_out)
    share = len(test.held_out) / len(whole)
    hidden = drawn(whole, share, min_items, seed)
    if not hidden.any():
        hidden = drawn(whole, share, 2, seed)
    if not hidden.any():
        return None
    train = whole.where(~hidden)
    return Fold(train, train, whole.where(hidden), test.profiles)


def _values(config: ModelConfig, fold: Fold, metric: str, progress: Progress) -> Float64Array:
    """What the baseline is worth to each judged user, float64, shape (m,)."""
    model = build(config, 0, profiles=fold.profiles).fit(fold.train)
    name, k = parsed(metric)
    report = judge(model, fold, [k], [name], progress)
    return report.per_user[metric].to_numpy(np.float64)


def _unknown_users(fold: Fold) -> float:
    return float((fold.train.per_user()[fold.judged] == 0).mean())


def _unknown_items(fold: Fold) -> float:
    return fold.unreachable / len(fold.held_out)


UNKNOWN: Mapping[str, Callable[[Fold], float]] = {
    "of its users are not in the log": _unknown_users,
    "of its pairs are of items that nobody in the log has": _unknown_items,
}
