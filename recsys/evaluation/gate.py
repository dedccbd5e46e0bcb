"""The gate: whether a challenger replaces the champion, the model that serves.

    challenger   searched on the new data, fitted on the training side of the new data
    champion     its parameters, refitted on the same training side: decides
    frozen       the champion as it serves, by its arrays: reported only

Challenger and champion are compared on the same test side of the new data, user by user. The
challenger is not worse when the lower end of the 95 % interval of challenger - champion is at least
minus a margin, a share of the champion's value: a non-inferiority test (CONSORT extension, Piaggio
et al. 2012). A challenger whose coverage collapses is refused at any accuracy.

The frozen champion may have been fitted on cells that the new test side holds out. It is judged
only on pairs that are not in its data, of users and items that are.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from recsys.data.interactions import Interactions
from recsys.described import FORM
from recsys.evaluation.bootstrap import N_RESAMPLES, Estimate, MetricRow, paired
from recsys.evaluation.metrics import parsed
from recsys.evaluation.protocol import BATCH, recommend, scored
from recsys.evaluation.report import Report
from recsys.models.recommender import NO_ITEM, Recommendations, Recommender, padded
from recsys.splitting.split import Fold

Rule = Literal["always", "better", "not-worse", "never"]
RULES: tuple[Rule, ...] = get_args(Rule)
Verdict = Literal["promoted", "refused"]


@dataclass(frozen=True, slots=True)
class Gate:
    """The conditions that a challenger has to meet.

    Attributes:
        rule: "not-worse": not worse than the champion beyond the margin; "better": the whole
            interval of the difference above 0; "always" and "never" decide without numbers.
        margin: Largest loss, as a share of the champion's value, in [0, 1).
        coverage: Least coverage, as a share of the champion's coverage, in [0, 1].
    """

    __pydantic_config__ = FORM

    rule: Rule = "not-worse"
    margin: float = 0.01
    coverage: float = 0.8

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"gate {self.rule!r}: use one of {', '.join(RULES)}")
        if not 0 <= self.margin < 1:
            raise ValueError(
                f"margin is {self.margin:g}; give a share of the value from 0 to below 1"
            )
        if not 0 <= self.coverage <= 1:
            raise ValueError(f"coverage is {self.coverage:g}; give a share of it from 0 to 1")


@dataclass(frozen=True, slots=True)
class OnNew:
    """The champion as it serves and the challenger, on pairs that the champion has not seen.

    Attributes:
        n_users: Number of users with such a pair.
        n_pairs: Number of such pairs.
        frozen: The champion as it serves.
        challenger: The challenger, fitted on the training side of the new data.
        difference: challenger - frozen, paired.
    """

    n_users: int
    n_pairs: int
    frozen: Estimate
    challenger: Estimate
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict of the gate, with its numbers.

    Attributes:
        verdict: Whether the challenger replaces the champion.
        reasons: In words, one for each condition.
        gate: The conditions.
        metric: The metric of the comparison.
        challenger: Its value on test.
        champion: That of the champion, refitted; None without a champion.
        difference: challenger - champion, paired; None without a champion.
        limit: Least lower end of the difference; None without this condition.
        coverages: Coverage at the same cut-off of challenger and champion.
        n_users: Number of users judged.
        on_new: The champion as it serves; None where it cannot be judged.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    gate: Gate
    metric: str
    challenger: Estimate
    champion: Estimate | None
    difference: Estimate | None
    limit: float | None
    coverages: tuple[float, float | None]
    n_users: int
    on_new: OnNew | None = None

    @property
    def promoted(self) -> bool:
        """Whether the challenger replaces the champion."""
        return self.verdict == "promoted"

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return asdict(self)

    def numbers(self) -> dict[str, float]:
        """Every number by name, without missing ones."""
        numbers: dict[str, float | None] = {
            "gate/challenger": self.challenger.mean,
            "gate/coverage_challenger": self.coverages[0],
            "gate/coverage_champion": self.coverages[1],
            "gate/limit": self.limit,
            "gate/users": float(self.n_users),
        }
        if self.champion is not None and self.difference is not None:
            numbers["gate/champion"] = self.champion.mean
            numbers |= _ends("gate/difference", self.difference)
        if self.on_new is not None:
            numbers["gate/new_pairs"] = float(self.on_new.n_pairs)
            numbers["gate/new_pairs_frozen"] = self.on_new.frozen.mean
            numbers["gate/new_pairs_challenger"] = self.on_new.challenger.mean
            numbers |= _ends("gate/new_pairs_difference", self.on_new.difference)
        return {name: value for name, value in numbers.items() if value is not None}


def _ends(name: str, of: Estimate) -> dict[str, float | None]:
    return {name: of.mean, f"{name}_low": of.low, f"{name}_high": of.high}


def without_champion(challenger: Report, gate: Gate, metric: str) -> Decision:
    """The decision where nothing serves yet: "first", unless the gate is "never"."""
    never = gate.rule == "never"
    reasons = ("--gate never: nothing is promoted",) if never else ("first: nothing serves yet",)
    summary = challenger.summary()
    return Decision(
        "refused" if never else "promoted",
        reasons,
        gate,
        metric,
        Estimate(summary[metric]),
        None,
        None,
        None,
        (summary[_coverage(metric)], None),
        len(challenger.users),
    )


def decide(
    challenger: Report,
    champion: Report,
    gate: Gate,
    metric: str,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    on_new: OnNew | None = None,
) -> Decision:
    """The decision whether the challenger replaces the champion.

    Args:
        challenger: On the test side of the new data.
        champion: Refitted on the same training side with its own parameters, on the same test side.
        gate: The conditions.
        metric: More of it is better, such as `ndcg@10`.
        seed: Of the bootstrap.
        n_resamples: Number of bootstrap resamples.
        on_new: The champion as it serves; reported only, it decides nothing.

    Raises:
        ValueError: the reports are not of the same users and metrics.
    """
    rows = paired(champion, challenger, seed, n_resamples)
    row, coverage = rows[metric], rows[_coverage(metric)]
    limit = {"better": 0.0, "not-worse": -gate.margin * row.a.mean}.get(gate.rule)
    conditions = [_accuracy(row, gate, limit), _breadth(coverage, gate)]
    reasons = [reason for _, reason in conditions]
    passed = all(holds for holds, _ in conditions)
    if gate.rule in ("always", "never"):
        passed = gate.rule == "always"
        reasons.insert(0, f"--gate {gate.rule}: the numbers do not decide")
    return Decision(
        "promoted" if passed else "refused",
        tuple(reasons),
        gate,
        metric,
        row.b,
        row.a,
        row.difference,
        limit,
        (coverage.b.mean, coverage.a.mean),
        rows.n_users,
        on_new,
    )


def _coverage(metric: str) -> str:
    return f"coverage@{parsed(metric)[1]}"


def _accuracy(row: MetricRow, gate: Gate, limit: float | None) -> tuple[bool, str]:
    low = row.difference.low
    assert low is not None
    change = "" if row.improvement is None else f", {row.improvement:+.1%}"
    numbers = (
        f"{row.metric} {row.b.mean:.4f} against {row.a.mean:.4f} of the champion refitted{change}; "
        f"difference {row.difference.signed_text}"
    )
    if limit is None:
        return True, numbers
    if gate.rule == "better":
        holds = low > 0
        return holds, f"{'better' if holds else 'not shown to be better'}: {numbers}"
    holds = low >= limit
    words = "not worse" if holds else "may be worse"
    return holds, f"{words} beyond the margin of {gate.margin:.1%} ({limit:+.4f}): {numbers}"


def _breadth(row: MetricRow, gate: Gate) -> tuple[bool, str]:
    holds = row.b.mean >= gate.coverage * row.a.mean
    words = "kept" if holds else "collapsed"
    return holds, (
        f"{row.metric} {words}: {row.b.mean:.4f} against {row.a.mean:.4f}, "
        f"the gate requires {gate.coverage:.0%} of it"
    )


def unseen(fold: Fold, known: Interactions) -> Interactions:
    """Held-out cells that are not in `known`, of known users and items, over the maps of the fold.

    Args:
        fold: Of the new data.
        known: The cells a model was fitted on, over other id maps.
    """
    held_out = fold.held_out
    users, items = _places(fold, known)
    rows, cols = users[held_out.rows], items[held_out.cols]
    both = (rows >= 0) & (cols >= 0)
    keys = rows.astype(np.int64) * len(known.items) + cols
    return held_out.where(both & ~np.isin(keys, known.keys))


def _places(fold: Fold, known: Interactions) -> tuple[npt.NDArray[np.int32], ...]:
    """Where the users and the items of a fold are in `known`, int32, -1 where they are not."""
    return known.users.find(fold.train.users.ids), known.items.find(fold.train.items.ids)


def on_new_pairs(
    challenger: Recommender,
    frozen: Recommender,
    known: Interactions,
    fold: Fold,
    metric: str,
    seed: int,
    n_resamples: int = N_RESAMPLES,
) -> OnNew | None:
    """Both models on pairs that the frozen champion has not seen; None without any, or by fold-in.

    Both lists have the same candidates: items that neither model was fitted on for the user, and
    that the frozen champion knows.

    Args:
        challenger: Fitted on the training side of `fold`.
        frozen: Fitted on `known`.
        known: All its data, over other id maps.
        fold: The test fold of the new data.
        metric: Such as `ndcg@10`.
        seed: Of the bootstrap.
        n_resamples: Number of bootstrap resamples.
    """
    new = unseen(fold, known)
    if fold.folds_in or not len(new):
        return None
    judged = Fold(fold.train, fold.train, new, fold.profiles)
    users, k = judged.judged, parsed(metric)[1]
    seen = _Seen.of(fold, known, users)
    theirs = _lists(lambda some, width: _translated(frozen, known, fold, some, width), seen, k)
    ours = _lists(lambda some, width: recommend(challenger, judged, some, width), seen, k)
    name = parsed(metric)[0]
    a, b = (scored(each, judged, [k], [name]) for each in (theirs, ours))
    row = paired(a, b, seed, n_resamples)[metric]
    return OnNew(len(users), len(new), row.a, row.b, row.difference)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The items that must not be shown to each judged user.

    Attributes:
        users: The judged users, int32, rising, shape (m,).
        keys: place * n_items + item of the seen cells, int64, sorted.
        unknown: Whether the frozen champion lacks an item, bool, shape (n_items,).
    """

    users: npt.NDArray[np.int32]
    keys: npt.NDArray[np.int64]
    unknown: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, fold: Fold, known: Interactions, users: npt.NDArray[np.int32]) -> Self:
        """The cells of the training side and of `known`, in the numbers of the fold."""
        n_items = len(fold.train.items)
        rows = fold.train.users.find(known.users.ids)[known.rows]
        cols = fold.train.items.find(known.items.ids)[known.cols]
        there = (rows >= 0) & (cols >= 0)
        rows = np.concatenate([rows[there], fold.train.rows])
        cols = np.concatenate([cols[there], fold.train.cols])
        place = np.full(len(fold.train.users), -1, dtype=np.int64)
        place[users] = np.arange(len(users))
        mine = place[rows] >= 0
        keys = np.unique(place[rows[mine]] * n_items + cols[mine])
        return cls(users, keys, _places(fold, known)[1] < 0)

    def batches(self) -> Iterator[Self]:
        """Batches of users: lists are as long as the longest history of the batch."""
        n_items = len(self.unknown)
        for start in range(0, len(self.users), BATCH):
            ends = np.searchsorted(self.keys, np.array([start, start + BATCH]) * n_items)
            keys = self.keys[slice(*ends)] - start * n_items
            yield type(self)(self.users[start : start + BATCH], keys, self.unknown)

    @property
    def most(self) -> int:
        """Largest number of items that one user must not be shown."""
        seen = np.bincount(self.keys // len(self.unknown), minlength=len(self.users))
        return int(seen.max() + self.unknown.sum())


def _lists(
    longer: Callable[[npt.NDArray[np.int32], int], Recommendations], seen: _Seen, k: int
) -> Recommendations:
    """The k best of each user that are not `seen`, cut from longer lists of the model."""
    n_items = len(seen.unknown)
    return Recommendations.stack(
        [
            _without(longer(some.users, min(n_items, k + some.most)), some, k)
            for some in seen.batches()
        ]
    )


def _translated(
    frozen: Recommender,
    known: Interactions,
    fold: Fold,
    users: npt.NDArray[np.int32],
    width: int,
) -> Recommendations:
    """Lists of the frozen champion in the numbers of the fold, without items the fold lacks."""
    numbers = np.append(fold.train.items.find(known.items.ids), NO_ITEM)
    longest = min(width + int((numbers[:-1] < 0).sum()), len(known.items))
    of_users = _places(fold, known)[0][users]
    recs = frozen.recommend(of_users, longest)
    return _closed_up(users, numbers[recs.items], recs.scores, width)


def _without(recs: Recommendations, seen: _Seen, k: int) -> Recommendations:
    """The k best of each list, without `seen` items."""
    n_items = len(seen.unknown)
    keys = np.arange(len(recs.users))[:, None] * n_items + recs.items
    # The key of NO_ITEM is that of another user's last item, and it stays NO_ITEM either way.
    dropped = np.isin(keys, seen.keys) | seen.unknown[recs.items]
    items = np.where(dropped, NO_ITEM, recs.items)
    return _closed_up(recs.users, items, recs.scores, k)


def _closed_up(
    users: npt.NDArray[np.int32],
    items: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
    k: int,
) -> Recommendations:
    """Lists of k without gaps of NO_ITEM, in their order."""
    order = np.argsort(items == NO_ITEM, axis=1, kind="stable")[:, :k]
    kept = np.take_along_axis(items, order, axis=1)
    values = np.where(kept == NO_ITEM, np.nan, np.take_along_axis(scores, order, axis=1))
    return padded(users, kept, values, k)


def in_words(decision: Decision) -> Sequence[str]:
    """The reasons, and the result of the champion as it serves."""
    on_new = decision.on_new
    if on_new is None:
        return decision.reasons
    reported = (
        f"as it serves, on {on_new.n_pairs} pairs of {on_new.n_users} users that it has not seen: "
        f"{decision.metric} {on_new.challenger.mean:.4f} against {on_new.frozen.mean:.4f}; "
        f"difference {on_new.difference.signed_text}; reported only"
    )
    return (*decision.reasons, reported)
