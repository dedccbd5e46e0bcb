"""The pages of `recsys diff` and `recsys inspect` hold what they were given, and escape it."""

import re
from dataclasses import replace

from recsys.evaluation.bootstrap import Estimate, MetricRow
from recsys.report import difference_page, difference_report, log_page, log_report
from recsys.report.difference import DifferenceTables, OtherRun
from recsys.report.log import LogTables
from recsys.report.page import Figure, Page, Panels, Table, Text
from recsys.report.tables import Histogram

HOSTILE = "<script>alert(1)</script>"
ROW = MetricRow(
    "ndcg@10",
    Estimate(0.2, 0.1, 0.3),
    Estimate(0.3, 0.2, 0.4),
    Estimate(0.1, 0.05, 0.15),
    0.5,
)
OTHER = OtherRun(
    "ease",
    "ease against als on test: +0.1 ndcg@10",
    [ROW],
    {"Users who gain most": [(HOSTILE, 0.0, 1.0)], "Users who lose most": []},
    {"Items in more lists": [("Muse", 3.0, 5.0)]},
)
DIFFERENCE = DifferenceTables(
    ["als", "ease"], "ndcg@10", "test", {"alpha": ("1", "")}, [OTHER], "user", "item"
)
LOG = LogTables(
    "plays.tsv",
    "columns",
    ["a note"],
    [("rows read", "5")],
    [Histogram("Plays per pair", "plays", "pairs", [1, 2, 4], [3, 1], 1.0, 1.5, 3.0)],
    [("u1", HOSTILE, "3")],
    [("Muse", "10", "2")],
    {"gender": {"f": 2, "unknown": 1}},
    ("2 users play nothing more than Muse.", ["u1", "u2"]),
    "user",
    "item",
)


def titles(page: Page) -> list[str]:
    return [section.title for section in page.sections]


def tables(page: Page) -> dict[str, Table]:
    found = [block for section in page.sections for block in section.blocks]
    return {block.title: block for block in found if isinstance(block, Table)}


def figures(page: Page) -> list[Figure]:
    found = [block for section in page.sections for block in section.blocks]
    return [each for block in found if isinstance(block, Panels) for each in block.figures]


def test_runs_stand_beside_the_first_with_their_changes() -> None:
    page = difference_page(DIFFERENCE)

    assert titles(page) == ["The answer", "Parameters", "ease against als"]
    assert page.sections[0].blocks == (Text(OTHER.answer, "lead"),)
    assert tables(page)["Parameters that differ"].rows == [("alpha", "1", "")]
    assert "Users who lose most" not in tables(page)  # there is nobody
    (change,) = figures(page)
    assert change.words == "ndcg@10 +50.0%"
    assert change.traces[0]["x"] == [0.5]


def test_tables_of_two_runs_have_names_of_their_own() -> None:
    html = difference_report(replace(DIFFERENCE, others=[OTHER, replace(OTHER, name="slim")]))

    names = re.findall(r'role="region" aria-label="([^"]*)"', html)
    assert "ease against als: On test, 95 % intervals" in names
    assert len(set(names)) == len(names) > 4


def test_a_change_beyond_the_scale_is_in_the_table_alone() -> None:
    huge = replace(OTHER, rows=[replace(ROW, improvement=15.0)])

    page = difference_page(replace(DIFFERENCE, others=[huge]))

    assert figures(page) == []
    assert tables(page)["On test, 95 % intervals"].rows[0][-1] == "+1500.0%"


def test_a_log_has_numbers_pictures_rows_and_profiles() -> None:
    page = log_page(LOG)

    assert titles(page) == [
        *("Numbers", "Distributions", "Items", "Rows", "Profiles", "A favourite"),
    ]
    assert tables(page)["Played most"].rows == [("Muse", "10", "2")]
    assert [each.title for each in figures(page)][-1] == "Users by gender"


def test_a_log_without_profiles_has_no_section_of_them() -> None:
    page = log_page(replace(LOG, profiles={}, favourite=None, histograms=[]))

    assert titles(page) == ["Numbers", "Items", "Rows"]


def test_names_cannot_become_markup_and_nothing_is_loaded() -> None:
    for html in (difference_report(DIFFERENCE), log_report(LOG)):
        assert HOSTILE not in html
        assert "&lt;script&gt;alert(1)" in html
        assert "default-src 'none'" in html
