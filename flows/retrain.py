"""`recsys retrain`: from new plays to a challenger, which serves if it passes the gate.

    new plays -> drift -> search -> gate -> registry -> champion -> published
        |          |                  |
        +-- stopped               refused

The champion is what it was until one move of an alias, and its lists are replaced after that, all
at once. Whoever is killed repeats the command: the study is named after the plays, so its trials
are there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from prefect import flow

from flows import environment
from flows.alerting import ALERTS, send_verdict
from flows.cleaning import Cleaned, clean
from flows.cli import registry
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
from tasks.data import database
from tasks.data import new_plays as arriving
from tasks.data.new_plays import Incoming
from tasks.data.stages import Plays
from tasks.retraining import history
from tasks.retraining.history import NO_CHAMPION, UNREAD, RetrainHistory
from tasks.serving.load import ServedRun
from tasks.study.choosing import choose
from tasks.study.measuring import run_final
from tasks.study.study import Study
from tasks.tracking.registry import Version, champion, load_version, versions
from tasks.tracking.runs import Recorded, Run, read_run
from tasks.tuning import Search
from tasks.workspace.cache import file_hash
from tasks.workspace.code import MEASURING, code_id
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks


@dataclass(frozen=True, slots=True)
class Retrained:
    """What came of it.

    Attributes:
        name: Of the registered model.
        verdict: "promoted", "refused", or "unchanged" where the same was retrained before.
        reasons: In words.
        table: Facts of the plays, findings and the decision.
        run: MLflow id of the retraining.
        study: Name of the study that was searched.
        version: Number of the challenger.
        champion: Number of the version that serves now; None where none does.
        seconds: By part.
        published: What became of its lists; None where they were not to be published.
        cleaned: What nobody had used for long, and is gone.
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
        """For the terminal: what was decided, why, and what serves."""
        serving = "nothing serves" if self.champion is None else f"version {self.champion} serves"
        head = f"{self.name} version {self.version}: {self.verdict}; {serving}"
        where = f"study {self.study}, MLflow run {self.run}"
        lists = () if self.published is None else self.published.lines()
        room = [self.cleaned.line] if self.cleaned and self.cleaned.entries else []
        return [head, *(f"  {reason}" for reason in self.reasons), where, *lists, *room]


@flow(
    name="retrain",
    flow_run_name="retrain {asked.name}",
    on_completion=[send_verdict],
    on_failure=ALERTS,
    on_crashed=ALERTS,
)
def retrain(asked: RetrainRequest, workspace: Path = Path("mlruns")) -> Retrained:
    """Check the new plays, search, gate, register, promote what passed, and publish its lists.

    Args:
        asked: What is retrained.
        workspace: Where state lives.

    Raises:
        InputError: the plays are not as the last ones were, or they or the configuration cannot
            be used, or the lists of the new champion cannot be published.
    """
    registry.check_name(asked.name)
    asked.check()
    place = environment.place(workspace)
    clock = Clock()
    with workspace_locks(place).exclusive(f"retrain-{asked.name}"):
        done = _retrained(place, asked, clock)
    lists = _published(place, asked, done, clock)
    clock.seconds["total"] = clock.total
    return replace(done, published=lists, cleaned=clean(place), seconds=clock.seconds)


def _retrained(place: Workspace, asked: RetrainRequest, clock: Clock) -> Retrained:
    """All but the publishing; only for who holds the lock on retraining."""
    ledger = RetrainHistory.of(place, asked.name)
    with clock.part("data"):
        incoming = _gathered(place, asked, ledger)
    key = _key(place, asked, incoming)
    done = ledger.done(key)
    if done is not None:
        return _unchanged(place, asked.name, done)
    return _Retraining(place, asked, incoming, ledger, key, clock).run()


def _gathered(place: Workspace, asked: RetrainRequest, ledger: RetrainHistory) -> Incoming:
    """The new plays; that they cannot be used is recorded, too."""
    data, plays = asked.config.data, asked.plays
    try:
        if asked.query is not None:
            plays, columns = database.query_plays(place, asked.query, environment.database())
            data = DataConfig(columns=columns, strict=data.strict)
        assert plays is not None
        return arriving.gather(place, plays, data)
    except InputError as error:
        tags = {"key": UNREAD, "champion": _number(champion(place, asked.name))}
        run = history.begin(ledger, None, asked.called, _params(asked, asked.config), tags)
        _stop(asked, run, [str(error)], {})
        raise


def _published(
    place: Workspace, asked: RetrainRequest, done: Retrained, clock: Clock
) -> PublishResult | None:
    """Publish the champion, where it is what was retrained."""
    if not asked.publishes or done.champion != done.version:
        return None
    with clock.part("publishing"):
        try:
            return publish(place.root, name=asked.name)
        except InputError as error:
            raise InputError(
                f"{asked.name} version {done.version} serves, but its lists are not published: "
                f"{error}. The same command, or `recsys publish`, tries again"
            ) from error


