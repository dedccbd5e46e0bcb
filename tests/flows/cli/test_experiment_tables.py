"""The end of an experiment as a terminal shows it, from a result that no flow has made."""

import io
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from flows.cli import experiment_tables
from flows.cli.experiment_tables import SCREEN, answer, place_words, show, warnings, widening
from flows.cli.format import FittedTable, TableColumn, value_text
from flows.notes import best_trials, study_note
from flows.result import Result
from recsys.evaluation.bootstrap import Estimate
from recsys.sources.layout import nouns_of
from tasks.study.cross_check import Checked
from tests.flows.cli.results import FINAL, ROWS, STUDY, USER, facts, result

AT_80 = f"""\
als finds 0.242 ndcg@10, 2.5 times popularity; 4,938 listeners, 95 % interval
0.237 to 0.247
4,961 listeners, 2,999 artists, 250,302 pairs of 250,370 rows
metric                     popularity-users               als [95 %]    change
ndcg@10                              0.0954  0.2423 [0.2375, 0.2471]   +154.0%
precision@10                         0.0808  0.1859 [0.1822, 0.1896]   +130.1%
recall@10                            0.0846  0.1919 [0.1881, 0.1957]   +126.8%
coverage@10                          0.0090                   0.1480  +1544.4%
gini@10 (lower is better)            0.9907                   0.9008     -9.1%
The best 3 of 5 measured trials on validation
trial             ndcg@10 [95 %]  factors  regularization  alpha      nu
0 <    0.1717 [0.1672, 0.1761] =      512              40     10  0.4484
1      0.1701 [0.1656, 0.1745] =      128              50     10       0
2        0.1367 [0.1322, 0.1411]       32              50      1  0.9759
< winner, = as good as the best (2 trials); 7 pruned, 5 on a plateau

study {STUDY}, run {FINAL}; next:
  recsys report {STUDY}
  recsys recommend --run {STUDY} --user {USER}
  recsys similar '雨の灯台' --run {STUDY}
  recsys register --run {STUDY}
--all prints every metric, filter and setting; `recsys ui` opens MLflow
"""


def drawn(part: RenderableType, width: int = 160) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False).print(part)
    return stream.getvalue()


def shown(
    width: int, *, every: bool = False, command: Sequence[str] = ("experiment",), **of: object
) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, highlight=False, markup=False)
    show(console, result(**of), command, [], every)
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def n_lines(text: str, width: int) -> int:
    """Lines on a terminal, which breaks the long ones."""
    return sum(max(1, -(-len(line) // width)) for line in text.splitlines())


def test_the_end_of_an_experiment_fits_a_screen_of_80_columns() -> None:
    text = shown(80)

    assert text == AT_80
    assert n_lines(text, 80) == SCREEN


def test_a_screen_of_120_columns_has_more_columns_and_trials() -> None:
    text = shown(120)

    assert "difference" in text
    assert "iterations" in text
    assert "The best 5 of 5 measured trials" in text
    assert n_lines(text, 120) <= SCREEN


@pytest.mark.parametrize("width", [80, 120])
def test_no_table_cuts_a_name_or_a_value(width: int) -> None:
    texts = [shown(width, every=every) for every in (False, True)]

    for text in texts:
        assert "…" not in text
        assert "popularity-users" in text
        assert "0.2423 [0.2375, 0.2471]" in text
    assert f"One listener: {USER}" in texts[1]
    assert "the same in all of them: weighting share, power 0.9" in texts[1]
    assert "popularity@10 (lower is better)" in texts[1]


def test_columns_go_by_their_rank_and_are_named() -> None:
    columns = [
        TableColumn(name, [name * 4], rank) for name, rank in (("aa", 0), ("bb", 2), ("cc", 1))
    ]

    text = drawn(FittedTable(columns), 33)

    assert "aaaaaaaa" in text
    assert "cccccccc" in text
    assert text.endswith("left out at this width: bb\n")


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ("coverage@10", "als finds 0.148 coverage@10, 16.4 times popularity; 4,938 users"),
        (
            "ndcg@5",
            "als finds 0.260 ndcg@5, 2.8 times popularity; 4,938 users, "
            "95 % interval 0.255 to 0.265",
        ),
    ],
)
def test_the_answer_is_a_sentence(metric: str, sentence: str) -> None:
    plain = {**facts(), "ingest": {**facts()["ingest"], "format": "columns"}}
    made = result(facts=plain)
    config = made.config.model_copy(
        update={"study": made.config.study.model_copy(update={"metric": metric})}
    )

    assert answer(replace(made, config=config)) == sentence


def test_an_answer_that_may_be_chance_says_so() -> None:
    made = result()
    rows = [replace(row, difference=Estimate(0.1, -0.1, 0.3)) for row in ROWS]
    unsure = replace(made, comparison=replace(made.comparison, rows=tuple(rows)))

    assert "2.5 times popularity, which may be chance; 4,938 listeners" in answer(unsure)
    assert "(may be 0)" in drawn(experiment_tables.comparison_table(unsure))


def test_a_winner_on_its_bound_comes_with_the_whole_command() -> None:
    wider = "{low = 8, high = 2048, log = true}"
    command = ["experiment", "--study", "mine", "--trials", "12"]

    text = shown(
        100, command=command, at_bound={"factors": "highest of 8..512"}, wider={"factors": wider}
    )

    assert "best factors = 512 is the highest of 8..512; to widen it:\n" in text
    assert f"  recsys experiment --trials 12 --set 'search.factors={wider}'\n" in text
    assert widening([], "factors", "1,2") == "recsys experiment --set search.factors=1,2"


def test_rejected_rows_and_failed_trials_are_on_the_screen() -> None:
    ingest = {**facts()["ingest"], "rejected": 3, "reasons": {"no user": 1, "no plays": 2}}
    of = {"facts": {**facts(), "ingest": ingest}, "rejects": "/w/rejects.tsv"}

    assert "3 rows rejected: /w/rejects.tsv" in shown(120, **of)
    assert "rejected 3: 1 no user, 2 no plays; see /w/rejects.tsv" in shown(120, every=True, **of)
    assert "trial 7 failed: MemoryError: 8 TiB" in shown(80, failed={7: "MemoryError: 8 TiB"})


def test_another_workspace_is_part_of_every_command(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    usual, other = (tmp_path_factory.mktemp(name) for name in ("usual", "other"))

    assert place_words(usual, usual) == []
    commands = experiment_tables.next_commands(result(), place_words(other, usual))
    assert all(line.endswith(f"--workspace {other}") for line in commands[1:])


@pytest.mark.parametrize("user", ["a[/b]c", "[deleted]"])
def test_a_user_whose_name_looks_like_markup_is_shown_as_it_is(user: str) -> None:
    made = result()
    named = {kind: {**of, "user": user} for kind, of in made.shown.items()}

    text = drawn(experiment_tables.sample_user_table(replace(made, shown=named)))

    assert f"One listener: {user}" in text


def test_parameters_are_shown_short() -> None:
    texts = [value_text(value) for value in (None, 64, 0.123456789, 1e-9, "share", True)]

    assert texts == ["", "64", "0.1235", "1e-09", "share", "True"]


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.12345, 0.1, 0.2), "0.1235 [0.1000, 0.2000]"),
        (Estimate(0.5), "0.5000"),
        (Estimate(123.456, 120.0, 130.06), "123.5 [120.0, 130.1]"),
        (Estimate(-0.25, -0.5, 0.0), "-0.2500 [-0.5000, 0.0000]"),
    ],
)
def test_an_estimate_is_shown_with_its_interval_if_it_has_one(
    estimate: Estimate, text: str
) -> None:
    assert estimate.text == text


