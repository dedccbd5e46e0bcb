"""The only package that imports optuna: its storage, its samplers, its dashboard.

Trials are claimed and reported here; the loop belongs to the flow.
"""

from tasks.tuning.dashboard import serve_dashboard
from tasks.tuning.search import Search
from tasks.tuning.storage import ERRORS
from tasks.tuning.studies import (
    ADOPTED,
    Listed,
    deleting_study,
    find_search,
    has_study,
    list_studies,
    open_lock,
    open_search,
    stored_request,
)
from tasks.tuning.values import FinishedTrial, TakenOver, Trial, TrialFacts

__all__ = [
    "ADOPTED",
    "ERRORS",
    "FinishedTrial",
    "Listed",
    "Search",
    "TakenOver",
    "Trial",
    "TrialFacts",
    "deleting_study",
    "find_search",
    "has_study",
    "list_studies",
    "open_lock",
    "open_search",
    "serve_dashboard",
    "stored_request",
]
