import re
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.config import ExperimentConfig, load_config
from recsys.data.filtering import Step
from recsys.evaluation.bootstrap import Estimate, MetricRow
from recsys.evaluation.groups import GroupRow, ItemGroupRow
from recsys.report import study_page, study_report
from recsys.report.page import Figure, Panels, Table, Text
from recsys.report.tables import (
    Again,
    Catalogue,
    DataTables,
    Histogram,
    ListedUser,
    MappedItem,
    People,
    RankedItem,
    Ranks,
    SearchTables,
    SplitSide,
    StudyTables,
    TrialRow,
)
from recsys.report.toml import as_toml

BAND = '<b>The "Bad" & Co</b></script>'
CONFIGS = Path(__file__).parents[3] / "flows" / "configs"


def estimate(mean: float) -> Estimate:
    return Estimate(mean, mean - 0.01, mean + 0.01)


def row(metric: str, a: float, b: float) -> MetricRow:
    return MetricRow(metric, estimate(a), estimate(b), estimate(b - a), (b - a) / a)


ROWS = [
    row(f"{name}@{k}", 0.1, 0.1 + 0.01 * k)
    for name in ("precision", "recall", "ndcg")
    for k in (1, 10)
]
PLAIN = StudyTables(
    name="mine",
    metric="ndcg@10",
    model="als",
    baseline="popularity-users",
    rows=ROWS,
    models={
        "popularity-users": {each.metric: each.a for each in ROWS},
        "als": {each.metric: each.b for each in ROWS},
    },
    n_users=500,
    users="listeners",
    items="artists",
    again=Again(
        {"Anew": "recsys experiment --config mine.toml"},
        {"seed": "7"},
        "seed = 7",
        {"fit": 8.0, "total": 12.0},
        300_000_000,
    ),
)


def trials(n: int) -> list[TrialRow]:
    rng = np.random.default_rng(0)
    measured = [
        TrialRow(
            i,
            {"factors": int(8 * 2 ** rng.integers(5)), "alpha": float(rng.uniform(1, 50))},
            float(rng.uniform(0.1, 0.2)),
            None,
            "measured",
            beyond={"coverage@10": 0.1 * i, "novelty@10": 2.0},
            winner=i == 0,
            tied=i < 2,
        )
        for i in range(n)
    ]
    return [*measured, TrialRow(n, {"factors": 8, "alpha": 1.0}, None, 0.05, "pruned")]


FULL = replace(
    PLAIN,
    data=DataTables(
        "plays.tsv",
        1_000,
        {"no plays": 3},
        [Step("as read", 600, 90, 990, 980), Step("users >= 5 items", 500, 80, 900, 890)],
        [Histogram("Plays per pair", "plays", "pairs", [0.5, 1.5, 9.5], [5, 3], 1.0, 2.0, 9.0)],
        {"country": {"Elbonia": 400, "unknown": 100}},
    ),
    method="20% of the items of each user",
    sides=[SplitSide("test", 700, 190, 500, 2)],
    search=SearchTables(
        trials(4),
        ["factors"],
        {"alpha": (0.7, 0.1), "factors": (0.3, 0.1)},
        [(1, 0.1), (2, 0.2), (3, 0.15)],
        [(1, 9.0), (2, 5.0), (3, 4.0)],
    ),
    groups={
        "activity": {
            "als": [GroupRow("cold", 200, estimate(0.1)), GroupRow("heavy", 300, estimate(0.3))]
        }
    },
    item_groups={"als": [ItemGroupRow("head", 90, 30, estimate(0.33))]},
    catalogue=Catalogue(
        80,
        {"als": [0.5, *[0.05] * 8, 0.1], "plays": [0.1] * 10},
        {BAND: [RankedItem("Muse", 0.9)]},
        [MappedItem(BAND, 0.0, 0.0, 9), MappedItem("b", 1.0, 0.0, 5), MappedItem("c", 0.0, 1.0, 1)],
        0.4,
    ),
    people=People(
        1,
        1,
        ("als",),
        [BAND, "Muse"],
        [ListedUser("u1", 30, 6, Ranks([0], [12.0], []), (Ranks([1], [0.5], [0]),))],
    ),
)
SECTIONS = (
    *("answer", "data", "split", "comparison", "cutoffs", "convergence", "sensitivity"),
    *("importance", "trials", "tradeoff", "exposure", "groups", "users", "similar", "map", "again"),
)


def shown(of: StudyTables) -> list[str]:
    return [each.id for each in study_page(of).sections]


def figures(of: StudyTables, id_: str) -> list[Figure]:
    (found,) = [each for each in study_page(of).sections if each.id == id_]
    alone = [block for block in found.blocks if isinstance(block, Figure)]
    panels = [block.figures for block in found.blocks if isinstance(block, Panels)]
    return [*alone, *(figure for each in panels for figure in each)]


