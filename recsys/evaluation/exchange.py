"""Whether a published test side looks as if it had been cut at random.

A baseline, which is not tuned, is judged on validation, on the test side, and on random cuts in
which each user gives up as many items as on the test side. Where the test side was drawn at random,
the last two values differ by chance alone. All of this belongs to the final report: nothing of it
reaches a search.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recsys.dtypes import Float64Array
from recsys.evaluation.bootstrap import (
    N_RESAMPLES,
    Estimate,
    column_intervals,
    unpaired,
)
from recsys.evaluation.metrics import parsed
from recsys.evaluation.protocol import judge
from recsys.models import build
from recsys.models.config import ModelConfig
from recsys.progress import Progress, silent
from recsys.seeds import seed_for
from recsys.splitting.split import Fold, redrawn

CUTS = 5  # random ones, of which the mean is taken; one where MANY users are judged
MANY = 20_000
SURE = 1.5  # half intervals of 95 %: 3 standard errors, or each 20th random cut would differ
NOTEWORTHY = 0.02  # of the value on a random cut: a smaller difference changes no decision
MANY_MORE = 1.25  # times as many that the log does not know as in a random cut
FEW_UNKNOWN = 0.01  # share of users or pairs that the log does not know
USERS = "of its users are not in the log"
PAIRS = "of its pairs are of items that nobody in the log has"
UNEVEN = 1.5  # variance of the shares that users give up, where 1 is that of a random cut


@dataclass(frozen=True, slots=True)
class Exchange:
    """A test side beside a random cut.

    Attributes:
        metric: What the baseline is judged by, such as `ndcg@10`.
        model: The baseline.
        validation: Its value on validation.
        test: On the test side.
        random: On random cuts in which each user gives up as many items.
        difference: test - random, of the same users.
        from_validation: test - validation.
        shares: Of the test side (first) and of a random cut: users without anything in training
            (of a random cut hardly any), pairs of items that nobody in training has.
        unevenness: Variance of the shares of their items that users give up, over that where
            each item is drawn alike: 1, or less, in a random cut.
        activity: Median number of items in training of the users judged on validation and test.
    """

    metric: str
    model: str
    validation: Estimate
    test: Estimate
    random: Estimate
    difference: Estimate
    from_validation: Estimate
    shares: Mapping[str, tuple[float, float]]
    unevenness: float
    activity: tuple[float, float]

    @property
    def reasons(self) -> list[str]:
        """In which ways the test side differs from a random cut; none where it looks like one."""
        found = [self.metric] * _differs(self.difference, self.random)
        unknown = (f"{here:.1%} {name}" for name, (here, _) in self._unknown)
        uneven = f"users give up unequal shares ({self.unevenness:.1f} times a random variance)"
        return [*found, *unknown, *[uneven] * (self.unevenness > UNEVEN)]

    @property
    def _unknown(self) -> list[tuple[str, tuple[float, float]]]:
        return [
            (name, (here, there))
            for name, (here, there) in self.shares.items()
            if here > there + FEW_UNKNOWN and here > MANY_MORE * there
        ]

    @property
    def sentence(self) -> str:
        """What was found, in one sentence."""
        values = (
            f"popularity {self.metric} {_text(self.validation)} on validation, "
            f"{_text(self.test)} on test, {_text(self.random)} on a random cut of its sizes"
        )
        if self.reasons:
            others = [each for each in self.reasons if each != self.metric]
            return "; ".join([f"the test side differs from a random cut: {values}", *others])
        but = ", but differs from validation" * _differs(self.from_validation, self.validation)
        return f"the test side looks like a random cut of its sizes{but}: {values}"

    def as_json(self) -> dict[str, Any]:
        """Every figure, and the sentence."""
        return {**asdict(self), "reasons": self.reasons, "sentence": self.sentence}


def _differs(difference: Estimate, value: Estimate) -> bool:
    if difference.low is None or difference.high is None:
        return False
    half = (difference.high - difference.low) / 2
    return abs(difference.mean) > max(SURE * half, NOTEWORTHY * value.mean)


def _text(value: Estimate) -> str:
    if value.low is None or value.high is None:
        return f"{value.mean:.3f}"
    return f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"


def exchange(
    validation: Fold,
    test: Fold,
    config: ModelConfig,
    metric: str,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    progress: Progress = silent,
) -> Exchange:
    """The test side of a published cut beside a random cut.

    Args:
        validation: The validation fold.
        test: The test fold, whose training side holds that of the validation fold.
        config: Of the baseline.
        metric: With its cut-off.
        seed: Root seed.
        n_resamples: Of the intervals.
        progress: Takes each batch of judged users.
    """
    n_cuts = CUTS if len(test.judged) <= MANY else 1
    cuts = [redrawn(test, seed_for(seed, "exchange", n)) for n in range(n_cuts)]
    on_validation, on_test, *drawn = (
        _values(config, fold, metric, progress) for fold in (validation, test, *cuts)
    )
    on_random = np.mean(drawn, axis=0)
    seeds = (seed_for(seed, "exchange", "validation"), seed_for(seed, "exchange", "test"))
    paired = np.column_stack([on_test, on_random, on_test - on_random])
    of_test, of_random, difference = column_intervals(paired, seeds[1], n_resamples)
    of_validation, _, apart = unpaired(on_validation, on_test, seeds, n_resamples)
    return Exchange(
        metric=metric,
        model=config.kind,
        validation=of_validation,
        test=of_test,
        random=of_random,
        difference=difference,
        from_validation=apart,
        shares={USERS: (_unknown_users(test), 0.0), PAIRS: (_unknown(test), _unknown(cuts[0]))},
        unevenness=unevenness(test),
        activity=(_activity(validation), _activity(test)),
    )


def unevenness(fold: Fold) -> float:
    """How unequal the shares are that users give up; 1 where each cell is drawn alike.

    The mean over users of the squared deviation of their held-out cells from the share p of all
    cells, over the variance n p (1 - p) of n draws. Users without two cells do not count.
    """
    held_out = fold.held_out.per_user().astype(np.float64)
    sizes = fold.train.per_user() + held_out
    counted = sizes > 1
    held_out, sizes = held_out[counted], sizes[counted]
    share = held_out.sum() / max(sizes.sum(), 1)
    if not 0 < share < 1:
        return 1.0
    return float(np.mean((held_out - share * sizes) ** 2 / (sizes * share * (1 - share))))


def _values(config: ModelConfig, fold: Fold, metric: str, progress: Progress) -> Float64Array:
    """What the baseline is worth to each judged user, float64, shape (m,)."""
    model = build(config, 0, profiles=fold.profiles).fit(fold.train)
    name, k = parsed(metric)
    report = judge(model, fold, [k], [name], progress)
    return report.per_user[metric].to_numpy(np.float64)


def _activity(fold: Fold) -> float:
    return float(np.median(fold.train.per_user()[fold.judged]))


def _unknown_users(fold: Fold) -> float:
    return float((fold.train.per_user()[fold.judged] == 0).mean())


def _unknown(fold: Fold) -> float:
    return fold.unreachable / len(fold.held_out)


@dataclass(frozen=True, slots=True)
class SidesAlike:
    """Validation beside the test side of a cut in which a baseline may do differently on the two.

    Attributes:
        metric: What the baseline is judged by.
        model: The baseline, fitted on the training side of each.
        validation: Its value on validation.
        test: On the test side.
        difference: test - validation, of other users.
        activity: Median number of items known of the users judged on validation and on test.
    """

    metric: str
    model: str
    validation: Estimate
    test: Estimate
    difference: Estimate
    activity: tuple[float, float]

    @property
    def differs(self) -> bool:
        """Whether the values are further apart than chance makes them."""
        return _differs(self.difference, self.validation)

    @property
    def sentence(self) -> str:
        """What was found, in one sentence."""
        found = "differ" if self.differs else "look exchangeable"
        return (
            f"validation and test {found}: popularity {self.metric} {_text(self.validation)} on "
            f"validation, {_text(self.test)} on test; their users have {self.activity[0]:g} and "
            f"{self.activity[1]:g} known items (median)"
        )

    def as_json(self) -> dict[str, Any]:
        """Every figure, and the sentence."""
        return {**asdict(self), "differs": self.differs, "sentence": self.sentence}


def sides_alike(
    validation: Fold,
    test: Fold,
    config: ModelConfig,
    metric: str,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    progress: Progress = silent,
) -> SidesAlike:
    """Validation beside test, where users are held out, or where one moment cuts all users.

    The arguments are those of `exchange`.
    """
    values = [_values(config, fold, metric, progress) for fold in (validation, test)]
    seeds = (seed_for(seed, "exchange", "validation"), seed_for(seed, "exchange", "test"))
    on_validation, on_test, apart = unpaired(values[0], values[1], seeds, n_resamples)
    known = [float(np.median(fold.history.per_user()[fold.judged])) for fold in (validation, test)]
    return SidesAlike(metric, config.kind, on_validation, on_test, apart, (known[0], known[1]))
