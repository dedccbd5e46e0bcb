"""Models that answer, and lists that are published."""
