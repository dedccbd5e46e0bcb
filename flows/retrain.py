"""`recsys retrain`: from new plays to a challenger, which serves if it passes the gate.

    new plays -> drift -> search -> gate -> registry -> champion -> published
        |          |                  |
        +-- stopped               refused

Atomic: the champion changes by one move of an alias; then its lists are replaced, all at once.
Idempotent: after a kill, the same command resumes, because the study is named after the plays.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from prefect import flow

from flows import environment, registering
from flows.alerting import ALERTS, send_verdict
from flows.cleaning import Cleaned, clean_after
from flows.clock import Clock
from flows.experiment import opened
from flows.publish import PublishResult, publish
from flows.retrain_request import RetrainRequest, searched
from flows.searching import joined, search_all, with_prefect
from recsys.config import ExperimentConfig
from recsys.errors import InputError
from recsys.evaluation.gate import Decision, OnNew, decide, in_words, without_champion
from recsys.evaluation.store import load_report
from recsys.identity import key_of
from recsys.models import MODELS, make_config
from recsys.models.config import ModelConfig
from recsys.seeds import seed_for
from recsys.sources.config import DataConfig
from tasks.data import database, new_plays
from tasks.data.new_plays import Incoming
from tasks.data.stages import DataFiles
from tasks.orchestration.naming import name_run
from tasks.retraining import history
from tasks.retraining.history import NO_CHAMPION, UNREAD, RetrainHistory
from tasks.serving.load import ServedRun
from tasks.serving.published import check_place
from tasks.study.choosing import choose
from tasks.study.measuring import run_final
from tasks.study.study import Study
from tasks.tracking.queries import read_run
from tasks.tracking.recorded import Recorded
from tasks.tracking.registry import Version, champion, check_name, load_version, versions
from tasks.tracking.runs import Run
from tasks.tuning import Search
from tasks.workspace.cache import file_hash
from tasks.workspace.code import MEASURING, code_id
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks


@dataclass(frozen=True, slots=True)
class Retrained:
    """The result of a retraining.

    Attributes:
        name: Of the registered model.
        verdict: "promoted", "refused", or "unchanged" where the same retraining is done already.
        reasons: Of the verdict, a sentence each.
        table: Facts of the plays, findings and the decision.
        run: MLflow id of the retraining.
        study: Name of the study that was searched.
        version: Number of the challenger.
        champion: Number of the version that serves now; None where none does.
        seconds: By part.
        published: The publication of its lists; None where they are not published.
        cleaned: Cache entries that were unused for long and are removed.
    """

    name: str
    verdict: str
    reasons: tuple[str, ...]
    table: Mapping[str, Any]
    run: str
    study: str
    version: int
    champion: int | None
    seconds: Mapping[str, float]
    published: PublishResult | None = None
    cleaned: Cleaned | None = None

    def as_json(self) -> dict[str, Any]:
        """One object."""
        lists = None if self.published is None else self.published.as_json()
        room = None if self.cleaned is None else self.cleaned.as_json()
        return {**asdict(self), "published": lists, "cleaned": room}

    def lines(self) -> list[str]:
        """For the terminal: verdict, reasons, and the version that serves."""
        serving = "nothing serves" if self.champion is None else f"version {self.champion} serves"
        head = f"{self.name} version {self.version}: {self.verdict}; {serving}"
        where = f"study {self.study}, MLflow run {self.run}"
        lists = () if self.published is None else self.published.lines()
        room = [self.cleaned.line] if self.cleaned and self.cleaned.entries else []
        return [head, *(f"  {reason}" for reason in self.reasons), where, *lists, *room]


@flow(
    name="retrain",
    flow_run_name="retrain {request.name}",
    on_completion=[send_verdict],
    on_failure=ALERTS,
    on_crashed=ALERTS,
)
def retrain(request: RetrainRequest, workspace: Path = Path("mlruns")) -> Retrained:
    """Check the new plays, search, gate, register, promote what passed, and publish its lists.

    Args:
        request: Plays, configuration and gate.
        workspace: The folder that holds studies, runs and models.

    Raises:
        InputError: the plays have drifted from the last ones, they or the configuration cannot be
            used, or the lists of the new champion cannot be published.
    """
    check_name(request.name)
    request.check()
    place = environment.place(workspace)
    if request.publishes:
        check_place(environment.published(place))
    clock = Clock()
    with workspace_locks(place).exclusive(f"retrain-{request.name}"):
        done = _retrained(place, request, clock)
    lists = _published(place, request, done, clock)
    clock.seconds["total"] = clock.total
    return replace(done, published=lists, cleaned=clean_after(place), seconds=clock.seconds)


def _retrained(place: Workspace, request: RetrainRequest, clock: Clock) -> Retrained:
    """All but the publishing; the caller holds the lock on retraining."""
    past = RetrainHistory.of(place, request.name)
    with clock.part("data"):
        incoming = _gathered(place, request, past)
    key = _key(place, request, incoming)
    done = past.done(key)
    if done is not None:
        return _unchanged(place, request.name, done)
    return _Retraining(place, request, incoming, past, key, clock).run()


def _gathered(place: Workspace, request: RetrainRequest, past: RetrainHistory) -> Incoming:
    """The new plays; plays that cannot be used are recorded, too."""
    data, plays = request.config.data, request.plays
    try:
        if request.query is not None:
            plays, columns = database.query_plays(place, request.query, environment.database())
            data = DataConfig(columns=columns, strict=data.strict)
        assert plays is not None
        return new_plays.gather(place, plays, data)
    except InputError as error:
        tags = {"key": UNREAD, "champion": _number(champion(place, request.name))}
        run = history.begin(past, None, request.plays_name, _params(request, request.config), tags)
        _stop(request, run, [str(error)], {})
        raise


def _published(
    place: Workspace, request: RetrainRequest, done: Retrained, clock: Clock
) -> PublishResult | None:
    """Publish the champion, if it is the retrained version."""
    if not request.publishes or done.champion != done.version:
        return None
    with clock.part("publishing"):
        try:
            return publish(place.root, name=request.name)
        except InputError as error:
            raise InputError(
                f"{request.name} version {done.version} serves, but its lists are not published: "
                f"{error}. Run the same command, or `recsys publish`, again"
            ) from error


def _key(place: Workspace, request: RetrainRequest, incoming: Incoming) -> str:
    described = {
        **_data(place, request, incoming),
        "config": request.config.model_dump(mode="json", exclude={"data"}),
        "gate": asdict(request.gate),
        "refit": request.refit,
        "follows": request.follows,
        "sources": request.sources,
    }
    return key_of(described, 16)


def _data(place: Workspace, request: RetrainRequest, incoming: Incoming) -> dict[str, Any]:
    profiles = None if request.profiles is None else file_hash(place, request.profiles)
    return {
        "data": incoming.fingerprint,
        "profiles": profiles,
        "code": code_id(MEASURING, request.config.model),
    }


def _unchanged(place: Workspace, name: str, done: Recorded) -> Retrained:
    serving = champion(place, name)
    return Retrained(
        name=name,
        verdict="unchanged",
        reasons=(
            f"these plays are retrained already with these settings, and version "
            f"{done.tags['version']} was {done.tags['verdict']}: nothing is changed",
        ),
        table=history.read_table(place, done.id),
        run=done.id,
        study=done.tags["study"],
        version=int(done.tags["version"]),
        champion=None if serving is None else serving.number,
        seconds={},
    )


class _Retraining:
    """A retraining that has to run."""

    def __init__(
        self,
        place: Workspace,
        request: RetrainRequest,
        incoming: Incoming,
        past: RetrainHistory,
        key: str,
        clock: Clock,
    ) -> None:
        self.place, self.request, self.incoming = place, request, incoming
        self.past, self.key, self.clock = past, key, clock
        self.unfinished = past.unfinished(key)
        self.champion = self._compared_with()
        self.last = past.last()
        self.findings = history.drifted(incoming, self.last, request.limits)

    def run(self) -> Retrained:
        """Search, judge, register, promote."""
        if self.findings and not self.request.accept_drift:
            self._drifted()
        served = None if self.champion is None else self._config_of(self.champion)
        config = searched(self.request, self.incoming, served)
        study = self._study_name(config)
        name_run(f"retrain {study.removeprefix('retrain-')}")
        tags = {"key": self.key, "champion": _number(self.champion), "study": study}
        run = self._begin(self.unfinished, config, tags)
        with run.closing():
            decision, challenger = self._decided(config, study, served)
            self._write(run, decision)
            numbers = decision.numbers()
            noted = run.steps(next(iter(numbers)))  # one batch: all are there or none
            run.log({} if noted else numbers, tags={"challenger": challenger})
            with self.clock.part("registering"):
                version = registering.register(self.place, challenger, self.request.name).version
            # Before the promotion: after a kill the verdict can still be reported.
            run.log({}, tags={"version": str(version.number)})
            if decision.promoted:
                self._promote(version)
            run.log({}, tags={"verdict": decision.verdict, "reasons": _short(in_words(decision))})
        return self._result(run, study, version, decision)

    def _compared_with(self) -> Version | None:
        """The champion, or that of the moment when the retraining to resume began."""
        serving = champion(self.place, self.request.name)
        if self.unfinished is None:
            return serving
        before = self.unfinished.tags["champion"]
        if serving is not None and serving.run == self.unfinished.tags.get("challenger"):
            every = versions(self.place, self.request.name)
            return next((each for each in every if str(each.number) == before), None)
        if before != _number(serving):
            self.unfinished = None  # another version was promoted meanwhile
        return serving

    def _config_of(self, version: Version) -> ModelConfig:
        try:
            return ServedRun.of(read_run(self.place, version.run)).config
        except InputError:  # its run was deleted, or is of an older form: its files know it, too
            return load_version(self.place, version).config

    def _begin(
        self, unfinished: Recorded | None, config: ExperimentConfig, tags: Mapping[str, str]
    ) -> Run:
        name = self.incoming.parts[-1].name
        params = _params(self.request, config)
        return history.begin(self.past, unfinished, name, params, tags, self.incoming)

    def _drifted(self) -> None:
        """Record it, and raise InputError."""
        words = [f"{name}: {each.words}" for name, found in self.findings.items() for each in found]
        values = {f"drift/{each.what}": each.value for f in self.findings.values() for each in f}
        tags = {"key": self.key, "champion": _number(self.champion)}
        run = self._begin(None, self.request.config, tags)
        _stop(self.request, run, words, values, lambda: self._write(run, None))
        raise InputError(
            f"the plays have drifted from the last ones: {'; '.join(words)}. Nothing is changed; "
            "correct the plays, or repeat with --accept-drift"
        )

    def _study_name(self, config: ExperimentConfig) -> str:
        table = config.model_dump(mode="json", exclude={"data": True, "study": {"trials"}})
        described = {
            **_data(self.place, self.request, self.incoming),
            "champion": None if self.champion is None else self.champion.run,
            "config": table,
            "sources": self.request.sources,
        }
        return f"retrain-{self.request.name}-{key_of(described, 12)}"

    def _table(self, decision: Decision | None) -> dict[str, Any]:
        decided = None if decision is None else decision.as_json()
        return history.table_of(self.incoming, self.findings, decided, self.last)

    def _write(self, run: Run, decision: Decision | None) -> None:
        history.write_table(self.place, run, self._table(decision))

    def _decided(
        self, config: ExperimentConfig, name: str, served: ModelConfig | None
    ) -> tuple[Decision, str]:
        """The decision of the gate, and the run of the challenger."""
        source = DataFiles(self.incoming.plays, self.request.profiles)
        sources = self.request.sources
        with opened(self.place, source, config, name, sources, self.clock) as parts:
            study, search, stages = parts
            folds = stages["split"].folder
            with joined(study, search):
                search_all(study, search, folds / "validation", with_prefect, self.clock)
                # Of two processes here at once, the second finds everything judged.
                with workspace_locks(self.place).exclusive(f"judge-{study.name}"):
                    judged = self._judged(study, search, folds, served)
        return judged

    def _judged(
        self, study: Study, search: Search, folds: Path, served: ModelConfig | None
    ) -> tuple[Decision, str]:
        with self.clock.part("choose"):
            chosen = choose(study, search, folds / "validation")
        winner: ModelConfig = make_config(study.config.model, chosen.winner.params)
        if self.request.refit and served is not None and served.kind not in MODELS:
            winner = served  # its first model was searched in its place
        with study.scratch() as folder:
            with self.clock.part("final"):
                if served is not None:
                    run_final(study, folds / "test", served, folder / "champion")
                # The last: the run of the study shows its values.
                measured = run_final(study, folds / "test", winner, folder / "challenger")
            with self.clock.part("gate"):
                decision = self._gate(study, folds / "test", winner, folder)
        best = {"best_trial": str(chosen.winner.slot), "best_run": chosen.winner.run}
        Run.of(self.place, study.parent).log({}, tags=best)
        return decision, measured.run

    def _gate(self, study: Study, test: Path, winner: ModelConfig, folder: Path) -> Decision:
        challenger, metric = load_report(folder / "challenger"), study.config.study.metric
        if self.champion is None:
            return without_champion(challenger, self.request.gate, metric)
        on_new, besides = self._as_it_serves(self.champion, study, test, winner, folder)
        decision = decide(
            challenger,
            load_report(folder / "champion"),
            self.request.gate,
            metric,
            seed_for(study.config.seed, "judge", "bootstrap"),
            study.config.judge.resamples,
            on_new,
        )
        return replace(decision, reasons=(*decision.reasons, *besides))

    def _as_it_serves(
        self, serving: Version, study: Study, test: Path, winner: ModelConfig, folder: Path
    ) -> tuple[OnNew | None, Sequence[str]]:
        """The champion on plays that are new to it, or why not: a damaged one can be replaced."""
        measured = folder / "challenger"
        try:
            return history.judge_frozen(study, test, serving, winner, measured), ()
        except InputError as error:
            return None, (f"the served champion cannot be judged, which decides nothing: {error}",)

    def _promote(self, version: Version) -> None:
        """Promote the challenger, if the champion is still the one it was compared with."""
        serving = champion(self.place, self.request.name)
        if _number(serving) not in (_number(self.champion), str(version.number)):
            raise InputError(
                f"{self.request.name}: version {_number(serving)} serves now, and the challenger "
                f"was compared with {_number(self.champion)}; run it again"
            )
        registering.promote(self.place, str(version.number), self.request.name)

    def _result(self, run: Run, study: str, version: Version, decision: Decision) -> Retrained:
        reasons = tuple(in_words(decision))
        title = f"{self.request.name} version {version.number}: {decision.verdict}"
        history.show_decision(title, reasons, decision.numbers())
        serving = champion(self.place, self.request.name)
        return Retrained(
            name=self.request.name,
            verdict=decision.verdict,
            reasons=reasons,
            table=self._table(decision),
            run=run.id,
            study=study,
            version=version.number,
            champion=None if serving is None else serving.number,
            seconds=self.clock.seconds,
        )


def _stop(
    request: RetrainRequest,
    run: Run,
    words: Sequence[str],
    values: Mapping[str, float],
    write: Callable[[], None] = lambda: None,
) -> None:
    """Record why the retraining stopped."""
    with run.closing():
        write()
        run.log(values, tags={"verdict": "stopped", "reasons": _short(words)})
    history.show_decision(f"{request.name}: stopped", words, values)


def _params(request: RetrainRequest, config: ExperimentConfig) -> dict[str, object]:
    """Of the run of a retraining."""
    return {
        "plays": request.plays_name,
        "model": config.model,
        "trials": 0 if request.refit else config.study.trials,
        "metric": config.study.metric,
        "gate": request.gate.rule,
        "margin": request.gate.margin,
        "coverage": request.gate.coverage,
        "accept_drift": request.accept_drift,
        **{f"drift.{name}": value for name, value in asdict(request.limits).items()},
    }


def _number(version: Version | None) -> str:
    return NO_CHAMPION if version is None else str(version.number)


def _short(words: Sequence[str]) -> str:
    return "; ".join(words)[:5000]
