"""Trials of a study: attempt, measure, recover, choose, report."""
