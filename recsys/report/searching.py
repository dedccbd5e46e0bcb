"""The sections of a search: convergence, sensitivity, importance, trials, what was traded."""

from collections.abc import Mapping, Sequence

from recsys.report import figures, trial_figures
from recsys.report.page import Panels, Section, Table, Text, section
from recsys.report.tables import SearchTables, TrialRow
from recsys.report.words import finalists_text, value_text
from recsys.search.config import FOUND

FIRST = ("factors", "regularization", "iterations", "alpha", "weighting")  # panels
_ROWS = 20  # of the leaderboard


def sections(of: SearchTables, metric: str) -> list[Section | None]:
    """The sections of a search, by the objective on validation."""
    what = f"{metric} on validation"
    return [
        _convergence(of, what),
        _sensitivity(of, what),
        _importance(of, what),
        _trials(of, metric),
        _tradeoff(of, metric),
    ]


def _convergence(of: SearchTables, what: str) -> Section | None:
    if len(of.validation) < 2:
        return None
    best = max(of.validation, key=lambda point: point[1])[0]
    drawn = [figures.curve(of.validation, what, best, f"Best at iteration {best}.")]
    if len(of.loss) > 1:
        drawn.append(figures.curve(of.loss, "training loss", best, "The line is the best above."))
    kept = _judged_iteration(of)
    note = f"The winning trial as it was trained; {what} was best at iteration {best}"
    if kept != best:
        note += f" for the users of the curve, and the model of iteration {kept} was judged"
    return section("convergence", "Convergence", Text(f"{note}."), Panels(drawn))


def _judged_iteration(of: SearchTables) -> object:
    """That of the winner; the last of its curve where the iterations were not searched."""
    last = of.validation[-1][0]
    return next((each.params.get(FOUND, last) for each in of.trials if each.winner), last)


def _sensitivity(of: SearchTables, what: str) -> Section | None:
    names = list(dict.fromkeys(name for trial in of.measured for name in trial.params))
    names.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    drawn = [
        each
        for name in names
        if (each := trial_figures.slice_of(of.measured, name, what, name in of.logarithmic))
    ]
    if not drawn:
        return None
    note = f"{what} of each trial; a darker dot is later, the star is the winner."
    return section("sensitivity", "Sensitivity", Text(note, "note"), Panels(drawn))


def _importance(of: SearchTables, what: str) -> Section | None:
    if not of.importances:
        return None
    n_trials = len(of.measured)
    note = (
        f"PED-ANOVA over {n_trials} measured trials: which parameters decide whether a trial is "
        f"among the best by {what}. The lines are standard deviations over resampled trials."
    )
    said = ", ".join(f"{name} {share:.0%}" for name, (share, _) in of.importances.items())
    numeric = [
        name
        for name in of.importances
        if all(isinstance(trial.params.get(name), int | float) for trial in of.measured)
    ]
    pair = (
        trial_figures.landscape(of.measured, (numeric[0], numeric[1]), what, of.logarithmic)
        if len(numeric) > 1
        else None
    )
    drawn = [trial_figures.importance(of.importances, said), *([] if pair is None else [pair])]
    return section("importance", "What the value depends on", Text(note, "note"), Panels(drawn))


def _trials(of: SearchTables, metric: str) -> Section | None:
    if not of.trials and not of.failed:
        return None
    by_state = [trial.state for trial in of.trials]
    counts = {state: by_state.count(state) for state in dict.fromkeys(by_state)}
    counts |= {"failed": len(of.failed)} if of.failed else {}
    tied = max(sum(trial.tied for trial in of.trials) - 1, 0)  # the best is tied with itself
    told = ", ".join(f"{n} {state}" for state, n in counts.items())
    note = f"{told}; {tied or 'no'} other{'s' * (tied > 1)} tied with the best."
    ranked = sorted(of.measured, key=lambda trial: -_value(trial))
    winners = [trial for trial in ranked[_ROWS:] if trial.winner]
    best = [*ranked[: _ROWS - len(winners)], *winners]
    names = list(dict.fromkeys(name for trial in best for name in trial.params))
    rows = [(_label(t), _text(t), *(value_text(t.params.get(n)) for n in names)) for t in best]
    title = f"The best {len(best)} of {len(of.measured)} measured trials on validation"
    return section(
        "trials",
        "The trials",
        Text(note),
        Text(f"Finalists, {finalists_text(of.cuts, of.finalists)}.") if of.finalists else None,
        trial_figures.history(of.trials, f"{metric} on validation", note) if best else None,
        Table(("trial", metric, *names), rows, title) if best else None,
        _failed(of.failed) if of.failed else None,
    )


def _failed(errors: Mapping[int, str]) -> Table:
    """The trials that failed, those with the same error in one row."""
    numbers: dict[str, list[int]] = {}
    for number, error in sorted(errors.items()):
        numbers.setdefault(" ".join(error.split()), []).append(number)
    rows = [(", ".join(map(str, of_error)), error) for error, of_error in numbers.items()]
    n = len(errors)
    title = f"{n} trial{'s' * (n > 1)} failed, and took no part in the search"
    return Table(("trial", "error"), rows, title, (0, 1))


def _tradeoff(of: SearchTables, metric: str) -> Section | None:
    k = metric.partition("@")[2]
    drawn = []
    for other in (f"coverage@{k}", f"novelty@{k}"):
        having = [trial for trial in of.measured if other in trial.beyond]
        if len(having) > 1:
            words = f"{len(having)} trials on validation; the star is the winner."
            drawn.append(trial_figures.tradeoff(having, metric, other, words))
    if not drawn:
        return None
    note = "Trials on validation; up and to the right is better. The star is the winner."
    title = "Accuracy against coverage and novelty"
    return section("tradeoff", title, Text(note, "note"), Panels(drawn))


def _value(trial: TrialRow) -> float:
    if trial.estimate is not None:
        return trial.estimate.mean
    return float("-inf") if trial.value is None else trial.value


def _label(trial: TrialRow) -> str:
    marks: Sequence[str] = [
        *["winner"] * trial.winner,
        *["tied"] * (trial.tied and not trial.winner),
    ]
    return f"{trial.number}{f' ({marks[0]})' if marks else ''}"


def _text(trial: TrialRow) -> str:
    return f"{trial.value:.4f}" if trial.estimate is None else trial.estimate.text
