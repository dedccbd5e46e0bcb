"""The five ways to cut a log into training, validation and test."""
