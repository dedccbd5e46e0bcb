"""The end of an experiment: one screen, or with `--all` everything there is."""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.text import Text

from flows.cli.data_tables import data_line, data_table
from flows.cli.format import (
    FittedTable,
    TableColumn,
    change_text,
    metric_text,
    rows_of,
    seconds_text,
    value_text,
    varying,
)
from flows.notes import answer, best_trials, finalists_note
from flows.result import Result, Saved
from recsys.evaluation.bootstrap import MetricRow, excludes_zero
from recsys.models import is_baseline
from recsys.search.space import Point

if TYPE_CHECKING:
    from tasks.study.choosing import Ranked  # Prefect, which is slow to load

TOP = 5
FEWEST = 2  # trials that the screen shows where there is much else to say
SCREEN = 23  # lines: a terminal of 24, and one for what is typed next
FIRST = ("precision", "recall", "ndcg", "coverage", "gini")  # metrics of the screen
MORE = "--all prints every metric, filter and setting; `recsys ui` opens MLflow"
_METRICS = (
    *("precision", "recall", "ndcg", "map", "mrr", "hit_rate"),
    *("coverage", "gini", "novelty", "popularity"),
)
_NEW_STUDY = ("--study", "--name")  # a study that exists cannot be searched more widely


def show(
    console: Console, result: Result, command: Sequence[str], place: Sequence[str], every: bool
) -> None:
    """Print the end of an experiment.

    Args:
        console: Where to.
        result: The experiment.
        command: The words after `recsys` that ran it; none where they cannot run it again.
        place: Words of the options that a command on the same workspace needs.
        every: Whether everything is shown, and not what fits one screen.
    """
    lines = [*warnings(result, command), "", *next_commands(result, place)]
    if every:
        parts, lines = _everything(result), [_trials_link(result), *lines]
    else:
        lines.append(MORE)
        parts = _screen(console, result, lines)
    for part in parts:
        console.print(part)
    for line in lines:
        console.print(line, soft_wrap=True)  # so that a command can be copied as a whole


def _screen(console: Console, result: Result, lines: Sequence[str]) -> list[RenderableType]:
    """The answer, the first metrics, and as many trials as there is room for beside `lines`."""
    parts: list[RenderableType] = [Text(answer(result)), Text(data_line(result))]
    parts.append(first_metrics(result))
    marks = Text(_marks(result))
    heads = 2  # of the leaderboard
    room = SCREEN - _height(console, [*parts, marks], lines) - heads
    shown = best_trials(result, min(TOP, max(FEWEST, room)))
    return [*parts, leaderboard(result, shown, plain=True), marks]


def _everything(result: Result) -> list[RenderableType]:
    return [
        data_table(result),
        leaderboard(result),
        *[front_table(result)] * bool(result.front),
        search_summary(result),
        comparison_table(result),
        sample_user_table(result),
        Text(answer(result)),
    ]


def _height(console: Console, parts: Sequence[RenderableType], lines: Sequence[str]) -> int:
    """Lines that these take on the terminal."""
    of_parts = sum(len(console.render_lines(part)) for part in parts)
    return of_parts + sum(max(1, math.ceil(cell_len(line) / console.width)) for line in lines)


def first_metrics(result: Result) -> RenderableType:
    """The objective and a few more metrics at its cut-off: baseline, winner, change."""
    metric = result.config.study.metric
    k = metric.partition("@")[2]
    names = dict.fromkeys([metric, *(f"{name}@{k}" for name in FIRST)])
    rows = {row.metric: row for row in result.comparison.rows}
    return _comparison([rows[name] for name in names if name in rows], result, True)


def comparison_table(result: Result) -> RenderableType:
    """Baseline and winner on test, metric by metric."""
    rows = {row.metric: row for row in result.comparison.rows}
    names = (f"{name}@{k}" for name in _METRICS for k in result.config.judge.ks)
    return _comparison([rows[name] for name in names if name in rows], result, False)


def _comparison(rows: Sequence[MetricRow], result: Result, plain: bool) -> RenderableType:
    n_users, nouns = result.comparison.n_users, result.nouns
    title = f"On test: {n_users:,} {nouns.users}, 95 % bootstrap intervals over {nouns.users}"
    baseline, model = result.config.judge.baseline, result.config.model
    return metrics_table(rows, baseline, model, "" if plain else title, plain)


def metrics_table(
    rows: Sequence[MetricRow], baseline: str, model: str, title: str, plain: bool
) -> RenderableType:
    """Metrics of the baseline (a) and of the winner (b), with the difference and the change."""
    of_baseline = [f"{row.a.mean:.4f}" if plain else row.a.text for row in rows]
    columns = [
        TableColumn("metric", [metric_text(row.metric) for row in rows], text=True),
        TableColumn(baseline, of_baseline, rank=1),
        TableColumn(model + " [95 %]" * plain, [row.b.text for row in rows]),
        TableColumn("difference", [_difference(row) for row in rows], rank=3),
        TableColumn("change", [change_text(row.improvement) for row in rows], rank=2),
    ]
    return FittedTable(columns, title, plain)


