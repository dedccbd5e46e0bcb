"""The end of a search over several models, as a terminal shows it."""

import shlex
from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text

from flows.auto_request import AutoResult
from flows.cli.data_tables import data_line
from flows.cli.experiment_tables import FIRST, metrics_table
from flows.cli.format import FittedTable, TableColumn, seconds_text, value_text
from flows.notes import auto_answer
from recsys.report import words
from recsys.search.space import Value

PARAMETERS = 4  # of a model, shown beside it


def parts(result: AutoResult) -> list[RenderableType]:
    """The answer, the metrics on test, and the models that were tried."""
    return [Text(auto_answer(result)), Text(data_line(result)), _metrics(result), _tried(result)]


def _metrics(result: AutoResult) -> RenderableType:
    config = result.request.config
    metric = config.study.metric
    k = metric.partition("@")[2]
    names = dict.fromkeys([metric, *(f"{name}@{k}" for name in FIRST)])
    rows = {row.metric: row for row in result.comparison.rows}
    found = [rows[name] for name in names if name in rows]
    return metrics_table(found, config.judge.baseline, result.winner, "", plain=True)


def _tried(result: AutoResult) -> RenderableType:
    rows = result.tried
    marks = [" <" if row.model == result.winner else "" for row in rows]
    columns = [
        TableColumn(
            "model", [f"{r.model}{m}" for r, m in zip(rows, marks, strict=True)], text=True
        ),
        TableColumn(
            f"{result.request.config.study.metric} [95 %]",
            [row.estimate.text + (" =" if row.tied else "") for row in rows],
        ),
        TableColumn("trials", [str(row.trials) if row.trials else "" for row in rows], rank=1),
        TableColumn("seconds", [f"{row.seconds:.1f}" for row in rows], rank=2),
        TableColumn("parameters", [_parameters(row.params) for row in rows], rank=3, text=True),
    ]
    return FittedTable(columns, "The models that were tried, on validation", plain=True)


def _parameters(params: Mapping[str, Value | None]) -> str:
    shown = [f"{n} {value_text(v)}" for n, v in params.items() if v is not None]
    return ", ".join(shown[:PARAMETERS]) + (", ..." if len(shown) > PARAMETERS else "")


def lines(result: AutoResult, place: Sequence[str]) -> list[str]:
    """What the marks mean, who took no part, and what can be done next, as it is to be typed."""
    name, user = result.request.name, result.sample_user
    notes = ["< winner, judged once on test; = may be as good as the best"]
    notes += [
        f"{ensemble} {ahead.signed_text} beside the best model alone: it "
        f"{'is better' if words.is_ahead(ahead) else 'may be no better'}"
        for ensemble, ahead in result.ahead.items()
    ]
    won = result.ahead.get(result.winner)
    if won is not None and not words.is_ahead(won):
        notes.append("to get one model where no ensemble is better, search with --prefer cheapest")
    notes += [f"{model} was not tried: {why}" for model, why in result.failed.items()]
    notes.append(seconds_text(dict(result.seconds)))
    commands = [
        ["report", name],
        ["recommend", "--run", name, "--user", user],
        ["register", "--run", name],
    ]
    return [
        *notes,
        f"search {name}, run {result.runs['final']}; next:",
        *(f"  {shlex.join(['recsys', *each, *place])}" for each in commands),
    ]
