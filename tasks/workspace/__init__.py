"""Folders, cache, locks and scratch of a workspace."""
