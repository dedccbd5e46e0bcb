"""The end of a study: its winner is chosen on validation, judged once on test, and reported."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.clock import Clock
from flows.model_config import first_points
from flows.notes import answer, describe, study_note
from flows.reporting import source_of
from flows.result import Result, Saved
from flows.searching import Attempt, search_all
from recsys.evaluation.exchange import Exchange
from recsys.models import baselines, make_config
from recsys.models.config import ModelConfig
from recsys.search.widening import wider_ranges
from tasks.data.stages import PROFILE_REJECTS, REJECTS, TEST_REJECTS, VALIDATION_REJECTS
from tasks.orchestration.telling import tell
from tasks.progress import report_progress
from tasks.report.facts import EndFacts
from tasks.report.making import report_study, report_url
from tasks.study.choosing import SearchWinner, choose
from tasks.study.cross_check import CHEAP, Checked, cross_check
from tasks.study.experiment_report import (
    Compared,
    compare,
    compare_sides,
    draw_study,
    on_front,
    show_comparison,
    show_leaderboard,
)
from tasks.study.measuring import Measured, run_final
from tasks.study.study import Study, shown_metrics
from tasks.tracking.runs import Run, compare_url
from tasks.tuning import Search
from tasks.workspace.cache import StageEntry
from tasks.workspace.locking import workspace_locks

SIDE_BY_SIDE = 5  # trials that the note of a study links to; the address of hundreds is too long


def searched_and_judged(
    study: Study, search: Search, stages: Mapping[str, StageEntry], attempted: Attempt, clock: Clock
) -> Result:
    """Search until all trials are done, choose the winner, judge it once on test, report.

    Args:
        study: Shared by all runs.
        search: Its trials.
        stages: The entry of each data stage in the cache.
        attempted: Measures one trial.
        clock: Takes the time.
    """
    folder = stages["split"].folder
    search_all(study, search, folder / "validation", attempted, clock)
    # Of two workers that come this far together, the second finds everything judged.
    with workspace_locks(study.workspace).exclusive(f"judge-{study.name}"):
        with clock.part("choose"):
            chosen = choose(study, search, folder / "validation")
        with clock.part("cross-check"):
            points = {model: first_points(model) for model in CHEAP}
            checked = cross_check(study, search, chosen.winner, folder / "validation", points)
        link = compare_url(study.workspace, study.experiment, [done.run for done in search.done])
        with clock.part("reporting"):
            show_leaderboard(study, search, chosen, link)
            draw_study(study, search)
        finals, compared = _finish(study, chosen, folder / "test", clock)
        with clock.part("compare"):
            exchange = compare_sides(study, folder, stages["split"].facts.get("sides"))
    end = _End(study, search, stages, clock, chosen, checked, compared, finals, link, exchange)
    with clock.part("reporting"):
        end.report()
    clock.seconds["total"] = clock.total
    result = end.result()
    note = study_note(result)
    describe(study, study.name, result.runs.values(), note, _pages(study, chosen))
    search.describe(note)
    tell(answer(result))
    return result


def _pages(study: Study, chosen: SearchWinner) -> dict[str, str]:
    """Text of a link to the address of a page of MLflow: the report, and trials to compare."""
    pages = {"The report": report_url(study, study.parent)}
    best = [each.done.run for each in chosen.ranked[:SIDE_BY_SIDE]]
    if len(best) > 1:
        url = compare_url(study.workspace, study.experiment, best)
        pages[f"the best {len(best)} trials side by side"] = url
    return pages


@dataclass(frozen=True, slots=True)
class _End:
    """All that a study knows once it is judged."""

    study: Study
    search: Search
    stages: Mapping[str, StageEntry]
    clock: Clock
    chosen: SearchWinner
    checked: tuple[Checked, ...]
    compared: Compared
    finals: Mapping[str, Measured]
    link: str
    exchange: Exchange | None

    def report(self) -> None:
        """Put the figures on test beside the study, and its report."""
        study, winner = self.study, self.chosen.winner
        rows = {row.metric: row for row in self.compared.comparison.rows}
        judged = {f"test/{name}": rows[name].b.mean for name in shown_metrics(study.config)}
        best = {"best_trial": str(winner.slot), "best_run": winner.run}
        parent = Run.of(study.workspace, study.parent)
        noted = parent.recorded()  # also by a command that this one repeats
        parent.log({n: v for n, v in judged.items() if noted.metric(n) != v}, tags=best)
        ids = {model: measured.run for model, measured in self.finals.items()}
        seconds = {**self.clock.seconds, "total": self.clock.total}
        now = EndFacts.now(seconds, ids, self.chosen)
        report_study(source_of(study, self.search, self.stages), study.experiment, now)

    def result(self) -> Result:
        """The experiment as it is shown."""
        study, search, stages, chosen = self.study, self.search, self.stages, self.chosen
        done, config = search.done, study.config
        wider = wider_ranges(config, chosen.winner.params)
        on = on_front(done, config.objectives) if config.study.also else []
        return Result(
            study=study.name,
            config=config,
            facts=facts_of(stages),
            reused={name: entry.reused for name, entry in stages.items()},
            rejects=rejects_of(stages["ingest"], REJECTS),
            test_rejects=rejects_of(stages["split"], TEST_REJECTS, "test_file"),
            validation_rejects=rejects_of(stages["split"], VALIDATION_REJECTS, "validation_file"),
            profile_rejects=rejects_of(stages["ingest"], PROFILE_REJECTS, "profiles"),
            trials=tuple(done),
            pruned=tuple(search.pruned),
            failed=search.failed,
            space_size=search.size,
            stopped=search.stopped,
            best=chosen.winner,
            chosen=chosen,
            checked=self.checked,
            front=tuple(each for each, is_on in zip(done, on, strict=False) if is_on),
            saved=Saved.of(search.finished),
            at_bound={name: edge for name, (edge, _) in wider.items()},
            wider={name: text for name, (_, text) in wider.items()},
            models=self.compared.models,
            comparison=self.compared.comparison,
            shown=self.compared.shown,
            exchange=self.exchange,
            runs={"study": study.parent, "final": self.finals[config.model].run},
            compare_url=self.link,
            seconds=self.clock.seconds,
        )


def facts_of(stages: Mapping[str, StageEntry]) -> dict[str, Mapping[str, Any]]:
    """The facts of each data stage, by its name."""
    return {name: entry.facts for name, entry in stages.items()}


def rejects_of(stage: StageEntry, name: str, of: str | None = None) -> str | None:
    """The file of rejected rows of a stage; None without any."""
    facts: Mapping[str, Any] | None = stage.facts if of is None else stage.facts.get(of)
    return str(stage.folder / name) if facts is not None and facts["rejected"] else None


def _finish(
    study: Study, chosen: SearchWinner, test: Path, clock: Clock
) -> tuple[dict[str, Measured], Compared]:
    """Refit the winner on train + validation, judge it and the baselines once on test."""
    models: list[ModelConfig] = [
        *(make_config(name, {}) for name in baselines() if name != study.config.model),
        make_config(study.config.model, chosen.winner.params),
    ]
    with study.scratch() as folder:
        with clock.part("final"):
            finals: dict[str, Measured] = {}
            for n, model in enumerate(models, 1):
                finals[model.kind] = run_final(study, test, model, folder / model.kind)
                report_progress("models judged on test", n, len(models))
        with clock.part("compare"):
            compared = compare(study, finals, folder)
        with clock.part("reporting"):
            show_comparison(study, compared.comparison)
    return finals, compared
