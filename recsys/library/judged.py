"""What models are worth on held-out plays, with intervals, and compared on the same users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import zip_longest

import pandas as pd

from recsys.errors import InputError
from recsys.evaluation.bootstrap import N_RESAMPLES, Estimate, interval, paired
from recsys.evaluation.fitting import check_order
from recsys.evaluation.metrics import parsed
from recsys.evaluation.protocol import judge
from recsys.evaluation.report import Report
from recsys.evaluation.sample_user import sample_user, shown_to
from recsys.library.fitted import Fitted, Side, check_length, fit
from recsys.models.config import ModelConfig
from recsys.splitting.split import Fold, Split


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The figures of a model on one side of a split.

    Attributes:
        model: In words.
        side: Which side.
        report: The metrics of each judged user.
        seed: Of the resamples.
    """

    model: str
    side: Side
    report: Report
    seed: int

    def __getitem__(self, metric: str) -> Estimate:
        """A metric, such as "ndcg@10", with its 95 % interval.

        Raises:
            KeyError: no such metric.
        """
        return interval(self.report, self.seed)[metric]

    @property
    def bands(self) -> dict[str, tuple[float, float | None, float | None]]:
        """Each metric with mean, low and high, as the pictures of `recsys.plots` take them."""
        found = interval(self.report, self.seed)
        return {name: (each.mean, each.low, each.high) for name, each in found.items()}

    @property
    def table(self) -> pd.DataFrame:
        """A row for each metric: mean over users, and the ends of its 95 % interval."""
        return pd.DataFrame.from_dict(
            self.bands, orient="index", columns=["mean", "low", "high"], dtype=float
        ).rename_axis("metric")

    def __repr__(self) -> str:
        lines = [
            f"{name:<16} {each.text}" for name, each in interval(self.report, self.seed).items()
        ]
        head = f"{self.model}: {len(self.report.users):,} users of the {self.side} side"
        return "\n".join([head, *lines])

    def _repr_html_(self) -> str:
        model, n_users = escape(self.model), len(self.report.users)
        head = f"<p>{model}: {n_users:,} users of the {self.side} side</p>"
        return head + str(self.table.to_html(border=0, float_format="{:.4f}".format, na_rep=""))


def evaluate(
    model: Fitted,
    split: Split | Fold,
    *,
    ks: Sequence[int] = (10,),
    side: Side = "test",
    seed: int = 0,
) -> Evaluation:
    """What a fitted model is worth to the users with something held out.

    Args:
        model: Fitted on the training side of the same fold.
        split: Where it was fitted.
        ks: Cut-offs of the lists.
        side: "test", once and at the end, or "validation", to tune.
        seed: Of the resamples of the intervals.

    Raises:
        InputError: the model was fitted on other plays, so its figures would mean nothing, or it
            learns from an order that the split does not keep.
    """
    fold = _same_fold(model, split, side)
    check_order(model.config, fold)
    return Evaluation(model.config.kind, side, judge(model.served.model, fold, ks), seed)


def compare(
    models: Sequence[str | ModelConfig | Fitted] | Mapping[str, str | ModelConfig | Fitted],
    split: Split | Fold,
    *,
    metric: str = "ndcg@10",
    side: Side = "test",
    seed: int = 0,
) -> pd.DataFrame:
    """Models on the same users, best first, each with its difference from the best.

    Parameters are not tuned here: `recsys compare` of the command line does that.

    Args:
        models: Names, parameters or fitted models; by name where they are given one.
        split: What they are fitted and judged on.
        metric: With its cut-off.
        side: As in `evaluate`.
        seed: Of models that are fitted here, and of the resamples.

    Returns:
        A row for each model: the metric with the ends of its 95 % interval (low, high), the
        difference to the best with its paired interval, and whether that interval has 0 in it.

    Raises:
        InputError: fewer than two models, two of one name, or as in `fit` and `evaluate`.
    """
    named = dict(models) if isinstance(models, Mapping) else _named(models)
    if len(named) < 2:
        raise InputError(f"a comparison needs two models or more, got {len(named)}")
    try:
        _, k = parsed(metric)
    except ValueError as error:
        raise InputError(f"metric: {error}") from error
    reports = {}
    for label, each in named.items():
        fitted = each if isinstance(each, Fitted) else fit(each, split, seed=seed, side=side)
        reports[label] = evaluate(fitted, split, ks=(k,), side=side, seed=seed).report
    return _ranked(reports, metric, seed)


