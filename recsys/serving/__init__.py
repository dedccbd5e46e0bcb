"""What a fitted model answers: lists, similar items, explanations, packaged models."""
