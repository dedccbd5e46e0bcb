"""Ids, events, interactions and profiles; filters; what a log looks like."""