def show_user(
    model: Fitted,
    split: Split | Fold,
    user: str | None = None,
    *,
    k: int = 10,
    side: Side = "test",
    seed: int = 0,
) -> pd.DataFrame:
    """One user in three columns: the history, what is held out, and the list of a model.

    Args:
        model: Fitted on the training side of the same fold.
        split: Where it was fitted.
        user: Id of a user with something held out; a seeded draw without.
        k: Longest column; those of plays show the most played.
        side: As in `evaluate`.
        seed: Of the draw.

    Returns:
        A row for each rank: history and held_out (item and plays), recommended, and hit, whether
        that was held out. `attrs["user"]` is the id.

    Raises:
        InputError: nothing of this user is held out, or as in `evaluate`.
    """
    check_length(k)
    fold = _same_fold(model, split, side)
    number = sample_user(fold, seed) if user is None else model.served.user(user)
    if number not in fold.judged:
        raise InputError(f"nothing of user {user!r} is held out on the {side} side; name another")
    found = shown_to(model.served.model, fold, number, k)
    played = [[f"{name} ({n:g})" for name, n in each] for each in (found.history, found.held_out)]
    rows = zip_longest(*played, found.recommended)
    table = [(*sides, *(shown or (None, None))) for *sides, shown in rows]
    columns = ["history", "held_out", "recommended", "hit"]
    frame = pd.DataFrame(table, columns=columns, index=range(1, len(table) + 1))
    frame.attrs["user"] = found.user
    return frame.rename_axis("rank")


def _ranked(reports: Mapping[str, Report], metric: str, seed: int) -> pd.DataFrame:
    best = max(reports, key=lambda label: reports[label].summary()[metric])
    rows = {}
    for label, report in reports.items():
        own = interval(report, seed, N_RESAMPLES)[metric]
        apart = paired(reports[best], report, seed)[metric].difference
        tied = label == best or (apart.low or 0.0) <= 0.0 <= (apart.high or 0.0)
        rows[label] = (own.mean, own.low, own.high, apart.mean, apart.low, apart.high, tied)
    columns = [metric, "low", "high", "difference", "difference_low", "difference_high", "tied"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table.sort_values(metric, ascending=False, kind="stable").rename_axis("model")


def _named(
    models: Sequence[str | ModelConfig | Fitted],
) -> dict[str, str | ModelConfig | Fitted]:
    named: dict[str, str | ModelConfig | Fitted] = {}
    for each in models:
        kind = each.config.kind if isinstance(each, Fitted) else each
        label = kind if isinstance(kind, str) else kind.kind
        if label in named:
            raise InputError(
                f"two models are called {label}; give them names, as in "
                f'{{"{label} 64": ..., "{label} 128": ...}}'
            )
        named[label] = each
    return named


def _same_fold(model: Fitted, split: Split | Fold, side: Side) -> Fold:
    """The fold of a side; the model must have been fitted on its training pairs."""
    fold = fold_of(split, side)
    if model.served.cells is not fold.train:
        raise InputError(
            f"the model was not fitted on the training side of this {side} fold, so it may know "
            f"what is held out; fit it with recsys.fit(..., split, side={side!r})"
        )
    return fold


def fold_of(split: Split | Fold, side: Side) -> Fold:
    """The fold of a side; a fold is its own."""
    if isinstance(split, Fold):
        return split
    return split.test if side == "test" else split.validation
