"""The request of a retraining, and the search that it begins."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flows.model_config import model_config, pinned
from recsys.config import ExperimentConfig, changed, checked
from recsys.data.drift import Limits
from recsys.described import FORM
from recsys.errors import InputError
from recsys.evaluation.gate import Gate
from recsys.models import MODELS, make_config
from recsys.models.config import ModelConfig
from recsys.settings import hint
from recsys.splitting.config import GivenSplit
from tasks.orchestration.interfaces import MODEL

if TYPE_CHECKING:
    from tasks.data.new_plays import Incoming  # Prefect, which reads the environment


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """Plays, configuration and gate of a retraining.

    Attributes:
        plays: A file, or a folder of files; None with a query.
        profiles: Of the users.
        config: Data, filter, split, budget, judging and, without a champion, search.
        gate: Conditions for the challenger to be promoted.
        limits: How much the plays may differ from the last ones.
        accept_drift: Whether to continue where they differ by more.
        refit: Whether the champion's parameters are used without a search.
        follows: Whether the model of the champion is searched, instead of the configured one.
        name: Of the registered model.
        sources: Studies whose best points a new study begins with.
        query: SQL that selects the plays in a database. The address is not a parameter, for it may
            hold a password: `flows.environment.database`.
        publish: Whether the lists of a new champion are published; None: only those of the model
            that `recsys recommend` serves.
    """

    __pydantic_config__ = FORM

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
    def plays_name(self) -> str:
        """The plays in a word, for people."""
        return "query" if self.plays is None else self.plays.name

    def check(self) -> None:
        """Check the request before anything is read.

        Raises:
            InputError: there are no plays or two sources of plays, or a published test side.
        """
        if (self.plays is None) == (self.query is None):
            raise InputError("pass the plays either as a file or folder, or by a query")
        if isinstance(self.config.split, GivenSplit):
            raise InputError(
                "a retraining is judged on a part of the new plays that it holds out; leave out "
                "the published test side (--test, split.kind = given)"
            )


def limits(texts: Sequence[str]) -> Limits:
    """What `--drift` allows.

    Raises:
        InputError: a text is not NAME=X; the message names what is allowed.
    """
    values: dict[str, float] = {}
    known = asdict(Limits())
    for text in texts:
        name, _, value = text.partition("=")
        if name not in known:
            raise InputError(
                f"--drift {text}: write NAME=X with one of {', '.join(known)}{hint(name, known)}"
            )
        try:
            values[name] = float(value)
        except ValueError as error:
            raise InputError(f"--drift {text}: {value!r} is no number") from error
    try:
        return Limits(**values)
    except ValueError as error:
        raise InputError(f"--drift: {error}") from error


def searched(
    request: RetrainRequest, incoming: "Incoming", served: ModelConfig | None
) -> ExperimentConfig:
    """The search of the challenger: it begins at the parameters of the champion, or has only these.

    An ensemble is not searched: the configured model challenges it. To refit an ensemble, its first
    model is searched in its place.
    """
    table = request.config.model_dump(mode="json", exclude_none=True)
    table["data"] = incoming.data.model_dump(mode="json", exclude_none=True)
    config = checked(table, "of the retraining")
    if served is not None and served.kind not in MODELS:
        if not request.refit:
            return config
        served = served.parts[0]
    if served is not None and (request.follows or request.refit):
        has_profiles = request.profiles is not None
        config = model_config(config, served.kind, config.seed, has_profiles)
    if request.refit:
        return pinned(config, served or make_config(config.model, {}))
    if served is None or served.kind != config.model:
        return config
    point = served.point()
    first = [point, *config.study.first]
    return changed(config, {"study.first": first, "study.default_first": False})
