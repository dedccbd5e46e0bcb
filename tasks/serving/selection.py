"""Which run answers: one that is named, the champion, or the best of those that can be compared.

named       a run id (of a trial, a final model or a study) or the name of a study
champion    the version of the registered model that serves
best        among the winners of studies on the same data, with the same split and metric
latest      where nothing says which is best
"""

import difflib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from recsys.errors import InputError
from recsys.evaluation.objectives import oriented
from recsys.models import is_baseline
from recsys.sources.layout import Nouns, nouns_of
from tasks.tracking.queries import (
    FINAL,
    finals,
    find_comparison,
    read_run,
    read_runs,
    study_runs,
)
from tasks.tracking.recorded import Recorded
from tasks.tracking.registry import champion
from tasks.workspace.layout import Workspace

NAMED, MANY = 3, 100  # other studies that are named, and final runs among which they are looked for
AS_NAMED = "as named"
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class SelectedRun:
    """The run that answers, and why it does.

    Attributes:
        run: Of the model.
        metric: That its study was searched for; "" where its study is gone.
        value: Of the metric; None where it was not measured.
        side: What the value was measured on.
        reason: Why this run, in words.
        others: Names of the studies that could not be compared with it, newest first.
    """

    run: Recorded
    metric: str
    value: float | None
    side: Literal["validation", "test"]
    reason: str
    others: tuple[str, ...] = ()

    @property
    def nouns(self) -> Nouns:
        """What the source of its data calls users and items."""
        return nouns_of(self.run.tags.get("format", ""))

    @property
    def text(self) -> str:
        """Study, run, model and value, and why this one, as a terminal shows them."""
        tags = self.run.tags
        parts = [f"{tags['model']} of study {tags['study']}, run {self.run.id}"]
        if self.value is not None:
            parts.append(f"{self.metric} {self.value:.4f} on {self.side}")
        why = "" if self.reason == AS_NAMED else f": {self.reason}"
        return f"{', '.join(parts)}{why}{self._others_text}"

    @property
    def _others_text(self) -> str:
        if not self.others:
            return ""
        more = len(self.others) - NAMED
        names = ", ".join(self.others[:NAMED]) + (f" and {more} more" if more > 0 else "")
        return f"; not compared, as data, split or metric differ: {names}"


def select_run(
    workspace: Workspace, name: str | None = None, champion_first: bool = True
) -> SelectedRun:
    """The run that is to answer.

    Args:
        workspace: Holds the runs and the registry.
        name: Id of a run (of a trial, of a final model, or of a study, whose winner is meant), or
            the name of a study or of a search over models. By default the champion, or else the
            winner of a study that was best on validation; where studies cannot be compared, that
            of the latest.
        champion_first: Whether the champion comes before better ones that are not registered.

    Raises:
        InputError: there is no such run or study, it did not finish, or there is none at all.
    """
    if name is not None:
        run = _named(workspace, name)
        return _measured(workspace, run, AS_NAMED)
    serving = champion(workspace) if champion_first else None
    if serving is not None:
        run = _final_or_trial(workspace, read_run(workspace, serving.run))
        reason = f"the champion, version {serving.number}"
        return SelectedRun(run, serving.metric, serving.value, "test", reason)
    return _best(workspace)


def _named(workspace: Workspace, name: str) -> Recorded:
    if _ID.fullmatch(name) and name in (known := read_runs(workspace, [name])):
        return _final_or_trial(workspace, known[name])
    study = next(study_runs(workspace, name), None)
    if study is not None:
        return _final_or_trial(workspace, study)
    searched = find_comparison(workspace, name)
    if searched is not None and FINAL in (tags := read_run(workspace, searched).tags):
        return _final_or_trial(workspace, read_run(workspace, tags[FINAL]))
    if _ID.fullmatch(name):
        read_run(workspace, name)  # says whether it was deleted
    names = dict.fromkeys(run.tags["study"] for run in study_runs(workspace))
    longer = [each for each in names if each.startswith(name)]
    near = longer or difflib.get_close_matches(name, names, 1)
    hint = f"did you mean study {near[0]!r}?" if near else "`recsys study list` shows the studies"
    raise InputError(f"{name!r} is not in MLflow, neither as a study nor as a run; {hint}")


