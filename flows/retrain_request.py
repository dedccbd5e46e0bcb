"""What a retraining is asked for, and the search that it begins."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from flows.model_config import model_config, pinned
from recsys.config import ExperimentConfig, changed, checked
from recsys.data.drift import Limits
from recsys.errors import InputError
from recsys.evaluation.gate import RULES, Gate
from recsys.models import MODELS, make_config
from recsys.models.config import ModelConfig
from recsys.splitting.config import GivenSplit
from tasks.data.new_plays import Incoming
from tasks.orchestration.interfaces import MODEL


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """What is retrained, and how.

    Attributes:
        plays: A file, or a folder of files; None with a query.
        profiles: Of the listeners.
        config: Data, filter, split, budget, judging and, without a champion, search.
        gate: What the challenger has to show.
        limits: What the plays may differ by from the last.
        accept_drift: Whether to go on where they differ by more.
        refit: Whether the champion's parameters are taken as they are, without a search.
        follows: Whether the model of the champion is searched, and not that of the configuration.
        name: Of the registered model.
        sources: Studies whose best points a new study begins with.
        query: SQL that asks a database for the plays. Its address is not a parameter, for it may
            hold a password: `flows.environment.database`.
        publish: Whether the lists of a new champion are published; None: those of the model that
            `recsys recommend` asks, and of no other.
    """

    plays: Path | None
    profiles: Path | None
    config: ExperimentConfig
    gate: Gate = field(default_factory=Gate)
    limits: Limits = field(default_factory=Limits)
    accept_drift: bool = False
    refit: bool = False
    follows: bool = True
    name: str = MODEL
    sources: tuple[str, ...] = ()
    query: str | None = None
    publish: bool | None = None

    @property
    def publishes(self) -> bool:
        """Whether the lists of a new champion are published."""
        return self.name == MODEL if self.publish is None else self.publish

    @property
    def called(self) -> str:
        """The plays in a word, for people."""
        return "query" if self.plays is None else self.plays.name

    def check(self) -> None:
        """Refuse what cannot be retrained, before anything is read.

        Raises:
            InputError: the plays are to come from nowhere or from two places, or the test side
                from another place.
        """
        if (self.plays is None) == (self.query is None):
            raise InputError("give the plays either as a file or folder, or by a query")
        if isinstance(self.config.split, GivenSplit):
            raise InputError(
                "a retraining is judged on a part of the new plays that it holds out; leave out "
                "the published test side (--test, split.kind = given)"
            )


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


def searched(
    asked: RetrainRequest, incoming: Incoming, served: ModelConfig | None
) -> ExperimentConfig:
    """The search of the challenger: from the parameters of the champion on, or these alone.

    An ensemble is not searched: the model of the configuration challenges it. Where it is refitted,
    its first model stands for it in the study.
    """
    table = asked.config.model_dump(mode="json", exclude_none=True)
    table["data"] = incoming.data.model_dump(mode="json", exclude_none=True)
    config = checked(table, "of the retraining")
    if served is not None and served.kind not in MODELS:
        if not asked.refit:
            return config
        served = served.parts[0]
    if served is not None and (asked.follows or asked.refit):
        has_profiles = asked.profiles is not None
        config = model_config(config, served.kind, config.seed, has_profiles)
    if asked.refit:
        return pinned(config, served or make_config(config.model, {}))
    if served is None or served.kind != config.model:
        return config
    point = served.point()
    first = [point, *config.study.first]
    return changed(config, {"study.first": first, "study.default_first": False})