def test_a_source_has_its_nouns() -> None:
    assert nouns_of("hetrec").users == "listeners"
    assert nouns_of("movielens").items == "movies"
    assert nouns_of("columns").item == "item"


def of_finalists(**changed: object) -> Result:
    """Two finalists on three validation cuts: trial 1 wins, trial 0 was best on the first."""
    made = result()
    first, second, *_ = made.chosen.ranked
    finalists = (
        replace(second, estimate=Estimate(0.168, 0.163, 0.173)),
        replace(first, estimate=Estimate(0.165, 0.160, 0.170)),
    )
    chosen = replace(
        made.chosen, winner=second.done, best_before=0, finalists=finalists, cuts=3, **changed
    )
    return replace(made, best=second.done, chosen=chosen)


def test_the_finalists_are_shown_with_their_means_over_all_validation_cuts() -> None:
    text = " ".join(drawn(experiment_tables.leaderboard(of_finalists()), 1000).split())

    assert "│ 1 < │ 0.1701 [0.1656, 0.1745] = │" in text
    assert (
        "2 of the best trials were judged on 3 validation cuts: trial 0, best on the first cut, is "
        "not best in the mean; mean of 3 validation cuts: trial 1 0.1680 [0.1630, 0.1730], trial 0 "
        "0.1650 [0.1600, 0.1700]"
    ) in text


def test_the_winner_is_on_the_screen_where_others_are_ahead_on_the_first_cut() -> None:
    made = of_finalists()
    first, second, *others = made.chosen.ranked
    many = [replace(first, done=replace(first.done, slot=10 + n)) for n in range(9)]
    made = replace(made, chosen=replace(made.chosen, ranked=(*many, second, *others)))

    assert [each.done.slot for each in best_trials(made, 3)] == [10, 11, 1]
    assert "1 (winner)" in study_note(made)
    assert "Finalists, mean of 3 validation cuts: trial 1 0.1680" in study_note(made)


def test_a_cheap_model_that_is_ahead_is_named_with_the_command_that_searches_it() -> None:
    better = Checked("ease", {}, Estimate(0.19, 0.18, 0.2), Estimate(0.0183, 0.01, 0.03))
    unsure = Checked("item-knn", {}, Estimate(0.18, 0.17, 0.19), Estimate(0.0083, -0.01, 0.03))
    typed = ["experiment", "--model=als", "--study", "s", "--set", "search.factors=8"]
    text = "\n".join(warnings(result(checked=(better, unsure)), [*typed, "--set", "seed=1"]))

    assert (
        "ease is ahead of als on validation at one of its first points, 0.1900, by +0.0183" in text
    )
    assert "  recsys experiment --set seed=1 --model ease" in text
    assert "item-knn" not in text
