"""The most that one request or one setting may ask for. Lists end at the catalogue before that."""

LIST = 1_000_000
"""Items of a published list."""
CUTOFF = 1_000
"""A cut-off `k` of a metric: lists of all users are that long in memory."""
RECORDS = 10_000
"""Records of one request to a served model."""
ANSWERS = 1_000_000
"""Rows of one answer of a served model: its records times `k`."""
HISTORY = 100_000
"""Items of the history in one record."""
TEXT = 1_000
"""Characters of one id or name in a request."""
TRIALS = 100_000
DAYS = 36_500
RESAMPLES = 100_000
FACTORS = 10_000
ITERATIONS = 100_000
COUNT = 100_000
"""Neighbours of a model, and what it draws or takes in one step."""
SEEDS = 1_000
"""Splits of a comparison."""
CUTS = 100
"""Validation cuts of a study."""
SAMPLE = 1_000_000
"""Users, or items, of a sample."""


NAME = 150
"""Bytes of a name that a user gives a study, a comparison or a model: files are named after it."""


def name_fault(name: str) -> str | None:
    """What is wrong with the length of a name; None for one that is short enough."""
    size = len(name.encode(errors="surrogateescape"))
    return f"{size:,} bytes; use a name of at most {NAME}" if size > NAME else None


def shown(value: object) -> str:
    """A value for a message, as Python writes it, its end left out where it is long."""
    return shortened(repr(value))


def shortened(text: str, most: int = 60) -> str:
    """The text, its end left out where it is long."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
