"""The report of a study: its sections in the order in which questions come."""

from collections.abc import Mapping, Sequence

from recsys.evaluation.bootstrap import Estimate, MetricRow
from recsys.evaluation.metrics import parsed
from recsys.evaluation.objectives import lower_is_better
from recsys.plots.models import Band
from recsys.report import figures, searching
from recsys.report.catalogue import exposure_section, groups_section, map_section, similar_section
from recsys.report.page import Block, Page, Panels, Section, Table, Text, render, section
from recsys.report.people import users_section
from recsys.report.tables import Again, DataTables, StudyTables
from recsys.report.words import (
    answer,
    change_text,
    is_sure,
    listed,
    seconds_text,
    size_text,
)

FOUR = ("precision", "recall", "ndcg", "coverage")
AT_K = ("precision", "recall", "ndcg")
_ORDER = (*FOUR, "map", "mrr", "hit_rate", "gini", "novelty", "popularity")
_BESIDE = 5  # a change so many times larger than the others is said and not drawn


def study_report(of: StudyTables) -> str:
    """The HTML of the report of a study."""
    return render(study_page(of))


def study_page(of: StudyTables) -> Page:
    """The report of a study; what is not known has no section."""
    every = (
        _answer(of),
        None if of.data is None else _data(of, of.data),
        _split(of),
        _comparison(of),
        _cutoffs(of),
        *([] if of.search is None else searching.sections(of.search, of.metric)),
        exposure_section(of),
        groups_section(of),
        users_section(of),
        similar_section(of),
        map_section(of),
        _again(of),
    )
    about = f"Study {of.name}: {of.model} against {of.baseline}, by {of.metric}"
    what = of.data.source if of.data is not None else f"{of.users} and {of.items}"
    return Page(f"{of.model} on {what}", about, [s for s in every if s])


def _answer(of: StudyTables) -> Section | None:
    row = of.row(of.metric)
    if row is None:
        return None
    question = (
        f"Does {of.model}, tuned on validation, find more of the {of.items} that were held out "
        f"than {of.baseline}?"
    )
    if of.model == of.baseline:
        question = f"How much of the {of.items} that were held out does {of.model} find?"
    lead = Text(answer(row, of.model, of.baseline, of.n_users, of.users) + ".", "lead")
    table = Table(("question", "answer"), _in_short(of, row), "In short", texts=(0, 1))
    return section("answer", "The answer", Text(question, "note"), lead, table)


def _in_short(of: StudyTables, row: MetricRow) -> list[tuple[str, str]]:
    change = change_text(row.improvement)
    by = f"{row.difference.signed_text} {row.metric}{f', {change}' if change else ''}"
    sure = "yes: the 95 % interval of the difference excludes 0"
    if row.difference.low is None:
        sure = "not known: the difference has no interval"
    elif not is_sure(row.difference):
        sure = "no: the 95 % interval of the difference includes 0"
    rows = [("Which model won?", of.model), ("By how much?", by), ("Is it sure?", sure)]
    if of.model == of.baseline:
        rows = [("Which model won?", f"{of.model} is the baseline: nothing was compared with it")]
    if of.again.seconds:
        cost = seconds_text(of.again.seconds.get("total", sum(of.again.seconds.values())))
        memory = "" if of.again.memory is None else f", {size_text(of.again.memory)} of memory"
        rows.append(("What did it cost?", cost + memory))
    if worst := _worst(of):
        rows.append(("For whom is it worse?", worst))
    rows += [
        ("How do I run it again?", command) for command in list(of.again.commands.values())[:1]
    ]
    return rows


def _worst(of: StudyTables) -> str:
    """The group of each grouping that the winner serves worst, where there is a choice."""
    found = []
    for grouping, models in of.groups.items():
        rows = [row for row in models.get(of.model, ()) if row.group not in ("unknown", "other")]
        if len(rows) > 1:
            low = min(rows, key=lambda row: row.estimate.mean)
            found.append(f"{grouping} {low.group} ({low.estimate.mean:.3f}, {low.n:,} {of.users})")
    return "; ".join(found)


