"""What `recsys diff` shows: how runs differ in parameters, metrics, users and items."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from recsys.data.ids import IdMap
from recsys.errors import InputError
from recsys.evaluation.bootstrap import MetricRow, excludes_zero
from recsys.evaluation.difference import Change, Difference, difference
from recsys.seeds import seed_for
from recsys.sources.layout import Nouns, nouns_of
from tasks.progress import report_progress
from tasks.serving.selection import SelectedRun, select_run
from tasks.study.judged import JudgedRun, ids_of, load_judged
from tasks.workspace.layout import Workspace

_MADE_FROM = {"data": "other data", "split": "another split"}


@dataclass(frozen=True, slots=True)
class RunsDiffer:
    """Runs beside the first of them.

    Attributes:
        runs: In the order they were named.
        params: The parameters that differ, by name: a text per run, "" where it has none.
        differences: Of the second, third and later runs to the first.
        users: Ids of users.
        items: Ids and names of items.
    """

    runs: Sequence[JudgedRun]
    params: dict[str, tuple[str, ...]]
    differences: Sequence[Difference]
    users: IdMap
    items: IdMap

    @property
    def metric(self) -> str:
        """That users gain or lose."""
        return self.differences[0].metric

    @property
    def nouns(self) -> Nouns:
        """What the source of the data calls users and items."""
        return nouns_of(self.runs[0].run.tags.get("format", ""))

    def name(self, at: int) -> str:
        """A run, as short as it can be told from the others."""
        tags = [each.run.tags for each in self.runs]
        models = [each["model"] for each in tags]
        if len(set(models)) == len(models):
            return models[at]
        labels = [_label(each) for each in tags]
        return labels[at] if len(set(labels)) == len(labels) else f"{at + 1} {labels[at]}"

    def item(self, change: Change) -> str:
        """The name of an item."""
        return str(self.items.names[change.number].as_py())

    def user(self, change: Change) -> str:
        """The id of a user."""
        return str(self.users.ids[change.number].as_py())

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {
            "side": self.runs[0].side,
            "metric": self.metric,
            "runs": [_run_json(each) for each in self.runs],
            "params": {name: list(texts) for name, texts in self.params.items()},
            "differences": [self._json(each) for each in self.differences],
        }

    def _json(self, of: Difference) -> dict[str, Any]:
        users = {"gained": of.gained, "lost": of.lost}
        items = {"shown_more": of.shown_more, "shown_less": of.shown_less}
        return {
            "n_users": of.comparison.n_users,
            "n_gained": of.n_gained,
            "n_lost": of.n_lost,
            "metrics": {row.metric: _row_json(row) for row in of.comparison.rows},
            **{
                name: [{"user": self.user(each), "a": each.a, "b": each.b} for each in changes]
                for name, changes in users.items()
            },
            **{
                name: [{"item": self.item(each), "a": each.a, "b": each.b} for each in changes]
                for name, changes in items.items()
            },
        }


def diff(workspace: Workspace, names: Sequence[str], metric: str | None, n: int) -> RunsDiffer:
    """Runs beside the first of them, on the same users.

    Args:
        workspace: Holds the runs.
        names: At least two runs or studies, see `tasks.serving.selection.select_run`.
        metric: Of every user; by default the objective of the first run's study.
        n: How many users and items are listed.

    Raises:
        InputError: fewer than two are named, one is not there, they were judged on different
            data, splits or sides, or they lack the metric.
    """
    if len(names) < 2:
        raise InputError(f"{len(names)} run is named; name two or more to compare")
    selected = [select_run(workspace, name) for name in names]
    runs = [load_judged(workspace, each.run) for each in selected]
    for first, other in pairwise(runs):
        _check_comparable(first, other)
    wanted = _metric(metric, selected[0], runs[0])
    seed = seed_for(int(runs[0].run.params.get("seed", "0")), "judge", "bootstrap")
    reports = [each.report for each in runs]
    try:
        found = [
            difference(reports[0], other, wanted, n, seed, progress=report_progress)
            for other in reports[1:]
        ]
    except ValueError as error:
        raise InputError(f"these runs cannot be compared: {error}") from error
    users, items = ids_of(workspace, runs[0].run)
    return RunsDiffer(runs, _differing(runs), found, users, items)


def _check_comparable(a: JudgedRun, b: JudgedRun) -> None:
    for tag, words in _MADE_FROM.items():
        if a.run.tags.get(tag) != b.run.tags.get(tag):
            raise InputError(
                f"run {b.run.id} was judged on {words} than run {a.run.id}: users and values are "
                "not the same; `recsys compare` judges models on the same"
            )
    if a.side != b.side:
        raise InputError(
            f"run {a.run.id} was judged on {a.side}, run {b.run.id} on {b.side}; name two trials, "
            "or two final models or studies"
        )


def _metric(asked: str | None, selected: SelectedRun, judged: JudgedRun) -> str:
    known = list(judged.report.per_user.columns)
    wanted = asked or selected.metric
    if wanted not in known:
        of_all = wanted in judged.report.of_all_lists()
        why = "is one of all lists together" if of_all else "is not known"
        raise InputError(f"metric {wanted!r} {why}; pass --metric, one of {', '.join(known)}")
    return wanted


def _differing(runs: Sequence[JudgedRun]) -> dict[str, tuple[str, ...]]:
    names = dict.fromkeys(name for each in runs for name in each.run.params)
    texts = {name: tuple(each.run.params.get(name, "") for each in runs) for name in names}
    return {name: values for name, values in texts.items() if len(set(values)) > 1}


def _label(tags: Any) -> str:
    trial = f" trial {tags['trial']}" if "trial" in tags else ""
    return f"{tags['model']} of {tags['study']}{trial}"


def _run_json(judged: JudgedRun) -> dict[str, Any]:
    tags = judged.run.tags
    return {"run": judged.run.id, "study": tags["study"], "model": tags["model"]}


def _row_json(row: MetricRow) -> dict[str, Any]:
    return {
        "a": row.a.mean,
        "b": row.b.mean,
        "difference": row.difference.mean,
        "low": row.difference.low,
        "high": row.difference.high,
        "improvement": row.improvement,
    }


def shown_metrics(of: RunsDiffer) -> list[str]:
    """The metric, and a few more at its k."""
    k = of.metric.rpartition("@")[2]
    few = [f"{name}@{k}" for name in ("precision", "recall", "ndcg", "coverage", "novelty")]
    return list(dict.fromkeys([of.metric, *few]))


def sentence(found: RunsDiffer, of: Difference, a: str, b: str) -> str:
    """The difference on the metric, whether it may be chance, and how many users it is for."""
    row = of.comparison[of.metric]
    chance = "" if excludes_zero(row.difference) else ", which may be chance"
    n, users = of.comparison.n_users, found.nouns.users
    return (
        f"{b} against {a} on {found.runs[0].side}: {row.difference.signed_text} {of.metric}"
        f"{chance}; of {n:,} {users} {of.n_gained:,} gain, {of.n_lost:,} lose"
    )


def page_of(found: RunsDiffer) -> str:
    """The HTML of the page of `recsys diff`."""
    from recsys.report import difference_report
    from recsys.report.difference import DifferenceTables, OtherRun

    nouns, first = found.nouns, found.name(0)
    others = []
    for at, of in enumerate(found.differences, 1):
        rows = {row.metric: row for row in of.comparison.rows}
        named = {
            f"{nouns.users.capitalize()} who gain most": of.gained,
            f"{nouns.users.capitalize()} who lose most": of.lost,
        }
        items = {
            f"{nouns.items.capitalize()} in more lists": of.shown_more,
            f"{nouns.items.capitalize()} in fewer lists": of.shown_less,
        }
        others.append(
            OtherRun(
                found.name(at),
                sentence(found, of, first, found.name(at)),
                [rows[name] for name in shown_metrics(found) if name in rows],
                {t: [(found.user(c), c.a, c.b) for c in each] for t, each in named.items()},
                {t: [(found.item(c), c.a, c.b) for c in each] for t, each in items.items()},
            )
        )
    names = [found.name(at) for at in range(len(found.runs))]
    tables = DifferenceTables(
        names, found.metric, found.runs[0].side, found.params, others, nouns.user, nouns.item
    )
    return difference_report(tables)
