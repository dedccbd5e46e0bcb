"""Reports as one HTML file each: tables in, text out; nothing is read and nothing is loaded."""

from recsys.report.comparison import comparison_page, comparison_report
from recsys.report.page import Page, Section, Table, Text, render, section
from recsys.report.study import study_page, study_report

__all__ = [
    "Page",
    "Section",
    "Table",
    "Text",
    "comparison_page",
    "comparison_report",
    "render",
    "section",
    "study_page",
    "study_report",
]