def _final_or_trial(workspace: Workspace, run: Recorded) -> Recorded:
    """The run itself, or the winner of the study that it is of."""
    if run.tags.get("stage") == "study":
        winner = next(_winners(finals(workspace, run.id)), None)
        if winner is None:
            raise InputError(
                f"study {run.tags['study']!r} has no winner; `recsys study resume` ends it"
            )
        return winner
    state = run.tags.get("state", run.status)  # "pruned" has learned nothing that can be used
    if state != "FINISHED" or "model" not in run.tags:
        raise InputError(
            f"run {run.id!r} is {state}, model {run.tags.get('model', 'unknown')}; pass one "
            "of a trial, a final model or a study that is FINISHED"
        )
    return run


def _winners(runs: Iterable[Recorded]) -> Iterator[Recorded]:
    """The winner of each study, newest first: the last of its finals that is no baseline."""
    seen: set[str | None] = set()
    for run in runs:
        if not is_baseline(run.tags["model"]) and run.parent not in seen:
            seen.add(run.parent)
            yield run


def _best(workspace: Workspace) -> SelectedRun:
    """The winner that was best on validation among those comparable with the latest."""
    latest = next(_winners(finals(workspace)), None)
    if latest is None:
        raise InputError(
            "no experiment was finished; `recsys experiment` makes one, `recsys study resume` "
            "ends one"
        )
    alike = {name: latest.tags[name] for name in ("data", "split") if name in latest.tags}
    group = list(_winners(finals(workspace, tags=alike)))
    metric, values = _on_validation(workspace, latest, group)
    others = _others(workspace, {run.tags["study"] for run in group if run.id in values})
    if latest.id not in values:
        others = tuple(name for name in others if name != latest.tags["study"])
        return SelectedRun(latest, metric, None, "validation", "the latest", others)
    # Of equals the first, which is the newest.
    best = max((run for run in group if run.id in values), key=lambda run: values[run.id])
    value = oriented(metric, values[best.id])
    many = f"the best of {len(values)} studies on this data and split"
    only = "the latest" if others else "the only study"
    reason = many if len(values) > 1 else only
    return SelectedRun(best, metric, value, "validation", reason, others)


def _on_validation(
    workspace: Workspace, latest: Recorded, group: Sequence[Recorded]
) -> tuple[str, dict[str, float]]:
    """The metric of the latest, and the values on it by run, oriented so that more is better."""
    studies = read_runs(workspace, {run.parent for run in group if run.parent is not None})
    trials = read_runs(
        workspace, {s.tags["best_run"] for s in studies.values() if "best_run" in s.tags}
    )
    metric = _metric(studies.get(latest.parent or ""))
    values = {}
    for run in group:
        study = studies.get(run.parent or "")
        value = _winning_value(run, study, trials)
        if study is not None and value is not None and _metric(study) == metric:
            values[run.id] = oriented(metric, value)
    return metric, values


def _measured(workspace: Workspace, run: Recorded, reason: str) -> SelectedRun:
    """A run with its value: that of a final run on validation is its winning trial's."""
    study = read_runs(workspace, [run.parent]).get(run.parent) if run.parent else None
    metric = _metric(study)
    value = run.metric(f"validation/{metric}")
    if value is None and study is not None:
        trials = read_runs(workspace, [study.tags["best_run"]] if "best_run" in study.tags else [])
        value = _winning_value(run, study, trials)
    if value is None:
        return SelectedRun(run, metric, run.metric(f"test/{metric}"), "test", reason)
    return SelectedRun(run, metric, value, "validation", reason)


def _metric(study: Recorded | None) -> str:
    return "" if study is None else study.params.get("study.metric", "")


def _winning_value(
    run: Recorded, study: Recorded | None, trials: dict[str, Recorded]
) -> float | None:
    """What the winning trial of a study is worth on validation; on all users if judged on them.

    None where a final run is of another model, such as an ensemble.
    """
    trial = None if study is None else trials.get(study.tags.get("best_run", ""))
    if trial is None or trial.tags["model"] != run.tags["model"]:
        return None
    on_all = trial.metric(f"validation_all_users/{_metric(study)}")
    return trial.metric(f"validation/{_metric(study)}") if on_all is None else on_all


def _others(workspace: Workspace, compared: set[str]) -> tuple[str, ...]:
    """Studies with a winner among the last final runs, without those that were compared."""
    last = itertools.islice(finals(workspace), MANY)
    names = dict.fromkeys(run.tags["study"] for run in _winners(last))
    return tuple(name for name in names if name not in compared)
