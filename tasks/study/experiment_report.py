"""The judged models beside each other: intervals, tables, plots; recorded and shown in Prefect."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from recsys import plots
from recsys.evaluation.bootstrap import Estimate, PairedComparison, interval, paired
from recsys.evaluation.exchange import Exchange, exchange
from recsys.evaluation.objectives import front, lower_is_better, oriented
from recsys.evaluation.store import load_report
from recsys.models import make_config
from recsys.seeds import seed_for
from recsys.splitting.config import GivenSplit
from tasks.orchestration.artifacts import put
from tasks.progress import report_progress
from tasks.study.choosing import SearchWinner
from tasks.study.live import leaderboard, trial_row
from tasks.study.measuring import SAMPLE_USER, Measured
from tasks.study.study import Study, fold_at
from tasks.tracking.queries import read_runs
from tasks.tracking.reading import open_reader
from tasks.tracking.runs import Run
from tasks.tuning import FinishedTrial, Search

FIRST = ("precision", "recall", "coverage")  # beside the objective
Estimates = Mapping[str, Mapping[str, Estimate]]
GAINS = "gains.png"
IMPORTANCE = "importance.json"  # in the folder of the pictures of the search


@dataclass(frozen=True, slots=True)
class Compared:
    """Everything the end of an experiment shows.

    Attributes:
        models: Model to metric to its estimate on test.
        comparison: The baseline (a) and the winner (b), paired.
        shown: Model to what it shows the sample user.
    """

    models: Estimates
    comparison: PairedComparison
    shown: Mapping[str, Mapping[str, Any]]


@task(task_run_name="compare on test", cache_policy=NO_CACHE)
def compare(study: Study, finals: Mapping[str, Measured], folder: Path) -> Compared:
    """Intervals of every model, and of the winner against the baseline.

    Args:
        study: Shared by all runs.
        finals: What each model measured, the winner among them.
        folder: Holds a folder per model with its report.
    """
    judge = study.config.judge
    seed = seed_for(study.config.seed, "judge", "bootstrap")
    reports = {kind: load_report(folder / kind) for kind in finals}
    winner = study.config.model
    comparison = paired(
        reports[judge.baseline], reports[winner], seed, judge.resamples, report_progress
    )
    name = study.config.study.metric
    per_user = [reports[kind].per_user[name].to_numpy() for kind in (judge.baseline, winner)]
    models: dict[str, dict[str, Estimate]] = {
        judge.baseline: {row.metric: row.a for row in comparison.rows},
        winner: {row.metric: row.b for row in comparison.rows},
    }
    for kind in finals.keys() - models.keys():
        models[kind] = interval(reports[kind], seed, judge.resamples, report_progress)
    shown = {
        kind: json.loads((folder / kind / SAMPLE_USER).read_text(encoding="utf-8"))
        for kind in finals
    }
    compared = Compared(models, comparison, shown)
    with study.scratch() as tables:
        if winner != judge.baseline:
            what = f"{name} on test, {winner} - {judge.baseline}"
            plots.save(plots.gains(per_user[1] - per_user[0], what), tables / "plots" / GAINS)
        _record(study, finals[winner].run, compared, tables)
    return compared


def compare_sides(study: Study, folds: Path, sides: Mapping[str, Any] | None) -> Exchange | None:
    """Whether a published test side looks like a random cut; None for a cut of ours.

    Called once everything is judged: no search sees it.

    Args:
        study: Shared by all runs.
        folds: Holds the validation fold and the test fold.
        sides: What the two sides know of each other; stored beside the comparison.
    """
    if not isinstance(study.config.split, GivenSplit):
        return None
    return _compare_sides(study, folds, sides)


@task(task_run_name="test side beside a random cut", cache_policy=NO_CACHE)
def _compare_sides(study: Study, folds: Path, sides: Mapping[str, Any] | None) -> Exchange:
    config = study.config
    found = exchange(
        fold_at(folds / "validation"),
        fold_at(folds / "test"),
        make_config(config.judge.baseline, {}),
        config.study.metric,
        config.seed,
        config.judge.resamples,
        report_progress,
    )
    with study.scratch() as folder:
        text = json.dumps({"sides": sides, "random_cut": found.as_json()}, indent=1)
        (folder / "test-side.json").write_text(text, encoding="utf-8")
        Run(study.parent, study.workspace).files(folder, "data")
    return found


def _record(study: Study, run_id: str, compared: Compared, folder: Path) -> None:
    compared.comparison.frame().to_csv(folder / "comparison.csv")
    models = {
        kind: {metric: asdict(estimate) for metric, estimate in estimates.items()}
        for kind, estimates in compared.models.items()
    }
    (folder / "models.json").write_text(json.dumps(models, indent=1), encoding="utf-8")
    name = study.config.study.metric
    drawn = {
        f"{metric}.png": plots.comparison(_bands(compared.models), metric)
        for metric in dict.fromkeys([name.partition("@")[0], "precision", "recall"])
    }
    for file, figure in {**drawn, **_at_k(study, compared)}.items():
        plots.save(figure, folder / "plots" / file)
    Run(run_id, study.workspace).files(folder, "comparison")


def _at_k(study: Study, compared: Compared) -> dict[str, Any]:
    """Bars of the objective and of a few more metrics at its k, and how much they change."""
    baseline, model = study.config.judge.baseline, study.config.model
    k = study.config.study.metric.partition("@")[2]
    names = dict.fromkeys([study.config.study.metric, *(f"{name}@{k}" for name in FIRST)])
    rows = {row.metric: row for row in compared.comparison.rows if row.metric in names}
    bands = _bands(compared.models)
    bars = {kind: {name: bands[kind][name] for name in rows} for kind in (baseline, model)}
    changes = {name: row.improvement for name, row in rows.items()}
    return {
        "metrics.png": plots.metric_bars(bars),
        "improvement.png": plots.improvements(changes, f"{model} against {baseline}"),
    }


@task(task_run_name="plots of the study", cache_policy=NO_CACHE)
def draw_study(study: Study, search: Search) -> None:
    """How the search went and what its values depend on, as pictures of the study's run."""
    name = study.config.study.metric
    what = f"{name} on validation"
    done = search.done
    points, values = [each.params for each in done], [each.value for each in done]
    log = [n for n, spec in study.config.space.items() if getattr(spec, "log", False)]
    shares = search.importances()
    numeric = [n for n in shares if all(isinstance(p.get(n), int | float) for p in points)]
    pairs = list(itertools.combinations(numeric[:3], 2))
    figures = {
        "history": _history(search, what),
        "importance": plots.importance(shares, what, len(done)),
        "slices": plots.slices(points, values, what, log, numbers=[each.slot for each in done]),
        "contours": plots.contours(points, values, pairs, what, log),
        "cost": plots.cost(_costs(study, done), what),
    }
    if (best := search.best).curve:
        loss = open_reader(study.workspace).history(best.run, "curve/loss")
        figures["convergence"] = plots.convergence(best.curve, loss, what)
    for other in study.config.study.also:
        figures[f"pareto {name} {other}".replace("@", "_at_")] = _pareto(done, study, other)
    with study.scratch() as folder:
        for file, figure in figures.items():
            plots.save(figure, folder / f"{file.replace(' ', '-')}.png")
        (folder / IMPORTANCE).write_text(json.dumps(shares), encoding="utf-8")
        Run(study.parent, study.workspace).files(folder, "search")