def _data(of: StudyTables, data: DataTables) -> Section | None:
    last = data.steps[-1]
    read = f"{data.rows:,} rows of {data.source}"
    if data.rejected:
        read += f"; not used: {listed(data.rejected)}"
    kept = f"{last.cells:,} pairs of {last.users:,} {of.users} and {last.items:,} {of.items} remain"
    rows = []
    for before, step in zip((data.steps[0], *data.steps), data.steps, strict=False):
        gone = before.cells - step.cells
        pairs = (f"{step.users:,}", f"{step.items:,}", f"{step.cells:,}")
        rows.append((step.name, *pairs, f"{gone:,}" if gone else ""))
    head = ("filter", f"{of.users} left", f"{of.items} left", "pairs left", "pairs removed")
    profiles = [
        figures.bars(
            {field: {group: (float(n), None, None) for group, n in groups.items()}},
            of.users,
            f"{of.users.capitalize()} by {field}",
            listed(groups),
        )
        for field, groups in data.profiles.items()
    ]
    return section(
        "data",
        "The data",
        Text(f"{read}. {kept}."),
        Table(head, rows, "What each filter left"),
        Panels([figures.distribution(each) for each in data.histograms])
        if data.histograms
        else None,
        Panels(profiles) if profiles else None,
    )


def _split(of: StudyTables) -> Section | None:
    rows = [
        (s.name, f"{s.trained:,}", f"{s.held_out:,}", f"{s.judged:,}", f"{s.unreachable:,}")
        for s in of.sides
    ]
    head = ("side", "pairs to learn from", "pairs held out", "users judged", "cannot be found")
    return section(
        "split",
        "The split",
        Text(f"Held out: {of.method}. The search reads validation; test is read once.")
        if of.method
        else None,
        Table(head, rows, "Sizes; what cannot be found has no user in training") if rows else None,
    )


def _comparison(of: StudyTables) -> Section | None:
    names = [n for name in _ORDER if (n := f"{name}@{of.k}") in {row.metric for row in of.rows}]
    rows = [row for name in names if (row := of.row(name)) is not None]
    cells: list[tuple[str, ...]] = [
        (
            f"{r.metric} (lower is better)" if lower_is_better(r.metric) else r.metric,
            r.a.text,
            r.b.text,
            r.difference.signed_text,
            change_text(r.improvement),
        )
        for r in rows
    ]
    head: tuple[str, ...] = ("metric", of.baseline, of.model, "difference", "change")
    if of.model == of.baseline:
        head, cells = head[:2], [row[:2] for row in cells]
    title = f"On test, {of.n_users:,} {of.users}, 95 % intervals"
    return section(
        "comparison",
        "The comparison",
        Table(head, cells, title) if cells else None,
        *_metric_bars(of, rows),
        _coverage(of),
    )


def _metric_bars(of: StudyTables, rows: Sequence[MetricRow]) -> list[Block]:
    four = [f"{name}@{of.k}" for name in FOUR]
    models = {
        model: {metric: band(estimates[metric]) for metric in four if metric in estimates}
        for model, estimates in of.models.items()
    }
    drawn = [
        figures.bars(
            {model: values for model, values in models.items() if values},
            "value, higher is better",
            f"Four metrics at {of.k}",
            f"{', '.join(four)} of {', '.join(models)}.",
        )
    ]
    compared = [] if of.model == of.baseline else [row for row in rows if row.metric in four]
    changes = _changes(compared)
    if changes:
        said = ", ".join(f"{name} {mean:+.0%}" for name, (mean, *_) in changes.items())
        title = f"Improvement of {of.model} over {of.baseline}"
        drawn.append(figures.improvements(_drawable(changes), title, said))
    left_out = [name for name in changes if name not in _drawable(changes)]
    note = [Text(f"Beyond the scale: {n} {changes[n][0]:+.0%}.", "note") for n in left_out]
    return [Panels(drawn), *note]


