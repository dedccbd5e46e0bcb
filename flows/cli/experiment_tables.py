"""How a terminal shows progress and results."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.result import Result, Saved
from recsys.evaluation.bootstrap import Estimate, Row, excludes_zero
from recsys.search.space import Value

TOP = 5
_METRICS = (
    *("precision", "recall", "ndcg", "map", "mrr", "hit_rate"),
    *("coverage", "gini", "novelty", "popularity"),
)


def data_table(result: Result) -> RenderableType:
    """What was read, what each filter left, how it was cut."""
    ingested = result.facts["ingest"]
    table = Table("step", *(right(n) for n in ("users", "artists", "rows", "cells")), title="Data")
    for step in result.facts["filter"]["steps"]:
        numbers = (step[name] for name in ("users", "items", "rows", "cells"))
        table.add_row(step["name"], *(f"{n:,}" for n in numbers))
    lines = [table]
    notes = [f"read {ingested['rows']:,} rows as {ingested['format']}"]
    if ingested["rejected"]:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in ingested["reasons"].items())
        notes.append(f"rejected {ingested['rejected']:,}: {reasons}; see {result.rejects}")
    if ingested["profiles"]:
        missing = ingested["profiles"]["listeners_without"].items()
        notes.append("listeners without " + ", ".join(f"{name}: {n:,}" for name, n in missing))
        notes += _made_missing(ingested["profiles"]["made_missing"])
    matrix = result.facts["filter"]["matrix"]
    notes.append(
        f"matrix {matrix['users']:,} x {matrix['items']:,}, {matrix['nonzeros']:,} cells, "
        f"density {matrix['density']:.4%}, sparsity {matrix['sparsity']:.4%}, "
        f"{matrix['memory'] / 1e6:.1f} MB"
    )
    test_file = result.facts["split"]["test_file"]
    if test_file is not None:
        notes.append(f"read {test_file['rows']:,} rows of the test file")
        if test_file["rejected"]:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in test_file["reasons"].items())
            where = result.test_rejects
            notes.append(f"rejected {test_file['rejected']:,} of them: {reasons}; see {where}")
    notes += [f"split: {result.facts['split']['method']}"]
    notes += [_fold_line(name, result.facts["split"][name]) for name in ("validation", "test")]
    cached = [name for name, reused in result.reused.items() if reused]
    if cached:
        notes.append(f"from the cache, unchanged: {', '.join(cached)}")
    return Group(*lines, *(Text(note) for note in notes))


def _made_missing(fields: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Values of profiles that could not be used; an empty one says nothing more."""
    found = [
        f"{n:,} {field} {reason}"
        for field, reasons in fields.items()
        for reason, n in reasons.items()
        if reason != "empty"
    ]
    return [f"profile values made missing: {', '.join(found)}"] if found else []


def _fold_line(name: str, fold: Mapping[str, Any]) -> str:
    train = fold["train"]
    return (
        f"{name}: {fold['judged_users']:,} users judged on {fold['held_out']:,} held-out cells "
        f"({fold['unreachable']:,} of artists nobody has in training); trained on "
        f"{train['nonzeros']:,} cells, without any: {train['idle_users']:,} users, "
        f"{train['idle_items']:,} artists"
    )


def leaderboard(result: Result) -> RenderableType:
    """The best trials on validation, with intervals; those tied with the best are marked."""
    metric = result.config.study.metric
    shown = result.chosen.ranked[:TOP]
    names = list(dict.fromkeys(name for each in shown for name in each.done.params))
    n_done = len(result.trials)
    title = f"Leaderboard: top {len(shown)} of {n_done} trials on validation"
    heads = (f"{metric} [95 %]", *names)
    table = Table("trial", *map(right, heads), title=title)
    for each in shown:
        cells = (value_text(each.done.params.get(name)) for name in names)
        winner = " <" if each.done.slot == result.best.slot else ""
        tie = " =" if each.tied else ""
        table.add_row(f"{each.done.slot}{winner}", estimate_text(each.estimate) + tie, *cells)
    notes = [
        f"best {name} = {value_text(result.best.params[name])} is the {edge}: "
        f"widen it with --set search.{name}=..."
        for name, edge in result.at_bound.items()
    ]
    notes += [f"trial {slot} failed: {error}" for slot, error in sorted(result.failed.items())]
    return Group(
        table, *(Text(note) for note in _choice(result)), *(Text(n, style="yellow") for n in notes)
    )


