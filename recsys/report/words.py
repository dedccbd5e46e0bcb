"""The sentences that the report shares with the terminal and with MLflow's pages."""

from collections.abc import Mapping, Sequence

from recsys.evaluation.bootstrap import Estimate, MetricRow, excludes_zero

UNSURE = ", which may be chance"


def answer(row: MetricRow, model: str, baseline: str, n_users: int, users: str) -> str:
    """What was found, in a sentence with its interval.

    Args:
        row: The objective of the baseline (a) and the winner (b).
        model: The winner's.
        baseline: Its name.
        n_users: Judged on test.
        users: What users are called, in the plural.
    """
    parts = [f"{model} finds {row.b.mean:.3f} {row.metric}"]
    if row.a.mean and model != baseline:
        parts.append(f"{row.b.mean / row.a.mean:.1f} times popularity")
    unsure = "" if is_sure(row.difference) or model == baseline else UNSURE
    sentence = f"{', '.join(parts)}{unsure}; {n_users:,} {users}"
    if row.b.low is None or row.b.high is None:
        return sentence
    return f"{sentence}, 95 % interval {row.b.low:.3f} to {row.b.high:.3f}"


def comparison_answer(best: str, value: str, metric: str, rivals: Sequence[str]) -> str:
    """Which model won a comparison, and which others may be as good."""
    sure = f"; {', '.join(rivals)} may be as good" if rivals else ", beyond chance"
    return f"{best} is best with {value} {metric}{sure}"


def finalists_text(cuts: int, means: Mapping[int, Estimate]) -> str:
    """What further validation cuts said about the finalists of a search.

    Args:
        cuts: How many cuts there were, the first one too.
        means: Number of a trial to the mean of its objective over all cuts, the best first.
    """
    trials = [f"trial {number} {mean.text}" for number, mean in means.items()]
    return f"mean of {cuts} validation cuts: {', '.join(trials)}"


def is_sure(difference: Estimate) -> bool:
    """Whether a difference is beyond chance, or has no interval that could say so."""
    return difference.low is None or excludes_zero(difference)


def is_ahead(difference: Estimate) -> bool:
    """Whether a difference is above 0 beyond its interval."""
    return difference.low is not None and difference.low > 0


def change_text(improvement: float | None) -> str:
    """How much a value changes, in percent; "" where that cannot be said."""
    return "" if improvement is None else f"{improvement:+.1%}"


def params_text(params: Mapping[str, object]) -> str:
    """Parameters as a person reads them, without those that have no value or an empty list."""
    texts = {name: value_text(value) for name, value in params.items()}
    return ", ".join(f"{name} {text}" for name, text in texts.items() if text)


def value_text(value: object) -> str:
    """A parameter as a person reads it; the members of an ensemble are models with theirs."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return f"{value['kind']} ({params_text({n: v for n, v in value.items() if n != 'kind'})})"
    if isinstance(value, list | tuple):
        return " and ".join(map(value_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def size_text(n_bytes: int) -> str:
    """Bytes in megabytes or gigabytes."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def seconds_text(seconds: float) -> str:
    """A time that a person can picture."""
    if seconds < 90:
        return f"{seconds:.1f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def score_text(score: float) -> str:
    """A count as a whole number, any other score to three places."""
    return f"{score:,.0f}" if score == int(score) else f"{score:.3f}"


def listed(values: Mapping[str, int]) -> str:
    """Names and numbers in a line."""
    return ", ".join(f"{name} {n:,}" for name, n in values.items())
