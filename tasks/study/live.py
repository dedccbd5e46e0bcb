"""The search of a study on Prefect's page while it runs: how far it is, and its best trials."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from prefect.logging import get_run_logger

from tasks.orchestration.artifacts import ArtifactWriter, ShownArtifact, artifact_key
from tasks.progress import report_result
from tasks.study.study import Study
from tasks.tuning import FinishedTrial, Search

MOST_ROWS, WHILE_RUNNING = 200, 50  # of the leaderboard
Row = Mapping[str, Any]


@contextmanager
def showing_search(study: Study, search: Search) -> Iterator[Callable[[str], None]]:
    """Gives what to call after each trial, with its result in a line, which the run logs.

    Cheap where nothing is due, and without effect outside of a flow run; at the end of the block
    the last state is written. What cannot be written is said once, and the search continues.
    """
    writer = ArtifactWriter()
    said = False
    last: tuple[ShownArtifact, ...] = ()

    def shown(most: int) -> tuple[ShownArtifact, ...]:
        return search_progress(study, search), leaderboard(study, search, most=most)

    def say_what_failed() -> None:
        nonlocal said
        if writer.error is not None and not said:
            said = True
            report_result(f"Prefect's page does not follow the search: {writer.error}")

    def update(line: str) -> None:
        nonlocal last
        if line and writer.is_live:
            get_run_logger().info(line)
        say_what_failed()
        if writer.is_due and (now := shown(WHILE_RUNNING)) != last:
            writer.write(now)
            last = now

    try:
        update("")
        yield update
    except BaseException:
        writer.close()
        raise
    writer.close(shown(MOST_ROWS) if writer.is_live else ())
    say_what_failed()


def search_progress(study: Study, search: Search) -> ShownArtifact:
    """How many trials are done, and what the best one found."""
    finished, failed = search.finished, search.failed
    measured = [done for done in finished if done.values]
    ended, wanted = len(finished) + len(failed), search.wanted
    parts = [f"{ended:,} of {wanted:,} trials of study {study.name} are done"]
    if measured:
        best = max(measured, key=lambda done: (done.value, -done.slot))
        parts.append(f"best {study.config.study.metric} {best.value:.4f} by trial {best.slot}")
    counts = {"pruned": len(finished) - len(measured), "failed": len(failed)}
    parts += [f"{n:,} {what}" for what, n in counts.items() if n]
    share = 100.0 if ended >= wanted else 100.0 * ended / wanted
    key = artifact_key("progress", study.name)
    return ShownArtifact(key, "progress", round(share, 1), "; ".join(parts))


def leaderboard(
    study: Study, search: Search, first: Sequence[Row] = (), most: int = MOST_ROWS
) -> ShownArtifact:
    """The trials as a table: best first, then those that were pruned and those that failed.

    Args:
        study: Gives its name and its objective.
        search: Its trials.
        first: Rows of trials whose order is known better than by their values; others follow.
        most: Rows of the table.
    """
    rows = [*first, *_measured(study, search, first), *_without_value(study, search)]
    names = dict.fromkeys(name for row in rows for name in row if name != "run")
    columns = [*names, "run"]
    table = [{name: row.get(name, "") for name in columns} for row in rows[:most]]
    about = f"Trials of study {study.name}, judged on validation, the best first."
    if len(rows) > most:
        about += f" The first {most} of {len(rows):,}."
    return ShownArtifact(artifact_key("leaderboard", study.name), "table", json.dumps(table), about)


def trial_row(study: Study, done: FinishedTrial, value: str, note: str) -> Row:
    """A trial as the leaderboard shows it."""
    row = {"trial": done.slot, study.config.study.metric: value, "note": note}
    return {**row, **{n: _short(v) for n, v in done.params.items()}, "run": done.run}


def _measured(study: Study, search: Search, but: Sequence[Row]) -> list[Row]:
    known = {row["trial"] for row in but}
    done = [each for each in search.done if each.slot not in known]
    done.sort(key=lambda each: (-each.value, each.slot))
    return [trial_row(study, each, f"{each.value:.4f}", "") for each in done]


def _without_value(study: Study, search: Search) -> list[Row]:
    """The pruned trials, with how far they came, and the failed ones, with their errors."""
    pruned = [
        trial_row(study, done, "", f"pruned after {done.facts.iterations} iterations")
        for done in search.pruned
    ]
    metric = study.config.study.metric
    failed = [
        {"trial": slot, metric: "", "note": f"failed: {error.splitlines()[0][:200]}"}
        for slot, error in sorted(search.failed.items())
    ]
    return [*pruned, *failed]


def _short(value: Any) -> Any:
    """A number with the digits that a person reads."""
    return float(f"{value:.4g}") if isinstance(value, float) else value
