"""Metrics, reports, intervals, significance, groups, comparisons and the gate."""
