"""Models compared on the same test sides over several splits: ranking, certainty, groups."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.evaluation.beyond import diversity, popularity_lift
from recsys.evaluation.bootstrap import N_RESAMPLES, Estimate, column_intervals
from recsys.evaluation.groups import (
    POPULARITY,
    GroupRow,
    ItemGroupHits,
    ItemGroupRow,
    Labels,
    group_tables,
    hits_by_item_group,
    item_groups,
    recall_by_item_group,
    user_groups,
)
from recsys.evaluation.metrics import column, parsed
from recsys.evaluation.objectives import oriented
from recsys.evaluation.report import Report
from recsys.evaluation.significance import (
    SURE,
    SeedSpread,
    Significance,
    averaged_over_seeds,
    compare_models,
    spread,
)
from recsys.models.recommender import Recommendations
from recsys.progress import Progress, silent
from recsys.splitting.split import Fold

DIVERSITY, LIFT = "diversity", "popularity_lift"
N_COUNTRIES = 6  # with most users; the others share the group "other"


@dataclass(frozen=True, slots=True, eq=False)
class ModelResult:
    """A tuned model on one split.

    Attributes:
        params: The parameters that won the search of the model.
        validation: The objective of the winner on validation.
        trials: Number of measured trials.
        report: On test.
        lists: Its lists on test, at least as long as the cut-off of the comparison.
        fit_seconds: Of the refit on train + validation.
        search_seconds: Of training and judging all trials.
    """

    params: Mapping[str, Any]
    validation: float
    trials: int
    report: Report
    lists: Recommendations
    fit_seconds: float
    search_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class SplitResult:
    """The results of one split, with users by their external ids, so that splits can be merged.

    Attributes:
        seed: Of the split.
        values: Model to metric by user: a row per judged user, a column per metric.
        whole: Model to the metrics of all lists together.
        labels: Grouping of users to label by user.
        hits: Model to held-out cells and hits by user and group of items.
        results: Model to its result.
    """

    seed: int
    values: Mapping[str, pd.DataFrame]
    whole: Mapping[str, Mapping[str, float]]
    labels: Mapping[str, "pd.Series[str]"]
    hits: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]
    results: Mapping[str, ModelResult]

    @classmethod
    def of(
        cls,
        seed: int,
        fold: Fold,
        results: Mapping[str, ModelResult],
        vectors: npt.NDArray[np.float32],
        k: int,
    ) -> Self:
        """The result of a split, which needs its data.

        Args:
            seed: Of the split.
            fold: Its test side.
            results: Model to its result there.
            vectors: Of the items, the same for all models, shape (n_items, d): diversity is
                measured on them.
            k: Cut-off of what is measured on the lists.
        """
        ids = np.asarray(fold.train.users.ids.take(fold.judged).to_pylist(), dtype=object)
        users_per_item = fold.train.per_item()
        of_items = item_groups(users_per_item)
        values, hits = {}, {}
        for model, result in results.items():
            lists = result.lists
            more = {
                column(DIVERSITY, k): diversity(lists, vectors, k),
                column(LIFT, k): popularity_lift(lists, fold.history, users_per_item, k),
            }
            values[model] = result.report.per_user.set_axis(ids, axis=0).assign(**more)
            hits[model] = _by_user(hits_by_item_group(lists, fold.held_out, of_items, k), ids)
        return cls(
            seed=seed,
            values=values,
            whole={model: each.report.of_all_lists() for model, each in results.items()},
            labels={
                name: pd.Series(labels, index=ids, dtype=object)
                for name, labels in user_groups(fold, N_COUNTRIES).items()
            },
            hits=hits,
            results=results,
        )

    def summary(self, model: str) -> dict[str, float]:
        """The mean of every metric of a model."""
        means = self.values[model].to_numpy().mean(axis=0).tolist()
        return dict(zip(self.values[model].columns, means, strict=True)) | dict(self.whole[model])


def _by_user(
    counts: ItemGroupHits, ids: npt.NDArray[np.object_]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    tables = (
        pd.DataFrame(side, index=ids, columns=list(counts.groups)).reindex(
            columns=list(POPULARITY), fill_value=0
        )
        for side in (counts.held_out, counts.hits)
    )
    held_out, hits = tables
    return held_out, hits


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The merged result of all splits.

    Attributes:
        metric: The objective.
        models: Sorted by the mean of the objective, the best first.
        estimates: Model to metric to the mean over users of each user's mean over the splits, with
            its 95 % interval over users; none for coverage and Gini.
        spreads: Model to metric to mean and standard deviation over the splits.
        significance: All pairs of models on the objective.
        user_groups: Grouping to model to the objective in each group.
        item_groups: Model to the recall in each group of items.
        splits: One per split.
        n_users: Number of users judged in any split.
    """

    metric: str
    models: tuple[str, ...]
    estimates: Mapping[str, Mapping[str, Estimate]]
    spreads: Mapping[str, Mapping[str, SeedSpread]]
    significance: Significance
    user_groups: Mapping[str, Mapping[str, tuple[GroupRow, ...]]]
    item_groups: Mapping[str, tuple[ItemGroupRow, ...]]
    splits: tuple[SplitResult, ...]
    n_users: int

    @classmethod
    def of(
        cls,
        splits: Sequence[SplitResult],
        metric: str,
        seed: int,
        n_resamples: int = N_RESAMPLES,
        progress: Progress = silent,
    ) -> Self:
        """Merge the splits.

        Args:
            splits: One per split, all of the same models, at least two.
            metric: The objective.
            seed: Of the bootstrap.
            n_resamples: Of the intervals; significance has a number of resamples for itself.
            progress: Reports "bootstrap resamples".
        """
        names = list(splits[0].values)
        spreads = {name: _spreads(splits, name) for name in names}
        models = tuple(
            sorted(names, key=lambda name: -oriented(metric, spreads[name][metric].mean))
        )
        by_user = {model: _averaged(splits, model) for model in models}
        values = {model: table[metric].to_numpy(np.float64) for model, table in by_user.items()}
        turned = {model: np.asarray(oriented(metric, 1.0) * v) for model, v in values.items()}
        ids = next(iter(by_user.values())).index
        return cls(
            metric=metric,
            models=models,
            estimates={
                model: _estimates(table, splits, model, seed, n_resamples, progress)
                for model, table in by_user.items()
            },
            spreads=spreads,
            significance=compare_models(turned, seed, progress=progress),
            user_groups={
                grouping: group_tables(values, labels, seed, n_resamples, progress)
                for grouping, labels in _labels(splits, ids).items()
            },
            item_groups={
                model: recall_by_item_group(
                    _summed_hits(splits, model), seed, n_resamples, progress
                )
                for model in models
            },
            splits=tuple(splits),
            n_users=len(ids),
        )

    @property
    def k(self) -> int:
        """The cut-off of the objective."""
        return parsed(self.metric)[1]

    @property
    def ties(self) -> tuple[str, ...]:
        """The models, in their order, that may be as good as the best."""
        p = {pair.b: pair.p_holm for pair in self.significance.against_best()}
        return tuple(model for model in self.models if p.get(model, 0.0) > SURE)

    def frame(self) -> pd.DataFrame:
        """A row per model, best first: mean, low, high and sd of every metric, p against the best.

        Columns are `ndcg@10`, `ndcg@10 low`, `ndcg@10 high`, `ndcg@10 sd`, ..., `p_holm`.
        """
        rows = {}
        corrected = {pair.b: pair.p_holm for pair in self.significance.against_best()}
        for model in self.models:
            row: dict[str, float | None] = {}
            for metric, estimate in self.estimates[model].items():
                row[metric] = estimate.mean
                if estimate.low is not None:
                    row |= {f"{metric} low": estimate.low, f"{metric} high": estimate.high}
                row[f"{metric} sd"] = self.spreads[model][metric].sd
            rows[model] = row | {"p_holm": corrected.get(model)}
        return pd.DataFrame.from_dict(rows, orient="index", dtype=float).rename_axis("model")

    def as_json(self) -> dict[str, Any]:
        """By model: metrics, results of each split, groups, and the difference from the best."""
        against = {pair.b: pair for pair in self.significance.against_best()}
        return {model: self._model(model, against.get(model)) for model in self.models}

    def _model(self, model: str, against: Any) -> dict[str, Any]:
        test = {
            metric: {**asdict(estimate), "sd": self.spreads[model][metric].sd}
            for metric, estimate in self.estimates[model].items()
        }
        groups: dict[str, Any] = {
            grouping: {row.group: {"n": row.n, **asdict(row.estimate)} for row in of_models[model]}
            for grouping, of_models in self.user_groups.items()
        }
        groups["items"] = {
            row.group: {"held_out": row.n_held_out, **asdict(row.recall)}
            for row in self.item_groups[model]
        }
        return {
            "test": test,
            "splits": [_split(each, model) for each in self.splits],
            "groups": groups,
            "against_best": None
            if against is None
            else {
                "best": against.a,
                "difference": asdict(against.difference),
                "p": against.p,
                "p_holm": against.p_holm,
            },
        }


