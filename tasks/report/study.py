"""What the report of a study shows, gathered from its runs, its trials and its data."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.config import ExperimentConfig
from recsys.data.filtering import Step
from recsys.errors import InputError
from recsys.evaluation.bootstrap import Estimate, MetricRow
from recsys.evaluation.metrics import parsed
from recsys.evaluation.report import Report
from recsys.evaluation.store import load_lists, load_report
from recsys.models.arrays import StoredArrays
from recsys.models.recommender import Recommendations
from recsys.report import fold_tables
from recsys.report.tables import (
    Again,
    Catalogue,
    DataTables,
    RankedItem,
    SearchTables,
    SplitSide,
    StudyTables,
    TrialRow,
)
from recsys.report.toml import as_toml
from recsys.sources.layout import Nouns, nouns_of
from recsys.splitting.split import Fold
from tasks.report.facts import EndFacts, made_from
from tasks.study.experiment_report import IMPORTANCE
from tasks.study.measuring import FACTORS, SIMILAR
from tasks.study.study import fold_at
from tasks.tracking.queries import finals, read_run, read_runs
from tasks.tracking.reading import open_reader
from tasks.tracking.recorded import metric_name
from tasks.tracking.runs import Run
from tasks.tuning import FinishedTrial, Search
from tasks.workspace.cache import StageEntry
from tasks.workspace.layout import Workspace
from tasks.workspace.scratch import copies

_LISTS = "lists.npz"
_REPORT = ("per_user.parquet", "exposure.parquet")


@dataclass(frozen=True, slots=True)
class StudySource:
    """Where the report of a study comes from.

    Attributes:
        workspace: Holds everything.
        search: Its trials.
        config: Its configuration.
        parent: Id of its run in MLflow.
        plays: The file of its data, as the report names it.
        stages: "ingest", "filter" and "split"; None where the data is not there any more.
        commands: That run it again.
    """

    workspace: Workspace
    search: Search
    config: ExperimentConfig
    parent: str
    plays: str
    stages: Mapping[str, StageEntry] | None
    commands: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Final:
    """A model judged on test."""

    run: Run
    report: Report
    lists: Recommendations | None
    similar: Mapping[str, list[tuple[str, float]]]
    factors: npt.NDArray[Any] | None


def study_tables(source: StudySource) -> StudyTables:
    """All that a report can show.

    Raises:
        InputError: the study was not judged on test.
    """
    facts = EndFacts.load(Run.of(source.workspace, source.parent))
    tags = read_run(source.workspace, source.parent).tags
    nouns, model = nouns_of(tags.get("format", "")), source.config.model
    with copies(source.workspace) as folder:
        ids = dict(facts.finals) or _newest(source)
        if model not in ids:
            raise InputError(
                f"study {source.search.name} was not judged on test; `recsys study resume "
                f"{source.search.name}` does it"
            )
        found = {
            name: _final(Run.of(source.workspace, each), folder / name)
            for name, each in ids.items()
        }
        rows, models = _compared(found[model].run, folder)
        tables = StudyTables(
            name=source.search.name,
            metric=source.config.study.metric,
            model=model,
            baseline=source.config.judge.baseline,
            rows=rows,
            models=models,
            n_users=len(found[model].report.users),
            users=nouns.users,
            items=nouns.items,
            again=_again(source, facts, tags),
            search=_search(source, facts, tags),
        )
        if source.stages is None:
            return tables
        fold = fold_at(source.stages["split"].folder / "test")
        return _of_fold(_of_stages(tables, source), source.config, fold, found, nouns)


def _newest(source: StudySource) -> dict[str, str]:
    """Model to its newest final run that holds what it measured."""
    ids: dict[str, str] = {}
    for run in finals(source.workspace, source.parent):
        ids.setdefault(run.tags.get("model", ""), run.id)
    return ids


def _final(run: Run, folder: Path) -> _Final:
    """What a final run attached; a copy in `folder` where it lies elsewhere."""
    lists = load_lists(run.fetch(_LISTS, folder).parent) if run.has(_LISTS) else None
    for name in _REPORT:
        place = run.fetch(name, folder).parent
    similar = {}
    if run.has(SIMILAR):
        similar = json.loads(run.fetch(SIMILAR, folder).read_text(encoding="utf-8"))
    return _Final(run, load_report(place), lists, similar, _factors(run, folder))


def _factors(run: Run, folder: Path) -> npt.NDArray[Any] | None:
    """The vectors of the items, of a model that has and keeps them."""
    name = f"{FACTORS}/item_factors.npy"
    if not run.has(name):
        return None
    path = run.fetch(name, folder)
    return StoredArrays(path.parent).all_dense()["item_factors"]


def _compared(run: Run, folder: Path) -> tuple[list[MetricRow], dict[str, dict[str, Estimate]]]:
    """The comparison that a final run of the winner holds."""
    table = pd.read_csv(run.fetch("comparison/comparison.csv", folder), index_col="metric")
    text = run.fetch("comparison/models.json", folder).read_text(encoding="utf-8")
    models = {
        model: {metric: Estimate(**values) for metric, values in metrics.items()}
        for model, metrics in json.loads(text).items()
    }
    rows = [
        MetricRow(
            str(metric),
            _estimate(row, "a"),
            _estimate(row, "b"),
            _estimate(row, "difference"),
            _known(row["improvement"]),
        )
        for metric, row in table.iterrows()
    ]
    return rows, models


def _estimate(row: "pd.Series[float]", of: str) -> Estimate:
    low, high = _known(row[f"low_{of}"]), _known(row[f"high_{of}"])
    return Estimate(float(row[f"mean_{of}"]), low, high)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _of_stages(tables: StudyTables, source: StudySource) -> StudyTables:
    """With the data and the split."""
    facts = {name: entry.facts for name, entry in (source.stages or {}).items()}
    read, cut = facts["ingest"], facts["split"]
    sides = [
        SplitSide(
            name,
            cut[name]["train"]["nonzeros"],
            cut[name]["held_out"],
            cut[name]["judged_users"],
            cut[name]["unreachable"],
        )
        for name in ("validation", "test")
    ]
    steps = [Step(**step) for step in facts["filter"]["steps"]]
    data = DataTables(source.plays, read["rows"], read["reasons"], steps)
    return replace(tables, data=data, method=cut["method"], sides=sides)


def _of_fold(
    tables: StudyTables,
    config: ExperimentConfig,
    fold: Fold,
    found: Mapping[str, _Final],
    nouns: Nouns,
) -> StudyTables:
    """With what is counted from the data: distributions, groups, items, users."""
    both = {name: found[name] for name in (tables.baseline, tables.model) if name in found}
    reports = {name: each.report for name, each in both.items()}
    lists = {name: each.lists for name, each in both.items() if each.lists is not None}
    winner = found[tables.model]
    k = parsed(tables.metric)[1]
    similar = {
        name: [RankedItem(*each) for each in alike] for name, alike in winner.similar.items()
    }
    factors = winner.factors
    if factors is not None and len(factors) != len(fold.train.items):
        factors = None
    vectors = fold_tables.shared_vectors(fold.train) if factors is None else factors
    mapped, explained = fold_tables.factor_map(vectors, fold.train)
    shown = {name: each.exposure[k] for name, each in reports.items() if k in each.exposure}
    catalogue = Catalogue(
        len(fold.train.items),
        fold_tables.exposure(fold, shown),
        similar,
        mapped,
        explained,
        factors is not None,
    )
    data = tables.data
    if data is not None:
        data = replace(
            data,
            histograms=fold_tables.histograms(fold, nouns),
            profiles=fold_tables.profile_counts(fold),
        )
    return replace(
        tables,
        data=data,
        groups=fold_tables.user_group_tables(fold, reports, config),
        item_groups=fold_tables.item_group_tables(fold, lists, k, config),
        catalogue=catalogue,
        people=fold_tables.people(fold, lists, config.seed) if tables.model in lists else None,
    )


def _again(source: StudySource, facts: EndFacts, tags: Mapping[str, str]) -> Again:
    every = {
        "study": source.search.name,
        "run in MLflow": source.parent,
        **made_from(tags, facts.versions),
        "seed": str(source.config.seed),
    }
    settings = as_toml(source.config.model_dump(mode="json", exclude_none=True))
    return Again(source.commands, every, settings, facts.seconds, facts.memory)


def _search(source: StudySource, facts: EndFacts, tags: Mapping[str, str]) -> SearchTables:
    search, config = source.search, source.config
    finished = search.finished
    known = read_runs(source.workspace, [each.run for each in finished])
    best = tags.get("best_run")
    k, metric = parsed(config.study.metric)[1], config.study.metric
    rows = []
    for each in sorted(finished, key=lambda each: each.slot):
        run = known.get(each.run)
        estimate, tied = facts.ranked.get(each.slot, (None, False))
        beyond = {
            name: value
            for name in (f"coverage@{k}", f"novelty@{k}")
            if run is not None and (value := run.metric(f"validation/{name}")) is not None
        }
        rows.append(_trial(each, estimate, tied, each.run == best, beyond))
    curves = (
        {}
        if best is None
        else {
            name: open_reader(source.workspace).history(best, metric_name(f"curve/{name}"))
            for name in (metric, "loss")
        }
    )
    return SearchTables(
        trials=rows,
        failed=search.failed,
        finalists=facts.finalists,
        cuts=facts.cuts,
        logarithmic=[n for n, spec in config.space.items() if getattr(spec, "log", False)],
        importances=_importances(source),
        validation=curves.get(metric, ()),
        loss=[point for point in curves.get("loss", ()) if np.isfinite(point[1])],
    )


def _importances(source: StudySource) -> dict[str, tuple[float, float]]:
    """As they were when the study was judged; counted now where they were not kept."""
    run, name = Run.of(source.workspace, source.parent), f"search/{IMPORTANCE}"
    if not run.has(name):
        return source.search.importances()
    with copies(source.workspace) as folder:
        found = json.loads(run.fetch(name, folder).read_text(encoding="utf-8"))
    return {parameter: (share, spread) for parameter, (share, spread) in found.items()}


def _trial(
    done: FinishedTrial,
    estimate: Estimate | None,
    tied: bool,
    winner: bool,
    beyond: Mapping[str, float],
) -> TrialRow:
    last = done.curve[-1][1] if done.curve else None
    state = "measured" if done.facts.source is None else "reused"
    return TrialRow(
        number=done.slot,
        params=done.params,
        value=done.value if done.values else None,
        last=last,
        state=state if done.values else "pruned",
        estimate=estimate,
        tied=tied,
        winner=winner,
        beyond=beyond,
    )
