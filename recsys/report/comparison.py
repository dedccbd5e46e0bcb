"""The report of a comparison of models: its sections in the order in which questions come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from recsys.evaluation.bootstrap import Estimate
from recsys.evaluation.objectives import lower_is_better
from recsys.evaluation.significance import SURE
from recsys.plots.models import Band
from recsys.report import figures, model_figures
from recsys.report.page import Block, Page, Panels, Section, Table, Text, render, section
from recsys.report.study import again_blocks, band
from recsys.report.tables import Again
from recsys.report.words import comparison_answer, params_text, score_text, seconds_text, size_text
from recsys.search.space import Value

BEYOND = ("coverage", "novelty", "diversity", "popularity_lift")
TABLE = ("precision", "recall", "ndcg", "coverage", "gini", "novelty", "diversity")


@dataclass(frozen=True, slots=True)
class SplitRow:
    """A model on one split.

    Attributes:
        seed: Of the split.
        params: That won its search.
        trials: Measured.
        validation: The objective of the winner on validation.
        test: The objective on test.
        fit_seconds: Of the last training; None where it is not known.
        search_seconds: Of training and judging all trials; None where it is not known.
    """

    seed: int
    params: Mapping[str, Value | None]
    trials: int
    validation: float
    test: float
    fit_seconds: float | None = None
    search_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model of a comparison.

    Attributes:
        name: Of the model.
        estimates: By metric, on test, over users.
        sds: By metric, the standard deviation over the splits, where it is known.
        splits: One per split.
        p: Against the best, corrected for all pairs; None for the best itself.
        difference: From the best; None for the best itself.
        groups: Grouping to group to its size and the estimate within it.
    """

    name: str
    estimates: Mapping[str, Estimate]
    sds: Mapping[str, float]
    splits: Sequence[SplitRow]
    p: float | None = None
    difference: Estimate | None = None
    groups: Mapping[str, Mapping[str, tuple[int, Estimate]]] = field(default_factory=dict)

    @property
    def may_be_best(self) -> bool:
        """Whether it is the best, or cannot be told from it."""
        return self.p is None or self.p > SURE


@dataclass(frozen=True, slots=True)
class TriedRow:
    """A model, or an ensemble of models, that a search over models tried on validation.

    Attributes:
        model: Its name; of an ensemble, the names of its members.
        estimate: The objective of its best trial on validation.
        tied: Whether it cannot be told from the best.
        trials: How many it had; 0 for what is not searched.
        seconds: Of training and judging all of them.
        params: Of its best trial.
    """

    model: str
    estimate: Estimate
    tied: bool
    trials: int
    seconds: float
    params: Mapping[str, Value | None]


@dataclass(frozen=True, slots=True)
class ComparisonTables:
    """All that the report of a comparison shows.

    Attributes:
        name: Of the comparison.
        metric: The objective.
        models: The best first.
        users: What users are called, in the plural.
        items: What items are called, in the plural.
        again: How to run it again.
        n_users: Judged; None where it is not known.
        tuned_once: Whether the points of the first split were used on all.
        failed: Model to why it could not take part.
        tried: Of a search over models: all that were tried on validation, the best first.
    """

    name: str
    metric: str
    models: Sequence[ModelRow]
    users: str
    items: str
    again: Again
    n_users: int | None = None
    tuned_once: bool = False
    failed: Mapping[str, str] = field(default_factory=dict)
    tried: Sequence[TriedRow] = ()

    @property
    def k(self) -> str:
        """The cut-off of the objective."""
        return self.metric.partition("@")[2]

    @property
    def n_splits(self) -> int:
        """How many splits there are."""
        return max((len(model.splits) for model in self.models), default=0)


def comparison_report(of: ComparisonTables) -> str:
    """The HTML of the report of a comparison."""
    return render(comparison_page(of))


def comparison_page(of: ComparisonTables) -> Page:
    """The report of a comparison; what is not known has no section."""
    every = (
        _answer(of),
        _tried(of),
        _models(of),
        _tradeoffs(of),
        _groups(of),
        _splits(of),
        _cost(of),
        section("again", "How to run it again", *again_blocks(of.again)),
    )
    tuned = "tuned on the first split only" if of.tuned_once else "tuned on each"
    splits = f"{of.n_splits} split{'s' * (of.n_splits > 1)}"
    about = f"Comparison {of.name}: {len(of.models)} models by {of.metric}, {splits}, {tuned}"
    return Page(f"{len(of.models)} models compared", about, [each for each in every if each])