def _difference(row: MetricRow) -> str:
    sure = row.difference.low is None or excludes_zero(row.difference)
    return row.difference.text + ("" if sure else " (may be 0)")


def leaderboard(
    result: Result, shown: "Sequence[Ranked] | None" = None, plain: bool = False
) -> RenderableType:
    """The best trials on validation, with intervals; those tied with the best are marked."""
    shown = best_trials(result, TOP) if shown is None else shown
    names = list(dict.fromkeys(name for each in shown for name in each.done.params))
    params = [
        TableColumn(name, [value_text(each.done.params.get(name)) for each in shown], rank=1 + n)
        for n, name in enumerate(names)
    ]
    differ, same = varying(params) if len(shown) > 1 else (params, [])
    marks = [" <" if each.done.slot == result.best.slot else "" for each in shown]
    ties = [" =" if each.tied else "" for each in shown]
    columns = [
        TableColumn(
            "trial", [f"{e.done.slot}{m}" for e, m in zip(shown, marks, strict=True)], text=True
        ),
        TableColumn(
            f"{result.config.study.metric} [95 %]",
            [each.estimate.text + tie for each, tie in zip(shown, ties, strict=True)],
        ),
        *differ,
    ]
    many = f"best {len(shown)} of {len(result.trials)} measured trials on validation"
    title = f"The {many}" if plain else f"Leaderboard: the {many}"
    table = FittedTable(columns, title, plain)
    notes = [] if plain else _choice(result)
    if same and not plain:
        of_all = ", ".join(f"{column.head} {column.cells[0]}" for column in same)
        notes.append(f"the same in all of them: {of_all}")
    return Group(table, *map(Text, notes))


def _marks(result: Result) -> str:
    """What the marks mean, and what the search did not have to train."""
    tied = sum(each.tied for each in result.chosen.ranked)
    winner = "< winner"
    if result.chosen.finalists:
        finalists, cuts = len(result.chosen.finalists), result.chosen.cuts
        winner += f" (of {finalists} finalists on {cuts} validation cuts)"
    marks = f"{winner}, = as good as the best ({tied} trials)" if tied > 1 else winner
    return "; ".join(filter(None, [marks, _untrained(result.saved), *_few_points(result)]))


def warnings(result: Result, command: Sequence[str]) -> list[str]:
    """A winner on the edge of the space, cheap models that are ahead, trials that failed."""
    lines = [
        f"best {name} = {value_text(result.best.params[name])} is the {edge}; to widen it:\n"
        f"  {widening(command, name, result.wider[name])}"
        for name, edge in result.at_bound.items()
    ]
    lines = [line for each in [*lines, *_cheaper(result, command)] for line in each.split("\n")]
    return lines + [
        f"trial {slot} failed: {error}" for slot, error in sorted(result.failed.items())
    ]


def _cheaper(result: Result, command: Sequence[str]) -> Iterator[str]:
    """The models that are ahead of the winner on validation at one of their first points."""
    for each in result.checked:
        if each.is_ahead:
            yield (
                f"{each.model} is ahead of {result.config.model} on validation at one of its first "
                f"points, {each.estimate.mean:.4f}, by {each.ahead.signed_text}; to search it:\n"
                f"  {searching(command, each.model)}"
            )


def searching(command: Sequence[str], model: str) -> str:
    """The command that searches another model."""
    words = iter(without_options(command or ["experiment"], (*_NEW_STUDY, "--model")))
    kept = []
    for word in words:
        if word == "--set":
            setting = next(words, "")
            if not setting.startswith("search."):
                kept += [word, setting]
        elif not word.startswith("--set=search."):
            kept.append(word)
    return shlex.join(["recsys", *kept, "--model", model])


def widening(command: Sequence[str], name: str, wider: str) -> str:
    """The command that searches a wider range."""
    kept = without_options(command or ["experiment"], _NEW_STUDY)
    return shlex.join(["recsys", *kept, "--set", f"search.{name}={wider}"])


def without_options(command: Sequence[str], options: tuple[str, ...]) -> list[str]:
    """The words of a command but for these options and their values."""
    words = iter(command)
    kept = []
    for word in words:
        if word in options:
            next(words, None)
        elif not word.startswith(tuple(f"{each}=" for each in options)):
            kept.append(word)
    return kept


def cross_checked(result: Result) -> list[str]:
    """Which cheap models were tried beside the winner, in a line."""
    if not result.checked:
        return []
    named = ", ".join(f"{each.model} {each.estimate.mean:.4f}" for each in result.checked)
    return [f"cross-check on validation, at first points: {named}"]


def next_commands(result: Result, place: Sequence[str]) -> list[str]:
    """Study, run, and what can be done with the winner, as it is to be typed."""
    model, study = result.config.model, result.study
    shown = result.shown[model]
    asking = [["recommend", "--run", study, "--user", str(shown["user"])]]
    if shown["history"] and not is_baseline(model):
        asking.append(["similar", str(shown["history"][0][0]), "--run", study])
    commands = [["report", study], *asking, ["register", "--run", study]]
    return [
        f"study {study}, run {result.runs['final']}; next:",
        *(f"  {shlex.join(['recsys', *words, *place])}" for words in commands),
    ]