def texts(of: StudyTables, id_: str) -> list[str]:
    (found,) = [each for each in study_page(of).sections if each.id == id_]
    rows = [block.rows for block in found.blocks if isinstance(block, Table)]
    words = [block.text for block in found.blocks if isinstance(block, Text)]
    return words + [" | ".join(row) for table in rows for row in table]


def test_everything_that_is_known_has_its_section_in_the_order_of_the_questions() -> None:
    assert tuple(shown(FULL)) == SECTIONS


def test_failed_trials_are_listed_with_their_errors() -> None:
    assert FULL.search is not None
    failed = {7: "ValueError: no\n  room", 5: "MemoryError: ", 6: "ValueError: no room"}
    of = replace(FULL, search=replace(FULL.search, failed=failed))

    said = texts(of, "trials")

    assert "3 failed" in said[0]
    assert said[-2:] == ["5 | MemoryError:", "6, 7 | ValueError: no room"]


def test_trials_that_all_failed_have_a_section_too() -> None:
    of = replace(FULL, search=SearchTables([], failed={0: "ValueError: no"}))

    assert "0 | ValueError: no" in texts(of, "trials")


def test_a_map_says_where_it_is_not_of_the_factors_of_the_model() -> None:
    assert FULL.catalogue is not None
    of = replace(FULL, catalogue=replace(FULL.catalogue, has_factors=False))

    (note,) = texts(of, "map")

    assert "truncated SVD of the training matrix" in note
    assert "No factors of artists are known of als" in note
    assert "their factors" in texts(FULL, "map")[0]


def test_what_is_not_known_has_no_section() -> None:
    assert shown(PLAIN) == ["answer", "comparison", "cutoffs", "again"]


@pytest.mark.parametrize(
    ("gone", "section"),
    [
        ({"groups": {}, "item_groups": {}}, "groups"),
        ({"people": People(0, 0, (), [], [])}, "users"),
        ({"catalogue": Catalogue(80)}, "exposure"),
        ({"catalogue": Catalogue(80)}, "map"),
        ({"catalogue": Catalogue(80)}, "similar"),
        ({"search": SearchTables(trials(1))}, "sensitivity"),
        ({"search": SearchTables(trials(4))}, "convergence"),
        ({"search": SearchTables(trials(4))}, "importance"),
        ({"search": SearchTables([])}, "trials"),
    ],
)
def test_a_section_without_data_is_left_out(gone: dict[str, object], section: str) -> None:
    assert section not in shown(replace(FULL, **gone))  # type: ignore[arg-type]


def test_a_reader_of_the_first_section_knows_what_matters() -> None:
    answers = texts(FULL, "answer")

    assert "als finds 0.200 ndcg@10, 2.0 times popularity; 500 listeners" in answers[1]
    assert "95 % interval 0.190 to 0.210." in answers[1]
    assert answers[2:] == [
        "Which model won? | als",
        "By how much? | +0.1000 [+0.0900, +0.1100] ndcg@10, +100.0%",
        "Is it sure? | yes: the 95 % interval of the difference excludes 0",
        "What did it cost? | 12.0 seconds, 300 MB of memory",
        "For whom is it worse? | activity cold (0.100, 200 listeners)",
        "How do I run it again? | recsys experiment --config mine.toml",
    ]


def test_a_difference_that_may_be_chance_is_called_so() -> None:
    unsure = MetricRow("ndcg@10", estimate(0.2), estimate(0.2), estimate(0.0), 0.0)

    answers = texts(replace(PLAIN, rows=[unsure]), "answer")

    assert "which may be chance" in answers[1]
    assert "no: the 95 % interval of the difference includes 0" in answers[4]


def test_a_baseline_alone_is_compared_with_nothing() -> None:
    same = [MetricRow(r.metric, r.a, r.a, estimate(0.0), 0.0) for r in ROWS]
    alone = replace(PLAIN, model="popularity-users", rows=same)

    answers = texts(alone, "answer")
    assert answers[1] == (
        "popularity-users finds 0.100 ndcg@10; 500 listeners, 95 % interval 0.090 to 0.110."
    )
    assert "Is it sure?" not in " ".join(answers)
    assert "ndcg@10 | 0.1000 [0.0900, 0.1100]" in texts(alone, "comparison")
    assert len(figures(alone, "comparison")) == 1


def test_hostile_names_are_text_everywhere() -> None:
    html = study_report(FULL)

    assert BAND not in html
    assert "<b>The" not in html
    assert html.count("</script>") == html.count("<script")


def test_the_best_iteration_is_marked_in_both_curves() -> None:
    metric, loss = figures(FULL, "convergence")

    assert metric.layout["shapes"][0]["x0"] == loss.layout["shapes"][0]["x0"] == 2