def _answer(of: ComparisonTables) -> Section | None:
    best = of.models[0]
    rivals = [model.name for model in of.models[1:] if model.may_be_best]
    lead = comparison_answer(best.name, best.estimates[of.metric].text, of.metric, rivals)
    users = "" if of.n_users is None else f"; {of.n_users:,} {of.users}"
    without = "was not tried" if of.tried else "could not be used"
    question = f"Which model finds most of the {of.items} that were held out?"
    rows = [("Which model won?", best.name)]
    if len(of.models) > 1:
        second = of.models[1]
        if second.difference is not None:
            ahead = _negative(second.difference).signed_text
            by = f"{ahead} {of.metric} more than {second.name}, the next"
            rows.append(("By how much?", by))
        sure = f"not before {', '.join(rivals)}" if rivals else "yes, before all others"
        rows.append(("Is it sure?", f"{sure} (p below {SURE}, Holm-corrected)"))
    if "total" in of.again.seconds:
        memory = "" if of.again.memory is None else f", {size_text(of.again.memory)} of memory"
        cost = seconds_text(of.again.seconds["total"]) + memory
        rows.append(("What did it cost?", cost))
    if worst := _worst(best, of.users):
        rows.append(("For whom is it worse?", worst))
    rows += [("How do I run it again?", each) for each in list(of.again.commands.values())[:1]]
    return section(
        "answer",
        "The answer",
        Text(question, "note"),
        Text(f"{lead}{users}.", "lead"),
        Table(("question", "answer"), rows, "In short", texts=(0, 1)),
        *(Text(f"{name} {without}: {why}", "note") for name, why in of.failed.items()),
    )


def _negative(of: Estimate) -> Estimate:
    low, high = of.low, of.high
    return Estimate(-of.mean, None if high is None else -high, None if low is None else -low)


def _worst(best: ModelRow, users: str) -> str:
    found = []
    for grouping, groups in best.groups.items():
        known = {name: each for name, each in groups.items() if name not in ("unknown", "other")}
        if grouping != "items" and len(known) > 1:
            group, (n, low) = min(known.items(), key=lambda each: each[1][1].mean)
            found.append(f"{grouping} {group} ({low.mean:.3f}, {n:,} {users})")
    return "; ".join(found)


def _tried(of: ComparisonTables) -> Section | None:
    if not of.tried:
        return None
    rows = [
        (
            row.model,
            f"{row.estimate.text}{' =' * row.tied}",
            str(row.trials) if row.trials else "",
            f"{row.seconds:.1f}",
            params_text(row.params),
        )
        for row in of.tried
    ]
    head = ("model", f"{of.metric} [95 %]", "trials", "seconds", "parameters")
    return section(
        "tried",
        "The models that were tried",
        model_figures.ladder(
            {row.model: band(row.estimate) for row in of.tried},
            [row.tied for row in of.tried],
            of.metric,
            "validation",
        ),
        Table(head, rows, "On validation, the best trial of each", texts=(0, 4)),
        Text("= may be as good as the best. Only the winner was then judged on test.", "note"),
    )


def _models(of: ComparisonTables) -> Section | None:
    shown = [f"{name}@{of.k}" for name in TABLE]
    names = [n for n in dict.fromkeys([of.metric, *shown]) if n in of.models[0].estimates]
    rows = []
    for model in of.models:
        sd = model.sds.get(of.metric)
        p = "best" if model.p is None else f"{model.p:.4f}{' =' * (model.p > SURE)}"
        rows.append(
            (
                model.name,
                model.estimates[of.metric].text,
                "" if sd is None else f"{sd:.4f}",
                p,
                "" if model.difference is None else model.difference.signed_text,
                *(score_text(model.estimates[name].mean) for name in names[1:]),
            )
        )
    others = [
        f"{name.partition('@')[0]}{' (lower is better)' * lower_is_better(name)}"
        for name in names[1:]
    ]
    head = ("model", f"{of.metric} [95 %]", "sd over splits", "p", "from the best", *others)
    note = "p: paired bootstrap over users, Holm-corrected; = may be as good as the best."
    return section(
        "models",
        "The models",
        model_figures.ladder(
            {model.name: band(model.estimates[of.metric]) for model in of.models},
            [model.may_be_best for model in of.models],
            of.metric,
        ),
        Table(head, rows, f"On test, lists of {of.k}"),
        Text(note, "note"),
    )


