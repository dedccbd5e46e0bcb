"""What a study and a comparison found, in words: for the terminal, and as Markdown for MLflow."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from flows.result import Result
from recsys.report import words

if TYPE_CHECKING:
    from flows.auto_request import AutoResult
    from flows.compare import CompareResult

NOTE = "mlflow.note.content"  # the tag that MLflow's pages show as the description
_METRICS = ("precision", "recall", "ndcg", "coverage", "novelty")
_TRIALS = 5


def answer(result: Result) -> str:
    """What was found, in a sentence with its interval."""
    row, baseline = result.comparison[result.config.study.metric], result.config.judge.baseline
    n_users = result.comparison.n_users
    return words.answer(row, result.config.model, baseline, n_users, result.nouns.users)


def study_note(result: Result) -> str:
    """The answer, the first metrics on test and the best trials on validation."""
    baseline, model = result.config.judge.baseline, result.config.model
    metric = result.config.study.metric
    k = metric.partition("@")[2]
    names = dict.fromkeys([metric, *(f"{name}@{k}" for name in _METRICS)])
    rows = {row.metric: row for row in result.comparison.rows}
    judged = [
        (
            name,
            rows[name].a.text,
            rows[name].b.text,
            "" if rows[name].improvement is None else f"{rows[name].improvement:+.1%}",
        )
        for name in names
        if name in rows
    ]
    best = result.chosen.ranked[:_TRIALS]
    searched = list(dict.fromkeys(name for each in best for name in each.done.params))
    trials = [
        (
            f"{each.done.slot}{' (winner)' * (each.done.slot == result.best.slot)}",
            f"{each.estimate.text}{' =' * each.tied}",
            *(_short(each.done.params.get(name, "")) for name in searched),
        )
        for each in best
    ]
    return "\n\n".join(
        [
            answer(result),
            f"On test, 95 % intervals over users:\n\n"
            f"{_table(['metric', baseline, model, 'change'], judged)}",
            f"Best of {len(result.trials)} trials on validation (= as good as the best):\n\n"
            f"{_table(['trial', metric, *searched], trials)}",
            f"The report: `report.html` among the artifacts, or `recsys report {result.study}`",
            f"Again, with more trials: `recsys study resume {result.study} --trials N`",
        ]
    )


def auto_note(result: "AutoResult") -> str:
    """The answer and the models that were tried, best first."""
    metric = result.request.config.study.metric
    tried = [
        (row.model, f"{row.estimate.text}{' =' * row.tied}", row.trials or "", f"{row.seconds:.1f}")
        for row in result.tried
    ]
    return "\n\n".join(
        [
            auto_answer(result),
            f"Tried on validation (= as good as the best):\n\n"
            f"{_table(['model', metric, 'trials', 'seconds'], tried)}",
            *(f"{model} was not tried: {why}" for model, why in result.failed.items()),
        ]
    )


def auto_answer(result: "AutoResult") -> str:
    """What a search over models found, in a sentence with its interval."""
    config, comparison = result.request.config, result.comparison
    row, baseline = comparison[config.study.metric], config.judge.baseline
    return words.answer(row, result.winner, baseline, comparison.n_users, result.nouns.users)


def comparison_note(result: "CompareResult") -> str:
    """The answer and the models, best first."""
    comparison = result.comparison
    metric, best, n_users = comparison.metric, comparison.models[0], comparison.significance.n_users
    p = {pair.b: pair.p_holm for pair in comparison.significance.against_best()}
    means = comparison.significance.means
    answered = words.comparison_answer(best, means[best].text, metric, comparison.ties)
    models = [
        (model, means[model].text, "best" if model not in p else f"{p[model]:.4f}")
        for model in comparison.models
    ]
    return "\n\n".join(
        [
            f"{answered}; {n_users:,} users",
            _table(["model", metric, "p against the best"], models),
            "p: paired bootstrap over users, Holm-corrected.",
            *(f"{model} could not be used: {why}" for model, why in result.failed.items()),
        ]
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