def place_words(root: Path, usual: Path) -> list[str]:
    """The option that names a workspace, unless it is the usual one."""
    return [] if root == usual.resolve() else ["--workspace", str(root)]


def _trials_link(result: Result) -> str:
    return f"the trials side by side, while `recsys ui` runs: {result.compare_url}"


def _choice(result: Result) -> list[str]:
    """How the winner was chosen."""
    tied = [each for each in result.chosen.ranked if each.tied]
    notes = []
    if len(tied) > 1:
        cheapest = result.config.study.prefer == "cheapest"
        of_them = f", the {'cheapest' if cheapest else 'best'} of them"
        notes.append(
            f"= marks {len(tied)} trials that may be as good as the best (multiple comparisons "
            "with the best, paired bootstrap, 95 %); < marks the winner"
            f"{'' if result.chosen.finalists else of_them}"
        )
    if result.chosen.best_before is not None:
        notes.append(_finalists(result, result.chosen.best_before))
    return notes


def _finalists(result: Result, first: int) -> str:
    """What the second judgement of the best trials changed."""
    users, chosen = result.config.judge.validation_users, result.chosen
    sentences = []
    if users is not None:
        same = "also" if chosen.ranked[0].done.slot == first else "not"
        sentences.append(
            f"trials were judged on {users:,} {result.nouns.users}, the best {len(chosen.ranked)} "
            f"again on all: trial {first}, best on the sample, is {same} best on all"
        )
    if chosen.finalists:
        n, best = len(chosen.finalists), chosen.ranked[0].done.slot
        same = "also" if chosen.finalists[0].done.slot == best else "not"
        sentences.append(
            f"{n} of the best trials were judged on {chosen.cuts} validation cuts: trial {best}, "
            f"best on the first cut, is {same} best in the mean; {finalists_note(chosen)}"
        )
    return "; ".join(sentences)


def front_table(result: Result) -> RenderableType:
    """The Pareto front of several objectives."""
    names = list(dict.fromkeys(name for done in result.front for name in done.params))
    heads = ["trial", *map(metric_text, result.config.objectives), *names]
    rows = (
        [str(done.slot), *(f"{value:.4f}" for value in done.values), *_values(done.params, names)]
        for done in sorted(result.front, key=lambda done: -done.value)
    )
    title = f"Pareto front: {len(result.front)} of {len(result.trials)} trials"
    return FittedTable(rows_of([(head, head == "trial") for head in heads], rows), title)


def _values(params: Point, names: Sequence[str]) -> Iterator[str]:
    return (value_text(params.get(name)) for name in names)


def search_summary(result: Result) -> RenderableType:
    """What the search did not have to train, and why it has fewer trials than requested."""
    lines = [saved_text(result.saved), *_few_points(result), *cross_checked(result)]
    return Group(*map(Text, filter(None, lines)))


def _few_points(result: Result) -> list[str]:
    trials, size = result.config.study.trials, result.space_size
    if result.stopped is not None and result.stopped < trials:
        return [
            f"the search ended after {result.stopped} of {trials} trials: "
            f"{result.config.study.stop_after} in a row brought no new best"
        ]
    if size is None or size >= trials:
        return []
    return [f"the space has only {size} points: no more trials than that, of {trials} requested"]


def saved_text(saved: Saved) -> str:
    """Iterations trained over those of all trials to their ends, and why they differ."""
    why = _untrained(saved)
    if not saved.asked:
        return why
    ran = f"iterations: {saved.ran:,} of {saved.asked:,} run ({saved.ran / saved.asked:.0%})"
    return f"{ran}; {why}" if why else ran


def _untrained(saved: Saved) -> str:
    """How many trials were not trained to their ends, and why."""
    reasons = {"pruned": saved.pruned, "on a plateau": saved.stopped, "reused": saved.reused}
    return ", ".join(f"{n} {reason}" for reason, n in reasons.items() if n)


def sample_user_table(result: Result) -> RenderableType:
    """One user: what they play, and what both models show them."""
    baseline, model = result.config.judge.baseline, result.config.model
    one, other = result.shown[baseline], result.shown[model]
    columns = [
        [f"{name} ({plays:,.0f})" for name, plays in other["history"]],
        [_mark(*entry) for entry in one["recommended"]],
        [_mark(*entry) for entry in other["recommended"]],
    ]
    heads = ("plays most", f"{baseline} shows", f"{model} shows")
    longest = max(map(len, columns))
    filled = [[*cells, *[""] * (longest - len(cells))] for cells in columns]
    table = FittedTable(
        [TableColumn(head, cells, text=True) for head, cells in zip(heads, filled, strict=True)],
        f"One {result.nouns.user}: {other['user']}",
    )
    held_out = ", ".join(name for name, _ in other["held_out"])
    return Group(table, Text(f"* = held out for the test, found. Held out: {held_out}"))


def _mark(name: str, hit: bool) -> str:
    return f"* {name}" if hit else f"  {name}"


def seconds_line(seconds: Mapping[str, float]) -> str:
    """Where the time went."""
    return seconds_text(dict(seconds))