def _costs(study: Study, done: Sequence[FinishedTrial]) -> list[tuple[int, float, float]]:
    """Number, seconds and value of the trials whose seconds are known."""
    runs = read_runs(study.workspace, [each.run for each in done])
    spent = {
        each.slot: [runs[each.run].metric(f"seconds/{part}") for part in ("fit", "judge")]
        for each in done
        if each.run in runs
    }
    return [
        (each.slot, sum(filter(None, spent[each.slot])), each.value)
        for each in done
        if any(second is not None for second in spent.get(each.slot, ()))
    ]


def _history(search: Search, what: str) -> Any:
    finished = {each.slot: each for each in search.finished}
    slots = range(max([search.wanted, *(slot + 1 for slot in finished)]))
    values = [None if slot not in finished else _last(finished[slot]) for slot in slots]
    pruned = [slot for slot in slots if slot in finished and not finished[slot].values]
    return plots.history(values, what, pruned=pruned)


def _last(done: FinishedTrial) -> float | None:
    if done.values:
        return done.value
    return done.curve[-1][1] if done.curve else None


def on_front(done: Sequence[FinishedTrial], objectives: Sequence[str]) -> list[bool]:
    """Whether each trial is on the Pareto front of all objectives."""
    values = [list(map(oriented, objectives, each.values)) for each in done]
    return [bool(flag) for flag in front(np.array(values, np.float64))]


def _pareto(done: Sequence[FinishedTrial], study: Study, other: str) -> Any:
    names = study.config.objectives
    at = names.index(other)
    points = [(each.values[0], each.values[at]) for each in done]
    lower = lower_is_better(other)
    return plots.pareto(
        points,
        on_front([replace(d, values=(d.values[0], d.values[at])) for d in done], (names[0], other)),
        (names[0], other),
        [str(each.slot) for each in done],
        directions=("maximize", "minimize" if lower else "maximize"),
    )


def _bands(
    models: Estimates,
) -> dict[str, dict[str, tuple[float, float | None, float | None]]]:
    return {
        kind: {metric: (e.mean, e.low, e.high) for metric, e in estimates.items()}
        for kind, estimates in models.items()
    }


@task(task_run_name="leaderboard", cache_policy=NO_CACHE)
def show_leaderboard(study: Study, search: Search, chosen: SearchWinner, link: str) -> None:
    """The trials on Prefect's page in their last order, and a link to MLflow's compare page."""
    rows = [
        trial_row(
            study,
            each.done,
            each.estimate.text,
            "the winner"
            if each.done.slot == chosen.winner.slot
            else "tied with the best" * each.tied,
        )
        for each in chosen.ranked
    ]
    put(leaderboard(study, search, rows))
    create_link_artifact(
        key="compare-trials",
        link=link,
        link_text="Compare the trials in MLflow",
        description="Opens while `recsys ui` runs.",
    )


@task(task_run_name="comparison table", cache_policy=NO_CACHE)
def show_comparison(study: Study, comparison: PairedComparison) -> None:
    """The comparison on test as a Prefect table."""
    create_table_artifact(
        key="comparison",
        table=[
            {
                "metric": row.metric,
                study.config.judge.baseline: row.a.text,
                study.config.model: row.b.text,
                "difference": row.difference.text,
                "improvement": "" if row.improvement is None else f"{row.improvement:+.1%}",
            }
            for row in comparison.rows
        ],
        description=f"Study {study.name} on test, {comparison.n_users} users, 95 % intervals.",
    )
