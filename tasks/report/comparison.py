"""What the report of a comparison shows, read from its run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys.evaluation.bootstrap import Estimate
from recsys.report.comparison import ComparisonTables, ModelRow, SplitRow, TriedRow
from recsys.report.tables import Again
from recsys.sources.layout import nouns_of
from tasks.report.facts import EndFacts, made_from
from tasks.study.comparison_report import COST
from tasks.study.tried import TRIED
from tasks.tracking.queries import read_run
from tasks.tracking.runs import Run
from tasks.workspace.layout import Workspace
from tasks.workspace.scratch import copies

Seconds = Mapping[str, Mapping[str, tuple[float, float]]]  # model to split seed to fit and search


def comparison_tables(workspace: Workspace, run_id: str) -> ComparisonTables:
    """All that a report can show of a comparison, of the run that holds it."""
    recorded, run = read_run(workspace, run_id), Run.of(workspace, run_id)
    facts = EndFacts.load(run)
    with copies(workspace) as folder:
        path = run.fetch("compare/models.json", folder)
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        cost: dict[str, Any] = {}
        if run.has(f"compare/{COST}"):
            path = run.fetch(f"compare/{COST}", folder)
            cost = json.loads(path.read_text(encoding="utf-8"))
        tried = _tried(run, folder)
    name, metric = recorded.tags.get("comparison", recorded.name), recorded.params["metric"]
    nouns = nouns_of(recorded.tags.get("format", ""))
    models = [
        _model(model, values, metric, cost.get("seconds", {}).get(model, {}))
        for model, values in table["models"].items()
    ]
    facts_shown = {
        "comparison": name,
        "run in MLflow": run_id,
        **made_from(recorded.tags, facts.versions),
        "seed of the first split": recorded.params.get("first_seed", ""),
    }
    commands = facts.commands or {"Again": f"recsys compare --name {name}"}
    return ComparisonTables(
        name=name,
        metric=metric,
        models=models,
        users=nouns.users,
        items=nouns.items,
        again=Again(commands, facts_shown, facts.settings, facts.seconds, facts.memory),
        n_users=cost.get("n_users"),
        tuned_once=recorded.params.get("tune_once") == "True",
        failed=table["failed"],
        tried=tried,
    )


def _tried(run: Run, folder: Path) -> list[TriedRow]:
    """The models that a search over models tried; none of a comparison."""
    if not run.has(f"compare/{TRIED}"):
        return []
    text = run.fetch(f"compare/{TRIED}", folder).read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = json.loads(text)
    return [TriedRow(**{**row, "estimate": Estimate(**row["estimate"])}) for row in rows]


def _model(
    name: str, values: Mapping[str, Any], metric: str, seconds: Mapping[str, list[float]]
) -> ModelRow:
    against = values["against_best"]
    return ModelRow(
        name=name,
        estimates={each: _estimate(found) for each, found in values["test"].items()},
        sds={each: f["sd"] for each, f in values["test"].items() if f["sd"] is not None},
        splits=[_split(split, metric, seconds) for split in values["splits"]],
        p=None if against is None else against["p_holm"],
        difference=None if against is None else Estimate(**against["difference"]),
        groups={
            grouping: {
                group: (found.get("n", found.get("held_out", 0)), _estimate(found))
                for group, found in groups.items()
            }
            for grouping, groups in values["groups"].items()
        },
    )


def _split(split: Mapping[str, Any], metric: str, seconds: Mapping[str, list[float]]) -> SplitRow:
    fit, search = seconds.get(str(split["seed"]), (None, None))
    return SplitRow(
        seed=split["seed"],
        params=split["params"],
        trials=split["trials"],
        validation=split["validation"],
        test=split["test"][metric],
        fit_seconds=fit,
        search_seconds=search,
    )


def _estimate(found: Mapping[str, Any]) -> Estimate:
    return Estimate(found["mean"], found["low"], found["high"])
