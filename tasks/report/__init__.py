"""Reports of studies and comparisons: what they show is gathered, written and attached."""
