"""`recsys retrain`: from new plays to a challenger, which serves if it passes the gate.

    new plays -> drift -> search from the champion's parameters -> gate -> registry -> champion
                   |                                                 |
                stopped                                           refused

The champion is what it was until the last step, one move of an alias. Whoever is killed before it
repeats the command: the study is named after the plays, so its trials are there.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from prefect import flow

from flows import environment, registry
from flows.alerting import ALERTS
from flows.clock import Clock
from flows.experiment import opened
from flows.modelling import model_config, pinned
from flows.searching import joined, search_all, with_prefect
from recsys.config import ExperimentConfig, changed, checked
from recsys.drift import Limits
from recsys.errors import InputError
from recsys.gate import RULES, Decision, Gate, decide, in_words, without_champion
from recsys.params import EnsembleConfig, ModelConfig, named
from recsys.seeds import seed_for
from recsys.store import load_report
from tasks import incoming as arriving
from tasks import retraining
from tasks.cache import file_hash
from tasks.choosing import choose
from tasks.data import Plays
from tasks.incoming import Incoming
from tasks.interfaces import MODEL
from tasks.locking import workspace_locks
from tasks.registry import Version, versions
from tasks.retraining import NO_CHAMPION, Ledger
from tasks.serving import Chosen
from tasks.tracking import Recorded, Run, read_run
from tasks.training import Study, run_final, search_version
from tasks.tuning import Search
from tasks.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Asked:
    """What is retrained, and how.

    Attributes:
        plays: A file, or a folder of files.
        profiles: Of the listeners.
        config: Data, filter, split, budget, judging and, without a champion, search.
        gate: What the challenger has to show.
        limits: What the plays may differ by from the last.
        accept_drift: Whether to go on where they differ by more.
        refit: Whether the champion's parameters are taken as they are, without a search.
        follows: Whether the model of the champion is searched, and not that of the configuration.
        name: Of the registered model.
        sources: Studies whose best points a new study begins with.
    """

    plays: Path
    profiles: Path | None
    config: ExperimentConfig
    gate: Gate = field(default_factory=Gate)
    limits: Limits = field(default_factory=Limits)
    accept_drift: bool = False
    refit: bool = False
    follows: bool = True
    name: str = MODEL
    sources: tuple[str, ...] = ()


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

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {**asdict(self), "table": dict(self.table), "seconds": dict(self.seconds)}

    def lines(self) -> list[str]:
        """For the terminal: what was decided, why, and what serves."""
        serving = "nothing serves" if self.champion is None else f"version {self.champion} serves"
        head = f"{self.name} version {self.version}: {self.verdict}; {serving}"
        where = f"study {self.study}, MLflow run {self.run}"
        return [head, *(f"  {reason}" for reason in self.reasons), where]


def conditions(
    rule: str, margin: float, coverage: float, drift: Sequence[str]
) -> tuple[Gate, Limits]:
    """What was written on the command line, checked.

    Raises:
        InputError: a value is none that can be used; the message names the option.
    """
    if rule not in RULES:
        raise InputError(f"--gate {rule}: use one of {', '.join(RULES)}")
    limits: dict[str, float] = {}
    known = asdict(Limits())
    for text in drift:
        name, _, value = text.partition("=")
        if name not in known:
            raise InputError(f"--drift {text}: write NAME=X with one of {', '.join(known)}")
        try:
            limits[name] = float(value)
        except ValueError as error:
            raise InputError(f"--drift {text}: {value!r} is no number") from error
    try:
        return Gate(rule, margin, coverage), Limits(**limits)
    except ValueError as error:
        raise InputError(str(error)) from error


def from_database(
    workspace: Workspace, config: ExperimentConfig, query: str | None, database: str | None
) -> tuple[Path, ExperimentConfig]:
    """The plays that a database answers, as a file, and the configuration that reads it.

    Raises:
        InputError: one of the two is missing, or see `tasks.incoming.asked_of`.
    """
    if not query or not database:
        raise InputError("--query and --database belong together; give both, or --plays")
    path, columns = arriving.asked_of(workspace, query, database)
    return path, changed(config, {"data.columns": columns, "data.format": "auto"})


@flow(
    name="retrain",
    flow_run_name="retrain {asked.name}",
    on_failure=ALERTS,
    on_crashed=ALERTS,
)
def retrain(asked: Asked, workspace: Path = Path("mlruns")) -> Retrained:
    """Check the new plays, search, gate, register, and promote what passed.

    Args:
        asked: What is retrained.
        workspace: Where state lives.

    Raises:
        InputError: the plays are not as the last ones were, or they or the configuration cannot
            be used.
    """
    registry.check_name(asked.name)
    place = environment.place(workspace)
    clock = Clock()
    with workspace_locks(place).exclusive(f"retrain-{asked.name}"):
        with clock.part("data"):
            incoming = arriving.gather(place, asked.plays, asked.config.data)
        ledger = Ledger.of(place, asked.name)
        key = _key(place, asked, incoming)
        done = ledger.done(key)
        if done is not None:
            return _unchanged(place, asked.name, done, clock)
        return _Retraining(place, asked, incoming, ledger, key, clock).run()


def _key(place: Workspace, asked: Asked, incoming: Incoming) -> str:
    described = {
        **_data(place, asked, incoming),
        "config": asked.config.model_dump(mode="json", exclude={"data"}),
        "gate": asdict(asked.gate),
        "refit": asked.refit,
        "follows": asked.follows,
        "sources": asked.sources,
    }
    return _hashed(described)


def _data(place: Workspace, asked: Asked, incoming: Incoming) -> dict[str, Any]:
    profiles = None if asked.profiles is None else file_hash(place, asked.profiles)
    return {"data": incoming.fingerprint, "profiles": profiles, "code": search_version()}


def _hashed(described: Mapping[str, Any]) -> str:
    return sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def _unchanged(place: Workspace, name: str, done: Recorded, clock: Clock) -> Retrained:
    serving = retraining.champion_of(place, name)
    return Retrained(
        name=name,
        verdict="unchanged",
        reasons=(
            f"the same plays were retrained with the same settings before, and version "
            f"{done.tags['version']} was {done.tags['verdict']}: nothing is changed",
        ),
        table=retraining.read_table(place, done.id),
        run=done.id,
        study=done.tags["study"],
        version=int(done.tags["version"]),
        champion=None if serving is None else serving.number,
        seconds={"total": clock.total},
    )


class _Retraining:
    """One retraining, which is neither done nor given up."""

    def __init__(
        self,
        place: Workspace,
        asked: Asked,
        incoming: Incoming,
        ledger: Ledger,
        key: str,
        clock: Clock,
    ) -> None:
        self.place, self.asked, self.incoming = place, asked, incoming
        self.ledger, self.key, self.clock = ledger, key, clock
        self.left = ledger.unfinished(key)
        self.champion = self._compared_with()
        self.last = ledger.last()
        self.findings = retraining.drifted(incoming.parts, self.last, asked.limits)

    def run(self) -> Retrained:
        """To its end."""
        if self.findings and not self.asked.accept_drift:
            self._stop()
        served = None if self.champion is None else self._config_of(self.champion)
        config = _searched(self.asked, self.incoming, served)
        study = self._study_name(config)
        tags = {"key": self.key, "champion": _number(self.champion), "study": study}
        run = retraining.begin(self.ledger, self.left, self._params(config), tags, self.incoming)
        with run.closing():
            decision, challenger = self._decided(config, study, served)
            retraining.write_table(self.place, run, self._table(decision))
            run.log(decision.numbers(), tags={"challenger": challenger})
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
        serving = retraining.champion_of(self.place, self.asked.name)
        if self.left is None:
            return serving
        before = self.left.tags["champion"]
        if serving is not None and serving.run == self.left.tags.get("challenger"):
            every = versions(self.place, self.asked.name)
            return next((each for each in every if str(each.number) == before), None)
        if before != _number(serving):
            self.left = None  # somebody has chosen another one meanwhile
        return serving

    def _config_of(self, champion: Version) -> ModelConfig:
        return Chosen.of(read_run(self.place, champion.run)).config

    def _stop(self) -> None:
        """Record it, and raise InputError."""
        words = [f"{name}: {each.words}" for name, found in self.findings.items() for each in found]
        tags = {"key": self.key, "champion": _number(self.champion)}
        run = retraining.begin(
            self.ledger, None, self._params(self.asked.config), tags, self.incoming
        )
        with run.closing():
            retraining.write_table(self.place, run, self._table(None))
            values = {
                f"drift/{each.what}": each.value for f in self.findings.values() for each in f
            }
            run.log(values, tags={"verdict": "stopped", "reasons": _short(words)})
        retraining.show_decision(f"{self.asked.name}: stopped", words, values)
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
        return f"retrain-{self.asked.name}-{_hashed(described)[:12]}"

    def _params(self, config: ExperimentConfig) -> dict[str, object]:
        asked = self.asked
        return {
            "plays": asked.plays.name,
            "model": config.model,
            "trials": 0 if asked.refit else config.study.trials,
            "metric": config.study.metric,
            "gate": asked.gate.rule,
            "margin": asked.gate.margin,
            "coverage": asked.gate.coverage,
            "accept_drift": asked.accept_drift,
            **{f"drift.{name}": value for name, value in asdict(asked.limits).items()},
        }

    def _table(self, decision: Decision | None) -> dict[str, Any]:
        told = None if decision is None else decision.as_json()
        return retraining.table_of(self.incoming, self.findings, told, self.last)

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
        winner = named(study.config.model, chosen.winner.params)
        folder = self.place.final(study.name)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            with self.clock.part("final"):
                if served is not None:
                    run_final(study, folds / "test", served, folder / "champion")
                # The last: it is what the run of the study stands for.
                measured = run_final(study, folds / "test", winner, folder / "challenger")
            with self.clock.part("gate"):
                decision = self._gate(study, folds / "test", winner, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        best = {"best_trial": str(chosen.winner.slot), "best_run": chosen.winner.run}
        Run.of(self.place, study.parent).log({}, tags=best)
        return decision, measured.run

    def _gate(self, study: Study, test: Path, winner: ModelConfig, folder: Path) -> Decision:
        challenger, metric = load_report(folder / "challenger"), study.config.study.metric
        if self.champion is None:
            return without_champion(challenger, self.asked.gate, metric)
        return decide(
            challenger,
            load_report(folder / "champion"),
            self.asked.gate,
            metric,
            seed_for(study.config.seed, "judge", "bootstrap"),
            study.config.judge.resamples,
            retraining.judge_frozen(study, test, self.champion, winner, folder / "challenger"),
        )

    def _promote(self, version: Version) -> None:
        """Let the challenger serve, if what serves is still what it was compared with."""
        serving = retraining.champion_of(self.place, self.asked.name)
        if _number(serving) not in (_number(self.champion), str(version.number)):
            raise InputError(
                f"{self.asked.name}: version {_number(serving)} serves now, and the challenger was "
                f"compared with {_number(self.champion)}; run it again"
            )
        registry.promote(self.place, str(version.number), self.asked.name)

    def _told(self, run: Run, study: str, version: Version, decision: Decision) -> Retrained:
        reasons = tuple(in_words(decision))
        title = f"{self.asked.name} version {version.number}: {decision.verdict}"
        retraining.show_decision(title, reasons, decision.numbers())
        serving = retraining.champion_of(self.place, self.asked.name)
        self.clock.seconds["total"] = self.clock.total
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


def _number(version: Version | None) -> str:
    return NO_CHAMPION if version is None else str(version.number)


def _short(words: Sequence[str]) -> str:
    return "; ".join(words)[:5000]


def _searched(asked: Asked, incoming: Incoming, served: ModelConfig | None) -> ExperimentConfig:
    """The search of the challenger: from the parameters of the champion on, or these alone.

    Raises:
        InputError: the champion is an ensemble, whose parameters are not searched, and is to be
            refitted.
    """
    table = asked.config.model_dump(mode="json", exclude_none=True)
    table["data"] = incoming.data.model_dump(mode="json", exclude_none=True)
    config = checked(table, "of the retraining")
    if isinstance(served, EnsembleConfig):
        if asked.refit:
            raise InputError("the champion is an ensemble, which is not refitted: pass --trials N")
        return config
    if served is not None and (asked.follows or asked.refit):
        has_profiles = asked.profiles is not None
        config = model_config(config, served.kind, config.seed, has_profiles)
    if asked.refit:
        return pinned(config, served or named(config.model, {}))
    if served is None or served.kind != config.model:
        return config
    point = served.model_dump(exclude={"kind"}, exclude_none=True)
    first = [point, *config.study.first]
    return changed(config, {"study.first": first, "study.default_first": False})
