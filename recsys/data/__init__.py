"""Ids, events, interactions and profiles; filters, description and drift of a log."""