@pytest.mark.parametrize("params", [{"iterations": 3}, {}])
def test_the_judged_iteration_is_named_where_it_is_not_the_best_of_the_curve(
    params: dict[str, int],
) -> None:
    assert FULL.search is not None
    one = TrialRow(0, params, 0.2, None, "measured", winner=True)

    (note,) = texts(replace(FULL, search=replace(FULL.search, trials=[one])), "convergence")

    assert note.endswith(
        "at iteration 2 for the users of the curve, and the model of iteration 3 was judged."
    )


def test_where_the_best_iteration_of_the_curve_was_judged_no_other_is_named() -> None:
    assert FULL.search is not None
    one = TrialRow(0, {"iterations": 2}, 0.2, None, "measured", winner=True)

    (note,) = texts(replace(FULL, search=replace(FULL.search, trials=[one])), "convergence")

    assert note.endswith("was best at iteration 2.")


@pytest.mark.parametrize(("n", "kind"), [(19, "scatter"), (20, "contour")])
def test_a_landscape_needs_twenty_trials(n: int, kind: str) -> None:
    search = SearchTables(trials(n), ["factors"], {"alpha": (0.7, 0.1), "factors": (0.3, 0.1)})

    landscape = figures(replace(FULL, search=search), "importance")[1]

    assert landscape.traces[0]["type"] == kind


def test_a_landscape_is_of_parameters_that_every_trial_has() -> None:
    shares = {"power": (0.6, 0.1), "alpha": (0.3, 0.1), "factors": (0.1, 0.1)}
    one, *others = trials(20)
    search = SearchTables([replace(one, params={**one.params, "power": 0.5}), *others], [], shares)

    landscape = figures(replace(FULL, search=search), "importance")[1]

    assert landscape.title == "factors against alpha"


def test_the_best_so_far_is_drawn_up_to_the_last_trial_also_if_that_was_pruned() -> None:
    (history,) = figures(FULL, "trials")

    best = history.traces[0]
    assert FULL.search is not None
    assert best["x"][-1] == FULL.search.trials[-1].number
    assert best["y"][-1] == best["y"][-2] == max(best["y"])


def test_pruned_and_tied_trials_are_told_apart() -> None:
    (history,) = figures(FULL, "trials")

    names = [trace["name"] for trace in history.traces]
    assert names == ["best so far", "measured", "tied with the best", "winner", "pruned"]
    assert "4 measured, 1 pruned; 1 other tied with the best." in texts(FULL, "trials")


def test_the_winner_is_in_the_table_where_others_are_ahead_on_the_first_cut() -> None:
    rows = [replace(trial, winner=False, tied=False) for trial in trials(30)]
    worst = min(rows[:30], key=lambda trial: trial.value or 0)
    rows[worst.number] = replace(worst, winner=True)
    means = {worst.number: Estimate(0.19, 0.18, 0.2), 1: Estimate(0.17, 0.16, 0.18)}

    found = texts(replace(FULL, search=SearchTables(rows, finalists=means, cuts=3)), "trials")

    assert [text for text in found if text.startswith(f"{worst.number} (winner)")] == [found[-1]]
    n = worst.number
    line = f"trial {n} 0.1900 [0.1800, 0.2000], trial 1 0.1700 [0.1600, 0.1800]"
    assert f"Finalists, mean of 3 validation cuts: {line}." in found


def test_a_change_beyond_the_scale_is_said_and_not_drawn() -> None:
    rows = [*ROWS, MetricRow("coverage@10", Estimate(0.01), Estimate(0.5), Estimate(0.49), 49.0)]

    changed = replace(FULL, rows=rows)

    assert "Beyond the scale: coverage@10 +4900%." in texts(changed, "comparison")
    assert "coverage@10 +4900%" not in figures(changed, "comparison")[1].traces[0]["y"]


def test_users_that_were_left_out_are_said() -> None:
    assert FULL.people is not None

    many = replace(FULL, people=replace(FULL.people, judged=9_000))

    assert any(
        "looks up 1 of 9,000 judged listeners, drawn" in line for line in texts(many, "users")
    )


def test_every_figure_says_what_it_shows() -> None:
    every = [figure for each in shown(FULL) for figure in figures(FULL, each)]

    assert len(every) > 15
    assert all(figure.title and figure.words and figure.traces for figure in every)
    assert all(re.search(r"\w", figure.words) for figure in every)


@pytest.mark.parametrize("name", ["default", "paper"])
def test_the_settings_of_a_report_are_those_of_the_study(name: str) -> None:
    config = load_config(CONFIGS / f"{name}.toml")

    text = as_toml(config.model_dump(mode="json", exclude_none=True))

    assert ExperimentConfig.model_validate(tomllib.loads(text)) == config