def _choice(result: Result) -> list[str]:
    """How the winner was chosen."""
    tied = [each for each in result.chosen.ranked if each.tied]
    notes = []
    if len(tied) > 1:
        prefer = result.config.study.prefer
        how = "the cheapest of them" if prefer == "cheapest" else "the best of them"
        notes.append(
            f"= marks {len(tied)} trials that cannot be told from the best (multiple comparisons "
            f"with the best, paired bootstrap, 95 %); < marks the winner, {how}"
        )
    first = result.chosen.best_on_sample
    if first is not None:
        same = "also" if result.chosen.ranked[0].done.slot == first else "not"
        notes.append(
            f"trials were judged on {result.config.judge.validation_users:,} users, the best "
            f"{len(result.chosen.ranked)} again on all: trial {first}, best on the sample, is "
            f"{same} best on all"
        )
    return notes


def front_table(result: Result) -> RenderableType:
    """The Pareto front of several objectives."""
    objectives = result.config.objectives
    names = list(dict.fromkeys(name for done in result.front for name in done.params))
    title = f"Pareto front: {len(result.front)} of {len(result.trials)} trials"
    table = Table("trial", *map(right, (*objectives, *names)), title=title)
    for done in sorted(result.front, key=lambda done: -done.value):
        values = (f"{value:.4f}" for value in done.values)
        params = (value_text(done.params.get(name)) for name in names)
        table.add_row(str(done.slot), *values, *params)
    return table


def search_summary(result: Result) -> RenderableType:
    """What the search did not have to train, and why it has fewer trials than were asked for."""
    notes = [text for text in [saved_text(result.saved)] if text]
    asked = result.config.study.trials
    if result.space_size is not None and result.space_size < asked:
        notes.append(
            f"the space has only {result.space_size} points: no more trials, though {asked} "
            "were asked for"
        )
    return Group(*map(Text, notes))


def saved_text(saved: Saved) -> str:
    """Iterations trained over those asked for, and why they differ."""
    reasons = {
        "pruned": saved.pruned,
        "ended on a plateau": saved.stopped,
        "reused": saved.reused,
    }
    why = ", ".join(f"{n} trials {reason}" for reason, n in reasons.items() if n)
    if not saved.asked:
        return why
    told = f"iterations: {saved.ran:,} run of {saved.asked:,} asked ({saved.ran / saved.asked:.0%})"
    return f"{told}; {why}" if why else told


def comparison_table(result: Result) -> RenderableType:
    """Baseline and winner on test, metric by metric."""
    judged = result.comparison.n_users
    baseline = result.config.judge.baseline
    table = Table(
        "metric",
        *map(right, (baseline, result.config.model, "difference", "improvement")),
        title=f"On test: {judged:,} users, 95 % bootstrap intervals over users",
    )
    rows = {row.metric: row for row in result.comparison.rows}
    for name in _METRICS:
        for k in result.config.judge.ks:
            row = rows.get(f"{name}@{k}")
            if row is not None:
                table.add_row(
                    row.metric,
                    *_comparison_cells(row),
                    end_section=k == max(result.config.judge.ks),
                )
    return table


def _comparison_cells(row: Row) -> Sequence[str]:
    clear = "" if row.difference.low is None or excludes_zero(row.difference) else " (may be 0)"
    gain = "" if row.improvement is None else f"{row.improvement:+.1%}"
    return estimate_text(row.a), estimate_text(row.b), estimate_text(row.difference) + clear, gain


def estimate_text(estimate: Estimate) -> str:
    """A value with its interval, if it has one."""
    digits = 4 if abs(estimate.mean) < 10 else 1
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:.{digits}f}"
    return f"{estimate.mean:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def listener_table(result: Result) -> RenderableType:
    """One listener: what they play, and what both models show them."""
    baseline = result.config.judge.baseline
    model = result.config.model
    one, other = result.listeners[baseline], result.listeners[model]
    table = Table(
        "plays most",
        f"{baseline} shows",
        f"{model} shows",
        title=Text(f"One listener: {other['user'][:40]}"),
    )
    columns = [
        [f"{name} ({plays:,.0f})" for name, plays in other["history"]],
        [_mark(*entry) for entry in one["recommended"]],
        [_mark(*entry) for entry in other["recommended"]],
    ]
    for row in range(max(map(len, columns))):
        table.add_row(*(Text(c[row]) if row < len(c) else Text("") for c in columns))
    held_out = ", ".join(name for name, _ in other["held_out"])
    return Group(table, Text(f"* = held out for the test, found. Held out: {held_out}"))


def _mark(name: str, hit: bool) -> str:
    return f"* {name}" if hit else f"  {name}"


def seconds_line(seconds: Mapping[str, float]) -> str:
    """Where the time went."""
    return "seconds: " + ", ".join(f"{part} {value:.1f}" for part, value in seconds.items())


def value_text(value: Value | None) -> str:
    """A parameter as a person reads it."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def right(name: str) -> Any:
    """A column of numbers."""
    from rich.table import Column

    return Column(name, justify="right")