def _key(place: Workspace, asked: RetrainRequest, incoming: Incoming) -> str:
    described = {
        **_data(place, asked, incoming),
        "config": asked.config.model_dump(mode="json", exclude={"data"}),
        "gate": asdict(asked.gate),
        "refit": asked.refit,
        "follows": asked.follows,
        "sources": asked.sources,
    }
    return key_of(described, 16)


def _data(place: Workspace, asked: RetrainRequest, incoming: Incoming) -> dict[str, Any]:
    profiles = None if asked.profiles is None else file_hash(place, asked.profiles)
    return {
        "data": incoming.fingerprint,
        "profiles": profiles,
        "code": code_id(MEASURING, asked.config.model),
    }


def _unchanged(place: Workspace, name: str, done: Recorded) -> Retrained:
    serving = champion(place, name)
    return Retrained(
        name=name,
        verdict="unchanged",
        reasons=(
            f"the same plays were retrained with the same settings before, and version "
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
    """One retraining, which is neither done nor given up."""

    def __init__(
        self,
        place: Workspace,
        asked: RetrainRequest,
        incoming: Incoming,
        ledger: RetrainHistory,
        key: str,
        clock: Clock,
    ) -> None:
        self.place, self.asked, self.incoming = place, asked, incoming
        self.ledger, self.key, self.clock = ledger, key, clock
        self.left = ledger.unfinished(key)
        self.champion = self._compared_with()
        self.last = ledger.last()
        self.findings = history.drifted(incoming, self.last, asked.limits)

    def run(self) -> Retrained:
        """To its end."""
        if self.findings and not self.asked.accept_drift:
            self._drifted()
        served = None if self.champion is None else self._config_of(self.champion)
        config = searched(self.asked, self.incoming, served)
        study = self._study_name(config)
        tags = {"key": self.key, "champion": _number(self.champion), "study": study}
        run = self._begin(self.left, config, tags)
        with run.closing():
            decision, challenger = self._decided(config, study, served)
            self._write(run, decision)
            numbers = decision.numbers()
            noted = run.steps(next(iter(numbers)))  # one batch: all are there or none
            run.log({} if noted else numbers, tags={"challenger": challenger})
            with self.clock.part("registering"):
                version = registry.register(self.place, challenger, self.asked.name).version
            # Before the promotion: who is killed after it finds what to say.
            run.log({}, tags={"version": str(version.number)})
            if decision.promoted:
                self._promote(version)
            run.log({}, tags={"verdict": decision.verdict, "reasons": _short(in_words(decision))})
        return self._told(run, study, version, decision)

    def _compared_with(self) -> Version | None:
        """What serves, or served when the retraining that is gone on with began."""
        serving = champion(self.place, self.asked.name)
        if self.left is None:
            return serving
        before = self.left.tags["champion"]
        if serving is not None and serving.run == self.left.tags.get("challenger"):
            every = versions(self.place, self.asked.name)
            return next((each for each in every if str(each.number) == before), None)
        if before != _number(serving):
            self.left = None  # somebody has chosen another one meanwhile
        return serving

    def _config_of(self, version: Version) -> ModelConfig:
        try:
            return ServedRun.of(read_run(self.place, version.run)).config
        except InputError:  # its run was deleted, or is of an older form: its files know it, too
            return load_version(self.place, version).config

    def _begin(
        self, left: Recorded | None, config: ExperimentConfig, tags: Mapping[str, str]
    ) -> Run:
        name = self.incoming.parts[-1].name
        params = _params(self.asked, config)
        return history.begin(self.ledger, left, name, params, tags, self.incoming)

    def _drifted(self) -> None:
        """Record it, and raise InputError."""
        words = [f"{name}: {each.words}" for name, found in self.findings.items() for each in found]
        values = {f"drift/{each.what}": each.value for f in self.findings.values() for each in f}
        tags = {"key": self.key, "champion": _number(self.champion)}
        run = self._begin(None, self.asked.config, tags)
        _stop(self.asked, run, words, values, lambda: self._write(run, None))
        raise InputError(
            f"the plays are not as the last ones were: {'; '.join(words)}. Nothing is changed; "
            "correct the plays, or go on with --accept-drift"
        )

    def _study_name(self, config: ExperimentConfig) -> str:
        table = config.model_dump(mode="json", exclude={"data": True, "study": {"trials"}})
        described = {
            **_data(self.place, self.asked, self.incoming),
            "champion": None if self.champion is None else self.champion.run,
            "config": table,
            "sources": self.asked.sources,
        }
        return f"retrain-{self.asked.name}-{key_of(described, 12)}"

    def _table(self, decision: Decision | None) -> dict[str, Any]:
        told = None if decision is None else decision.as_json()
        return history.table_of(self.incoming, self.findings, told, self.last)

    def _write(self, run: Run, decision: Decision | None) -> None:
        history.write_table(self.place, run, self._table(decision))

    def _decided(
        self, config: ExperimentConfig, name: str, served: ModelConfig | None
    ) -> tuple[Decision, str]:
        """What the gate says, and the run of the challenger."""
        source = Plays(self.incoming.plays, self.asked.profiles)
        sources = self.asked.sources
        with opened(self.place, source, config, name, sources, self.clock) as parts:
            study, search, stages = parts
            folds = stages["split"].folder
            with joined(study, search):
                search_all(study, search, folds / "validation", with_prefect, self.clock)
                # Of two who come this far together, the second finds everything judged.
                with workspace_locks(self.place).exclusive(f"judge-{study.name}"):
                    found = self._judged(study, search, folds, served)
        return found

    def _judged(
        self, study: Study, search: Search, folds: Path, served: ModelConfig | None
    ) -> tuple[Decision, str]:
        with self.clock.part("choose"):
            chosen = choose(study, search, folds / "validation")
        winner: ModelConfig = make_config(study.config.model, chosen.winner.params)
        if self.asked.refit and served is not None and served.kind not in MODELS:
            winner = served  # its first model stood for it in the search
        with study.scratch() as folder:
            with self.clock.part("final"):
                if served is not None:
                    run_final(study, folds / "test", served, folder / "champion")
                # The last: it is what the run of the study stands for.
                measured = run_final(study, folds / "test", winner, folder / "challenger")
            with self.clock.part("gate"):
                decision = self._gate(study, folds / "test", winner, folder)
        best = {"best_trial": str(chosen.winner.slot), "best_run": chosen.winner.run}
        Run.of(self.place, study.parent).log({}, tags=best)
        return decision, measured.run

    def _gate(self, study: Study, test: Path, winner: ModelConfig, folder: Path) -> Decision:
        challenger, metric = load_report(folder / "challenger"), study.config.study.metric
        if self.champion is None:
            return without_champion(challenger, self.asked.gate, metric)
        on_new, besides = self._as_it_serves(self.champion, study, test, winner, folder)
        decision = decide(
            challenger,
            load_report(folder / "champion"),
            self.asked.gate,
            metric,
            seed_for(study.config.seed, "judge", "bootstrap"),
            study.config.judge.resamples,
            on_new,
        )
        return replace(decision, reasons=(*decision.reasons, *besides))

    def _as_it_serves(
        self, serving: Version, study: Study, test: Path, winner: ModelConfig, folder: Path
    ) -> tuple[OnNew | None, Sequence[str]]:
        """The champion on what is new to it, or why not: a damaged one can still be replaced."""
        measured = folder / "challenger"
        try:
            return history.judge_frozen(study, test, serving, winner, measured), ()
        except InputError as error:
            return None, (f"as it serves it cannot be judged, which decides nothing: {error}",)

    def _promote(self, version: Version) -> None:
        """Let the challenger serve, if what serves is still what it was compared with."""
        serving = champion(self.place, self.asked.name)
        if _number(serving) not in (_number(self.champion), str(version.number)):
            raise InputError(
                f"{self.asked.name}: version {_number(serving)} serves now, and the challenger was "
                f"compared with {_number(self.champion)}; run it again"
            )
        registry.promote(self.place, str(version.number), self.asked.name)

    def _told(self, run: Run, study: str, version: Version, decision: Decision) -> Retrained:
        reasons = tuple(in_words(decision))
        title = f"{self.asked.name} version {version.number}: {decision.verdict}"
        history.show_decision(title, reasons, decision.numbers())
        serving = champion(self.place, self.asked.name)
        return Retrained(
            name=self.asked.name,
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
    asked: RetrainRequest,
    run: Run,
    words: Sequence[str],
    values: Mapping[str, float],
    write: Callable[[], None] = lambda: None,
) -> None:
    """Record why nothing was retrained."""
    with run.closing():
        write()
        run.log(values, tags={"verdict": "stopped", "reasons": _short(words)})
    history.show_decision(f"{asked.name}: stopped", words, values)


def _params(asked: RetrainRequest, config: ExperimentConfig) -> dict[str, object]:
    """Of the run of a retraining."""
    return {
        "plays": asked.called,
        "model": config.model,
        "trials": 0 if asked.refit else config.study.trials,
        "metric": config.study.metric,
        "gate": asked.gate.rule,
        "margin": asked.gate.margin,
        "coverage": asked.gate.coverage,
        "accept_drift": asked.accept_drift,
        **{f"drift.{name}": value for name, value in asdict(asked.limits).items()},
    }


def _number(version: Version | None) -> str:
    return NO_CHAMPION if version is None else str(version.number)


def _short(words: Sequence[str]) -> str:
    return "; ".join(words)[:5000]