def _changes(rows: Sequence[MetricRow]) -> dict[str, Band]:
    """Improvements with their intervals, as shares of the baseline."""

    def part(value: float | None, of: float) -> float | None:
        return None if value is None else value / of

    return {
        row.metric: (
            row.improvement,
            part(row.difference.low, row.a.mean),
            part(row.difference.high, row.a.mean),
        )
        for row in rows
        if row.improvement is not None and row.a.mean
    }


def _drawable(changes: Mapping[str, Band]) -> dict[str, Band]:
    """Without one that would make the others unreadable."""
    sizes = sorted(abs(mean) for mean, *_ in changes.values())
    if len(sizes) < 2 or sizes[-1] <= _BESIDE * sizes[-2]:
        return dict(changes)
    return {name: each for name, each in changes.items() if abs(each[0]) < sizes[-1]}


def _coverage(of: StudyTables) -> Text | None:
    """How many items the lists of each model show, as a share and as a number."""
    metric, n_items = f"coverage@{of.k}", 0 if of.catalogue is None else of.catalogue.n_items
    known = {model: each[metric].mean for model, each in of.models.items() if metric in each}
    if not known or not n_items:
        return None
    each = [f"{model} {round(c * n_items):,} ({c:.1%})" for model, c in known.items()]
    return Text(
        f"Coverage: of {n_items:,} {of.items}, so many are in at least one list of {of.k}: "
        f"{', '.join(each)}."
    )


def _cutoffs(of: StudyTables) -> Section | None:
    drawn, rows = [], []
    for metric in AT_K:
        models = {model: _by_k(estimates, metric) for model, estimates in of.models.items()}
        models = {model: points for model, points in models.items() if points}
        if models:
            drawn.append(figures.by_cutoff(models, metric, f"{metric} of {', '.join(models)}."))
        rows += [
            (f"{metric}, {model}", *(f"{mean:.4f}" for mean, *_ in points.values()))
            for model, points in models.items()
        ]
    if not rows:
        return None
    ks = list(_by_k(next(iter(of.models.values())), AT_K[0]))
    table = Table(("metric, model", *map(str, ks)), rows, "Means on test by length of the list")
    return section("cutoffs", "By length of the list", Panels(drawn), table)


def _by_k(estimates: Mapping[str, Estimate], metric: str) -> dict[int, Band]:
    found = {parsed(n)[1]: band(e) for n, e in estimates.items() if n.startswith(f"{metric}@")}
    return dict(sorted(found.items()))


def band(estimate: Estimate) -> Band:
    """Mean, low and high."""
    return estimate.mean, estimate.low, estimate.high


def _again(of: StudyTables) -> Section | None:
    return section("again", "How to run it again", *again_blocks(of.again))


def again_blocks(again: Again) -> list[Block | None]:
    """Commands, settings, fingerprints, and the cost in seconds and memory."""
    blocks: list[Block | None] = []
    for what, command in again.commands.items():
        blocks += [Text(f"{what}:"), Text(command, "code")]
    if again.settings:
        blocks += [Text("The settings:"), Text(again.settings, "code")]
    blocks.append(Table(("fact", "value"), list(again.facts.items()), "Made from", texts=(0, 1)))
    if "total" in again.seconds:
        cost = seconds_text(again.seconds["total"])
        memory = "" if again.memory is None else f"; {size_text(again.memory)} of memory at most"
        blocks.append(Text(f"It took {cost}{memory}."))
    seconds = [(part, f"{value:.1f}") for part, value in again.seconds.items()]
    blocks.append(Table(("part", "seconds"), seconds, "Where the time went") if seconds else None)
    return blocks
