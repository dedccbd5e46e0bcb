from dataclasses import replace

import pytest

from recsys.evaluation.bootstrap import Estimate
from recsys.report import comparison_page, comparison_report
from recsys.report.comparison import ComparisonTables, ModelRow, SplitRow
from recsys.report.page import Figure, Table, Text
from recsys.report.tables import Again


def estimate(mean: float) -> Estimate:
    return Estimate(mean, mean - 0.01, mean + 0.01)


def model(name: str, value: float, p: float | None, fit: float | None = 2.0) -> ModelRow:
    return ModelRow(
        name,
        {"ndcg@10": estimate(value), "coverage@10": Estimate(0.3), "novelty@10": estimate(4.0)},
        {"ndcg@10": 0.001},
        [
            SplitRow(seed, {"factors": 64, "nu": None}, 12, value, value, fit, fit)
            for seed in (7, 8)
        ],
        p,
        None if p is None else estimate(round(value - 0.304, 4)),
        {"activity": {"cold": (40, estimate(value / 2)), "heavy": (60, estimate(value))}},
    )


COMPARED = ComparisonTables(
    name="mine",
    metric="ndcg@10",
    models=[model("als", 0.3, None), model("ease", 0.29, 0.4), model("popularity", 0.1, 0.001)],
    users="listeners",
    items="artists",
    again=Again({"Anew": "recsys compare --config mine.toml"}, {}, "", {"total": 200.0}, 2 * 10**9),
    n_users=1_000,
    failed={"slim": "there is <no> memory"},
)


def texts(of: ComparisonTables, id_: str) -> list[str]:
    (found,) = [each for each in comparison_page(of).sections if each.id == id_]
    rows = [block.rows for block in found.blocks if isinstance(block, Table)]
    words = [block.text for block in found.blocks if isinstance(block, Text)]
    return words + [" | ".join(row) for table in rows for row in table]


def shown(of: ComparisonTables) -> list[str]:
    return [each.id for each in comparison_page(of).sections]


def test_the_sections_come_in_the_order_of_the_questions() -> None:
    assert shown(COMPARED) == ["answer", "models", "tradeoff", "groups", "splits", "cost", "again"]


def test_the_answer_names_the_best_its_rivals_and_the_cost() -> None:
    found = texts(COMPARED, "answer")

    lead = "als is best with 0.3000 [0.2900, 0.3100] ndcg@10; ease may be as good; 1,000 listeners."
    assert found[1] == lead
    assert found[2] == "slim could not be used: there is <no> memory"
    assert found[3:] == [
        "Which model won? | als",
        "By how much? | +0.0140 [+0.0040, +0.0240] ndcg@10 more than ease, the next",
        "Is it sure? | not before ease (p below 0.05, Holm-corrected)",
        "What did it cost? | 3.3 minutes, 2.0 GB of memory",
        "For whom is it worse? | activity cold (0.150, 40 listeners)",
        "How do I run it again? | recsys compare --config mine.toml",
    ]


def test_models_stand_from_the_best_down_and_ties_stand_out() -> None:
    (found,) = [each for each in comparison_page(COMPARED).sections if each.id == "models"]
    (ladder,) = [block for block in found.blocks if isinstance(block, Figure)]

    assert ladder.traces[0]["y"] == ["popularity", "ease", "als"]
    assert ladder.traces[0]["marker"]["symbol"] == ["circle", "star", "star"]


@pytest.mark.parametrize(
    ("changed", "gone"),
    [
        ({"models": [model("als", 0.3, None, fit=None)]}, "cost"),
        ({"models": [replace(each, groups={}) for each in COMPARED.models]}, "groups"),
        ({"models": [replace(each, splits=[]) for each in COMPARED.models]}, "splits"),
    ],
)
def test_a_section_without_data_is_left_out(changed: dict[str, object], gone: str) -> None:
    assert gone not in shown(replace(COMPARED, **changed))  # type: ignore[arg-type]


def test_the_members_of_an_ensemble_are_named_with_their_parameters() -> None:
    members = [{"kind": "als", "factors": 64, "nu": None}, {"kind": "ease", "keep": 0.12345}]
    params = {"members": members, "weights": [], "depth": 200}
    split = SplitRow(7, params, 1, 0.3, 0.3)
    merged = replace(COMPARED.models[0], splits=[split])

    (row,) = texts(replace(COMPARED, models=[merged]), "splits")

    assert row.endswith("| members als (factors 64) and ease (keep 0.1235), depth 200")


def test_items_are_grouped_by_popularity() -> None:
    groups = {"items": {"head": (70, estimate(0.5)), "tail": (30, estimate(0.1))}}
    of = replace(COMPARED, models=[replace(each, groups=groups) for each in COMPARED.models])

    (found,) = [each for each in comparison_page(of).sections if each.id == "groups"]

    (table,) = [block for block in found.blocks if isinstance(block, Table)]
    assert table.head == ("popularity", "held out", "als", "ease", "popularity")


def test_the_page_is_one_file_and_what_failed_is_text() -> None:
    html = comparison_report(COMPARED)

    assert "there is &lt;no&gt; memory" in html
    assert html.count("Plotly, Inc.") == 1
