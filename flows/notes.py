"""What a study and a comparison found, in words: for the terminal, and as Markdown for MLflow."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flows.result import Result
from recsys.report import words
from recsys.sources.layout import nouns_of
from tasks.tracking.experiments import tag_experiment
from tasks.tracking.runs import Run

if TYPE_CHECKING:
    from flows.auto_request import AutoResult
    from flows.compare import CompareResult
    from tasks.study.choosing import Ranked, SearchWinner
    from tasks.study.study import Study

NOTE = "mlflow.note.content"  # the tag that MLflow's pages show as the description
_METRICS = ("precision", "recall", "ndcg", "coverage", "novelty")
_TRIALS = 5
_LONGEST = 5_000  # letters of a tag of an experiment


def describe(
    study: "Study", name: str, runs: Iterable[str], note: str, pages: Mapping[str, str]
) -> None:
    """Describe runs, and their experiment by what was last found in it.

    Args:
        study: That ended, or one of those that were compared.
        name: Of the study or comparison.
        runs: Ids of its runs.
        note: In Markdown, the answer first.
        pages: Text of a link to the address of a page of MLflow.
    """
    links = ", ".join(f"[{text}](#{url.partition('#')[2]})" for text, url in pages.items())
    found, _, rest = note.partition("\n\n")
    text = f"{found}\n\n{links}\n\n{rest}"
    for run in runs:
        Run.of(study.workspace, run).log({}, tags={NOTE: text})
    last = f"**{name}**: {text}"
    if len(last) > _LONGEST:
        last = last[:_LONGEST].rpartition("\n")[0]
    tag_experiment(study.workspace, study.experiment, {NOTE: last})


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
    best = best_trials(result, _TRIALS)
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
            *([f"Finalists, {finalists_note(result.chosen)}"] if result.chosen.finalists else []),
            f"The report as a file: `recsys report {result.study}`",
            f"Again, with more trials: `recsys study resume {result.study} --trials N`",
        ]
    )


def best_trials(result: Result, n: int) -> "list[Ranked]":
    """The n best trials on validation; the last is the winner where it is not among them."""
    ranked = result.chosen.ranked
    best = list(ranked[:n])
    if result.best.slot not in {each.done.slot for each in best}:
        best[-1:] = [each for each in ranked if each.done.slot == result.best.slot]
    return best


def finalists_note(chosen: "SearchWinner") -> str:
    """The mean of each finalist over all validation cuts, the best first."""
    means = {each.done.slot: each.estimate for each in chosen.finalists}
    return words.finalists_text(chosen.cuts, means)


def tuned_note(model: str, metric: str, chosen: "SearchWinner") -> str:
    """Which trial of a model won its search, of a study that is a part of a comparison."""
    slot = chosen.winner.slot  # with study.prefer = "cheapest" not the first
    value = next(each.estimate.text for each in chosen.ranked if each.done.slot == slot)
    return f"{model}: trial {slot} won with {value} {metric} on validation"


def data_line(facts: Mapping[str, Mapping[str, Any]]) -> str:
    """How much data the filters left, and how it is split.

    Args:
        facts: Of each data stage, by its name.
    """
    nouns, last = nouns_of(facts["ingest"]["format"]), facts["filter"]["steps"][-1]
    counts = f"{last['users']:,} {nouns.users}, {last['items']:,} {nouns.items}"
    pairs = f"{last['cells']:,} pairs of {facts['ingest']['rows']:,} rows"
    return f"{counts}, {pairs}; held out: {facts['split']['method']}"


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
            f"The report as a file: `recsys report {result.request.name}`",
        ]
    )


def auto_answer(result: "AutoResult") -> str:
    """What a search over models found, in a sentence with its interval."""
    config, comparison = result.request.config, result.comparison
    row, baseline = comparison[config.study.metric], config.judge.baseline
    return words.answer(row, result.winner, baseline, comparison.n_users, result.nouns.users)


def comparison_note(result: "CompareResult", users: str) -> str:
    """The answer and the models, best first.

    Args:
        result: The comparison.
        users: What users are called, in the plural.
    """
    comparison = result.comparison
    metric, best = comparison.metric, comparison.models[0]
    p = {pair.b: pair.p_holm for pair in comparison.significance.against_best()}
    texts = {model: comparison.estimates[model][metric].text for model in comparison.models}
    answered = words.comparison_answer(best, texts[best], metric, comparison.ties)
    models = [
        (model, text, "best" if model not in p else f"{p[model]:.4f}")
        for model, text in texts.items()
    ]
    return "\n\n".join(
        [
            f"{answered}; {comparison.n_users:,} {users}",
            _table(["model", metric, "p against the best"], models),
            "p: paired bootstrap over users, Holm-corrected.",
            *(f"{model} could not be used: {why}" for model, why in result.failed.items()),
            f"The report as a file: `recsys report {result.request.name}`",
        ]
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
