"""Reports as one HTML file each: tables in, text out; nothing is read and nothing is loaded."""

from recsys.report.comparison import comparison_page, comparison_report
from recsys.report.difference import difference_page, difference_report
from recsys.report.log import log_page, log_report
from recsys.report.page import Page, Section, Table, Text, render, section
from recsys.report.study import study_page, study_report

__all__ = [
    "Page",
    "Section",
    "Table",
    "Text",
    "comparison_page",
    "comparison_report",
    "difference_page",
    "difference_report",
    "log_page",
    "log_report",
    "render",
    "section",
    "study_page",
    "study_report",
]