def _split(of: SplitResult, model: str) -> dict[str, Any]:
    result = of.results[model]
    return {
        "seed": of.seed,
        "params": dict(result.params),
        "trials": result.trials,
        "validation": result.validation,
        "test": of.summary(model),
    }


def _spreads(splits: Sequence[SplitResult], model: str) -> dict[str, SeedSpread]:
    summaries = [each.summary(model) for each in splits]
    return {metric: spread([each[metric] for each in summaries]) for metric in summaries[0]}


def _averaged(splits: Sequence[SplitResult], model: str) -> pd.DataFrame:
    tables = [each.values[model] for each in splits]
    columns = {}
    for metric in tables[0].columns:
        users, columns[metric] = averaged_over_seeds([table[metric] for table in tables])
    return pd.DataFrame(columns, index=users)


def _estimates(
    table: pd.DataFrame,
    splits: Sequence[SplitResult],
    model: str,
    seed: int,
    n_resamples: int,
    progress: Progress,
) -> dict[str, Estimate]:
    intervals = column_intervals(table.to_numpy(np.float64), seed, n_resamples, progress)
    estimates = dict(zip(map(str, table.columns), intervals, strict=True))
    whole = {
        metric: Estimate(float(np.mean([each.whole[model][metric] for each in splits])))
        for metric in splits[0].whole[model]
    }
    return estimates | whole


def _labels(splits: Sequence[SplitResult], ids: pd.Index) -> dict[str, Labels]:
    """The group of each user in the first split in which the user was judged."""
    labels = {}
    for name in splits[0].labels:
        every = pd.concat([each.labels[name] for each in splits])
        first = every[~every.index.duplicated()].reindex(ids)
        labels[name] = np.array(first.tolist(), dtype=np.str_)
    return labels


def _summed_hits(splits: Sequence[SplitResult], model: str) -> ItemGroupHits:
    held_out, hits = (
        pd.concat([each.hits[model][side] for each in splits]).groupby(level=0, sort=True).sum()
        for side in (0, 1)
    )
    return ItemGroupHits(
        POPULARITY,
        np.arange(len(held_out), dtype=np.int32),
        held_out.to_numpy(np.int64),
        hits.to_numpy(np.int64),
    )