def _tradeoffs(of: ComparisonTables) -> Section | None:
    drawn = []
    for other in (f"{name}@{of.k}" for name in BEYOND):
        both = {
            model.name: (band(model.estimates[of.metric]), band(model.estimates[other]))
            for model in of.models
            if other in model.estimates
        }
        if len(both) > 1:
            drawn.append(model_figures.tradeoff(both, of.metric, other))
    if not drawn:
        return None
    pairs = [Panels(drawn[n : n + 2]) for n in range(0, len(drawn), 2)]
    return section("tradeoff", "Accuracy against what lies beyond it", *pairs)


def _groups(of: ComparisonTables) -> Section | None:
    drawn, tables = [], []
    for grouping in of.models[0].groups:
        tables_of = {m.name: m.groups[grouping] for m in of.models if grouping in m.groups}
        sizes = {group: n for groups in tables_of.values() for group, (n, _) in groups.items()}
        if len(sizes) < 2:
            continue
        items = grouping == "items"
        what = f"recall@{of.k}" if items else of.metric
        title = f"{what} by {'popularity of the ' + of.items if items else grouping}"
        values: dict[str, dict[str, Band]] = {
            model: {group: band(each) for group, (_, each) in groups.items()}
            for model, groups in tables_of.items()
        }
        drawn.append(figures.bars(values, what, title, f"{', '.join(values)}: see the table."))
        rows = [
            (
                group,
                f"{n:,}",
                *(
                    f"{groups[group][1].mean:.4f}"
                    for groups in tables_of.values()
                    if group in groups
                ),
            )
            for group, n in sizes.items()
        ]
        sized = ("popularity", "held out") if items else (grouping, of.users)
        head = (*sized, *tables_of)
        tables.append(Table(head, rows, title))
    if not drawn:
        return None
    blocks: list[Block] = [*drawn, *tables]
    return section("groups", "Who is served worse", *blocks)


def _mean(found: tuple[int, Estimate] | None) -> str:
    return "" if found is None else f"{found[1].mean:.4f}"


def _splits(of: ComparisonTables) -> Section | None:
    rows = []
    for model in of.models:
        for split in model.splits:
            values = (f"{split.validation:.4f}", f"{split.test:.4f}")
            params = params_text(split.params)
            rows.append((model.name, str(split.seed), str(split.trials), *values, params))
    if not rows:
        return None
    head = ("model", "split", "trials", "validation", "test", "parameters")
    drawn = (
        model_figures.per_split(
            {m.name: {str(s.seed): s.test for s in m.splits} for m in of.models}, of.metric
        )
        if of.n_splits > 1
        else None
    )
    table = Table(head, rows, f"{of.metric} of each model on each split", texts=(0, 5))
    return section("splits", "Split by split", drawn, table)


def _cost(of: ComparisonTables) -> Section | None:
    found = []
    for model in of.models:
        fits = [s.fit_seconds for s in model.splits if s.fit_seconds is not None]
        searches = [s.search_seconds for s in model.splits if s.search_seconds is not None]
        if fits and searches:
            found.append((model.name, sum(fits) / len(fits), sum(searches) / len(searches)))
    if not found:
        return None
    values: dict[str, dict[str, Band]] = {
        "last training": {name: (fit, None, None) for name, fit, _ in found},
        "whole search": {name: (search, None, None) for name, _, search in found},
    }
    said = "; ".join(f"{name} {fit:.1f} and {search:.1f} s" for name, fit, search in found)
    figure = figures.bars(values, "seconds, mean of the splits", "Seconds by model", said)
    rows = [(name, f"{fit:.2f}", f"{search:.1f}") for name, fit, search in found]
    head = ("model", "last training, s", "whole search, s")
    return section("cost", "The cost", figure, Table(head, rows, "Means over the splits"))
